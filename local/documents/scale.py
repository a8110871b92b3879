"""Time and money at internet scale: `python -m local.documents.scale` writes the tables of docs/scale.md.

Worked out from what the benchmarks measured (docs/benchmarks.json), what template.yaml says, the prices of
local.documents.costs, and the assumptions below, which the page names.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from local.aws.template import template_data
from local.documents import costs
from local.settings import ROOT, TEMPLATE

DOCUMENT, MEASURED = ROOT / "docs" / "scale.md", ROOT / "docs" / "benchmarks.json"
BEGIN, END = "<!-- written by `python -m local.documents.scale` -->", "<!-- end -->"

WHOLE_PROCESSOR = 1769  # MB of a function that has one: Lambda's guide, "Configure memory"
A_SECOND_EACH = 10  # requests that an environment takes, for each that a function may run: Lambda's quotas
FIRST_REQUESTS, FURTHER_REQUESTS = 300, 0.90  # API Gateway: millions at the first price; the price after that

# Bytes of a log line, assumed from their formats.
ACCESS_LINE, LAMBDA_LINES, METRIC_LINE, METRIC_VALUE = 400, 260, 330, 10


@dataclass(frozen=True)
class Load:
    """Requests of a kind: so many a second, how long the network takes, and the benchmark's row for them."""

    kind: str
    a_second: int
    network_ms: float
    measured: str


LOADS = (
    Load("products", 6_000, 0.5, "product, cached"),
    Load("reads of favorites", 3_700, 1.0, "favorites, a page of 20"),
    Load("writes", 200, 2.0, "favorite, added"),
    Load("log-ins", 100, 2.0, "log-in"),
)


def measured_cpu(found: dict[str, Any]) -> dict[str, float]:
    """Milliseconds of a processor for one request of ours, by its row in the table of warm requests."""
    (warm,) = [part for part in found["parts"] if part["command"] == "warm"]
    rows = warm["tables"][0]["rows"]
    ours = ", this service"
    return {row[0].removesuffix(ours): float(row[3]) for row in rows if row[0].endswith(ours)}


def section() -> str:
    """The part of the page that is worked out, in Markdown."""
    memory = int(template_data(TEMPLATE)["Globals"]["Function"]["MemorySize"])
    cpu = measured_cpu(json.loads(MEASURED.read_text()))
    slower = WHOLE_PROCESSOR / memory
    lines = [
        f"A function has {memory:,} MB (t), and with it {memory:,} ÷ {WHOLE_PROCESSOR:,} = {1 / slower:.2f} "
        f"of a processor (a): CPU takes {slower:.2f} times as long as on a whole one.",
        "",
        "| | CPU (m) | with that memory | and the network | a second | busy at once |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    busy = 0.0
    for load in LOADS:
        computing = cpu[load.measured] * slower
        lasting = computing + load.network_ms
        environments = load.a_second * lasting / 1000
        busy += environments
        lines.append(
            f"| {load.kind} | {cpu[load.measured]:.2f} ms | {computing:.1f} ms | {lasting:.1f} ms "
            f"| {load.a_second:,} | {environments:.1f} |"
        )
    lines += [
        f"| **all** | | | | **{_all_requests():,}** | **{busy:.0f}** |",
        "",
        *_bill(busy * memory / 1024),
    ]
    return "\n".join(lines)


def _all_requests() -> int:
    return sum(load.a_second for load in LOADS)


def _bill(gigabytes: float) -> list[str]:
    """What all of it costs in a month, the largest first; `gigabytes` are busy all the time."""
    seconds = costs.HOURS * 3600
    millions = _all_requests() * seconds / 1e6
    answers = LOADS[0].a_second
    lines = answers / A_SECOND_EACH  # a second: as many environments, one line each
    metrics = lines * METRIC_LINE + answers * METRIC_VALUE
    one_each = answers * (METRIC_LINE + METRIC_VALUE)
    bill = [
        (
            "API Gateway",
            FIRST_REQUESTS * costs.REQUESTS + (millions - FIRST_REQUESTS) * FURTHER_REQUESTS,
            f"{millions:,.0f} million x {FURTHER_REQUESTS:.2f}",
            "a CDN before it: answers about products are `public`",
        ),
        (
            "Data to the internet",
            millions * costs.ANSWER_KB * costs.OUT_GB,
            f"{costs.ANSWER_KB:.0f} kB an answer x {costs.OUT_GB} a GB",
            "`If-None-Match`, and the CDN's own price",
        ),
        (
            "X-Ray",
            costs.traced(_all_requests()) * millions * costs.TRACES,
            f"one in twenty x {costs.TRACES:.2f} a million",
            "`Tracing: PassThrough` in `Globals`",
        ),
        (
            "API Gateway's access log",
            _log(_all_requests() * ACCESS_LINE),
            f"{ACCESS_LINE} bytes a request",
            "a shorter `Format`; the alarms need `status`, `milliseconds` and `integration_…`",
        ),
        (
            "Lambda: invocations",
            millions * costs.INVOCATIONS,
            f"{costs.INVOCATIONS:.2f} a million",
            "the CDN",
        ),
        (
            "Lambda's own START, END and REPORT lines",
            _log(_all_requests() * LAMBDA_LINES),
            f"{LAMBDA_LINES} bytes a request",
            "`LoggingConfig: {LogFormat: JSON, SystemLogLevel: WARN}` writes none of them",
        ),
        (
            "Lambda: time",
            gigabytes * seconds * costs.GB_SECOND,
            f"{gigabytes:.0f} GB, always",
            "the CDN",
        ),
        (
            "Our metrics",
            _log(metrics),
            f"{lines:,.0f} lines a second of {METRIC_LINE} bytes, {METRIC_VALUE} more for each answer; "
            f"a line for each answer would cost {_dollars(_log(one_each))}",
            "`GATHERED` in `shared/platform/metrics.py`",
        ),
    ]
    bill.sort(key=lambda line: -line[1])
    return [
        f"| a month at {_all_requests():,} a second, always | $ | how | what to turn |",
        "|---|--:|---|---|",
        *(f"| {what} | {_dollars(cost)} | {how} | {turn} |" for what, cost, how, turn in bill),
        f"| **all** | **{_dollars(sum(line[1] for line in bill))}** | | |",
    ]


def _log(bytes_a_second: float) -> float:
    return bytes_a_second * costs.HOURS * 3600 / 1e9 * costs.LOG_GB


def _dollars(cost: float) -> str:
    """To two digits: more would say more than is known."""
    return f"{float(f'{cost:.2g}'):,.0f}"


def document(text: str) -> str:
    """The page with the tables that are right now."""
    return re.sub(f"(?s){BEGIN}.*{END}", lambda _: f"{BEGIN}\n\n{section()}\n\n{END}", text)


def write() -> None:
    """Write them into the page."""
    DOCUMENT.write_text(document(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    write()
