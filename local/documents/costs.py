"""What the template costs a month: `python -m local.documents.costs` writes the tables of docs/costs.md.

Counted from the resources of template.yaml; the prices are AWS's list prices for us-east-1 in US dollars,
without the free tier. What traffic adds is an estimate for a million requests, with its assumptions.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from local.aws.template import template_data
from local.settings import ROOT, TEMPLATE

DOCUMENT, EVENTS = ROOT / "docs" / "costs.md", ROOT / "docs" / "events.md"
BEGIN, END = "<!-- written by `python -m local.documents.costs` -->", "<!-- end -->"

STAGES = ("dev", "staging", "prod")
HOURS = 730  # of a month
POLLS, PUBLICATIONS = HOURS * 60 // 4, HOURS * 60  # every 4 minutes, every minute

NAT_HOUR, ADDRESS_HOUR, NAT_GB = 0.045, 0.005, 0.045
ACU_HOUR = 0.12
CACHE_GB_HOUR, CACHE_LEAST_GB = 0.084, 0.1
KEY, SECRET, DASHBOARD = 1.00, 0.40, 3.00
ALARM_METRIC, CUSTOM_METRIC = 0.10, 0.30
GB_SECOND = 0.0000133334  # of a function on arm64; all have 1 GB: Globals, MemorySize
LOG_GB, OUT_GB, BETWEEN_ZONES_GB = 0.50, 0.09, 0.02  # the last one in both directions together
# By the million:
INVOCATIONS, SCHEDULES, REQUESTS, TRACES, MESSAGES, CACHE_UNITS = 0.20, 1.00, 1.00, 5.00, 0.40, 0.0023
SECRET_READS, KEY_USES = 5.00, 3.00

POLL_SECONDS, PUBLICATION_SECONDS, POLL_GB = 1.0, 0.05, 0.0001  # some hundred products
QUEUE_READS = 5 * 3 * 60 * HOURS  # Lambda keeps 5 long polls of 20 s open
# X-Ray traces the first request of a second, and one in twenty of the others. Lambda knows no other setting.
TRACED_FIRST, TRACED_OTHERS = 1, 0.05
LOG_KB, ANSWER_KB, QUERY_KB, CACHE_READS = 1.2, 3.0, 3.0, 3
REQUEST_SECONDS, COLD_SHARE, COLD_SECONDS = 0.010, 0.01, 0.3
PACES = {"100 a second": 100.0, "spread over the month": 1e6 / (HOURS * 3600)}


@dataclass
class Stage:
    """The resources that a stage has, as they are written, and how many of each type."""

    name: str
    sizes: dict[str, Any]
    resources: dict[str, dict[str, Any]]
    count: Counter[str] = field(init=False)

    def __post_init__(self) -> None:
        self.count = Counter(resource["Type"] for resource in self.resources.values())

    @property
    def alarm_metrics(self) -> int:
        """How many metrics the alarms look at: that is what is paid for."""
        alarms = [r["Properties"] for r in self.resources.values() if r["Type"] == "AWS::CloudWatch::Alarm"]
        return sum("MetricStat" in query for alarm in alarms for query in alarm["Metrics"])

    @property
    def is_hot(self) -> bool:
        """Whether the schedules of the products and the events run: KeepHot=auto."""
        return self.name != "dev"


@dataclass(frozen=True)
class Line:
    """What something costs, and how that is counted."""

    what: str
    cost: Callable[[Stage], float]
    how: str


def sent_metrics() -> int:
    """How many metrics the code sends, each value of a dimension counted: the table in docs/events.md."""
    table = EVENTS.read_text().split("## Metrics")[1].split("\n## ")[0]
    rows = [line.split("|")[3] for line in table.splitlines() if line.startswith("| `")]
    return sum(max(1, values.count("`") // 2 - 1) for values in rows)


def _when_hot(cost: float) -> Callable[[Stage], float]:
    return lambda stage: cost if stage.is_hot else 0.0


IDLE = (
    Line(
        "NAT gateways and their addresses",
        lambda stage: (
            (stage.count["AWS::EC2::NatGateway"] * NAT_HOUR + stage.count["AWS::EC2::EIP"] * ADDRESS_HOUR)
            * HOURS
        ),
        f"1, in prod 2: ({NAT_HOUR} + {ADDRESS_HOUR}) an hour x {HOURS} hours",
    ),
    Line(
        "Aurora at its smallest capacity",
        lambda stage: stage.count["AWS::RDS::DBInstance"] * float(stage.sizes["MinAcu"]) * ACU_HOUR * HOURS,
        f"0, 0.5, and in prod 2 instances of 1 ACU: {ACU_HOUR} an ACU and hour x {HOURS}",
    ),
    Line(
        "ElastiCache at its smallest size",
        lambda stage: (
            stage.count["AWS::ElastiCache::ServerlessCache"] * CACHE_LEAST_GB * CACHE_GB_HOUR * HOURS
        ),
        f"{CACHE_LEAST_GB} GB, the least that is counted: {CACHE_GB_HOUR} a GB and hour x {HOURS}",
    ),
    Line(
        "Alarms",
        lambda stage: stage.alarm_metrics * ALARM_METRIC,
        f"{ALARM_METRIC:.2f} for each metric that an alarm looks at",
    ),
    Line(
        "Metrics of our own",
        lambda stage: (
            (sent_metrics() + stage.count["AWS::Logs::MetricFilter"]) * CUSTOM_METRIC if stage.is_hot else 0.0
        ),
        f"{CUSTOM_METRIC:.2f} for each, in the hours in which it is sent: in dev while somebody asks",
    ),
    Line("Dashboard", lambda stage: stage.count["AWS::CloudWatch::Dashboard"] * DASHBOARD, "one"),
    Line(
        "Key and secrets",  # the database's secret is one that RDS makes
        lambda stage: (
            stage.count["AWS::KMS::Key"] * KEY + (stage.count["AWS::SecretsManager::Secret"] + 1) * SECRET
        ),
        f"{KEY:.2f} + 5 x {SECRET:.2f}",
    ),
    Line(
        "The schedules' invocations",
        _when_hot(
            (POLLS * POLL_SECONDS + PUBLICATIONS * PUBLICATION_SECONDS) * GB_SECOND
            + (POLLS + PUBLICATIONS) * (INVOCATIONS + SCHEDULES) / 1e6
        ),
        f"{POLLS:,} polls of {POLL_SECONDS:g} s, {PUBLICATIONS:,} publications of {PUBLICATION_SECONDS:g} s: "
        f"{GB_SECOND * 1e6:.2f} for a million seconds, {INVOCATIONS + SCHEDULES:.2f} a million",
    ),
    Line(
        "The schedules' traces",
        _when_hot((POLLS + PUBLICATIONS) * TRACES / 1e6),
        f"each is the first request of its second, and so traced: {POLLS + PUBLICATIONS:,} "
        f"x {TRACES:.2f} a million",
    ),
    Line(
        "The schedules' logs, and data through NAT",
        _when_hot((POLLS + PUBLICATIONS) * LOG_KB / 1e6 * LOG_GB + POLLS * POLL_GB * NAT_GB),
        f"{LOG_KB} kB a run x {LOG_GB:.2f} a GB; {POLL_GB * 1000:.1f} MB a poll x {NAT_GB} a GB",
    ),
    Line(
        "Lambda's reading of the queue",
        lambda _: QUEUE_READS * MESSAGES / 1e6,
        f"5 long polls of 20 s, always: {QUEUE_READS:,} requests x {MESSAGES:.2f} a million",
    ),
)


def traced(pace: float) -> float:
    """The share of requests that X-Ray traces, at so many requests a second."""
    return min(1.0, (TRACED_FIRST + TRACED_OTHERS * max(0.0, pace - TRACED_FIRST)) / pace)


def million(pace: float) -> dict[str, tuple[float, str]]:
    """What a million requests cost, at so many a second, and how that is counted."""
    return {
        "API Gateway (HTTP API)": (REQUESTS, ""),
        "Lambda: invocations": (INVOCATIONS, ""),
        "Lambda: work": (1e6 * REQUEST_SECONDS * GB_SECOND, f"{REQUEST_SECONDS * 1000:.0f} ms of 1 GB each"),
        "Lambda: cold starts": (
            1e6 * COLD_SHARE * COLD_SECONDS * GB_SECOND,
            f"one in {1 / COLD_SHARE:.0f}, {COLD_SECONDS} s",
        ),
        "Secrets and keys, at cold starts": (
            COLD_SHARE * (1.5 * SECRET_READS + 2.5 * KEY_USES),
            f"1.5 reads x {SECRET_READS:.2f} a million, 2.5 decryptions x {KEY_USES:.2f} a million",
        ),
        "X-Ray": (
            traced(pace) * TRACES,
            f"the first of a second and {TRACED_OTHERS:.0%} of the others x {TRACES:.2f} a million: "
            "6 % at 100 a second, all of them at fewer than one",
        ),
        "Logs": (
            LOG_KB * LOG_GB,
            f"{LOG_KB} kB each (access log, Lambda's report, metrics) x {LOG_GB:.2f} a GB",
        ),
        "Data to the internet": (ANSWER_KB * OUT_GB, f"{ANSWER_KB:.0f} kB an answer x {OUT_GB} a GB"),
        "Data between zones": (
            QUERY_KB / 2 * BETWEEN_ZONES_GB,
            f"{QUERY_KB:.0f} kB from the database or the cache, every second time x {BETWEEN_ZONES_GB} a GB",
        ),
        "ElastiCache: processing": (
            CACHE_READS * CACHE_UNITS,
            f"{CACHE_READS} units x {CACHE_UNITS} a million",
        ),
    }


def stage(name: str) -> Stage:
    """The resources of a stage, with every option as it is by default."""
    template = template_data(TEMPLATE)
    holds = {"IsProd": name == "prod", "IsDev": name == "dev", "KeepsHot": name != "dev"}
    resources = {
        resource_id: resource
        for resource_id, resource in template["Resources"].items()
        if "Condition" not in resource or holds.get(resource["Condition"], False)
    }
    return Stage(name, template["Mappings"]["Stages"][name], resources)


def tables() -> str:
    """The two tables, in Markdown."""
    stages = [stage(name) for name in STAGES]
    lines = ["| idle, a month | dev | staging | prod | |", "|---|---:|---:|---:|---|"]
    costs = {line.what: [line.cost(each) for each in stages] for line in IDLE}
    lines += [_row(line.what, costs[line.what], line.how) for line in IDLE]
    lines.append(_row("**all**", map(sum, zip(*costs.values(), strict=True)), "", bold=True))
    paces = [million(pace) for pace in PACES.values()]
    lines += ["", f"| a million requests | {' | '.join(PACES)} | |", "|---|---:|---:|---|"]
    lines += [_row(what, [pace[what][0] for pace in paces], paces[0][what][1]) for what in paces[0]]
    totals = [sum(cost for cost, _ in pace.values()) for pace in paces]
    lines.append(_row("**all**", totals, "", bold=True))
    return "\n".join(lines)


def _row(what: str, costs: Iterable[float], how: str, *, bold: bool = False) -> str:
    mark = "**" if bold else ""
    return f"| {what} | {' | '.join(f'{mark}{cost:.2f}{mark}' for cost in costs)} | {how} |"


def document(text: str) -> str:
    """The page with the tables that are right now."""
    return re.sub(f"(?s){BEGIN}.*{END}", lambda _: f"{BEGIN}\n\n{tables()}\n\n{END}", text)


if __name__ == "__main__":
    DOCUMENT.write_text(document(DOCUMENT.read_text()))
