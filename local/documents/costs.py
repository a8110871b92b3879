"""What the template costs a month: `python -m local.documents.costs` prints the table that README has.

Counted from the resources of template.yaml; the prices are AWS's list prices for us-east-1 in US dollars,
without the free tier. What traffic adds is an estimate for a million requests, with its assumptions.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from local.aws.template import template_data
from local.settings import TEMPLATE

STAGES = ("dev", "staging", "prod")
HOURS = 730  # of a month
_POLLS, _PUBLICATIONS = HOURS * 60 / 4, HOURS * 60  # every 4 minutes, every minute
_FUNCTION_GB = 1.0  # Globals: MemorySize 1024

NAT_HOUR, ADDRESS_HOUR = 0.045, 0.005
ACU_HOUR = 0.12
CACHE_GB_HOUR, CACHE_LEAST_GB = 0.084, 0.1
KEY, SECRET, DASHBOARD = 1.00, 0.40, 3.00
ALARM_METRIC, CUSTOM_METRIC = 0.10, 0.30
GB_SECOND, INVOCATIONS, SCHEDULES = 0.0000133334, 0.20, 1.00  # the latter two by the million
REQUESTS, TRACES = 1.00, 5.00  # by the million
LOG_GB = 0.50

# Metrics that the code itself sends, each with every value of its dimension: README, Metrics.
SENT_METRICS = 17


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
        return sum(
            sum("MetricStat" in query for query in alarm["Metrics"]) if "Metrics" in alarm else 1
            for alarm in alarms
        )

    @property
    def is_hot(self) -> bool:
        """Whether the schedules run: KeepHot=auto."""
        return self.name != "dev"


IDLE: dict[str, Callable[[Stage], float]] = {
    "NAT gateways and their addresses": lambda stage: (
        (stage.count["AWS::EC2::NatGateway"] * NAT_HOUR + stage.count["AWS::EC2::EIP"] * ADDRESS_HOUR) * HOURS
    ),
    "Aurora at its smallest capacity": lambda stage: (
        stage.count["AWS::RDS::DBInstance"] * float(stage.sizes["MinAcu"]) * ACU_HOUR * HOURS
    ),
    "ElastiCache at its smallest size": lambda stage: (
        stage.count["AWS::ElastiCache::ServerlessCache"] * CACHE_LEAST_GB * CACHE_GB_HOUR * HOURS
    ),
    "Alarms": lambda stage: stage.alarm_metrics * ALARM_METRIC,
    # Only what is sent is paid for, and without schedules nothing is while nobody asks.
    "Metrics of our own": lambda stage: (
        (SENT_METRICS + stage.count["AWS::Logs::MetricFilter"]) * CUSTOM_METRIC if stage.is_hot else 0.0
    ),
    "Dashboard": lambda stage: stage.count["AWS::CloudWatch::Dashboard"] * DASHBOARD,
    # The database's secret is one that RDS makes.
    "Key and secrets": lambda stage: (
        stage.count["AWS::KMS::Key"] * KEY + (stage.count["AWS::SecretsManager::Secret"] + 1) * SECRET
    ),
    # 1 s a poll of a catalog of some thousand products, 50 ms a look at the outbox.
    "The schedules' invocations": lambda stage: (
        (_POLLS * 1.0 + _PUBLICATIONS * 0.05) * _FUNCTION_GB * GB_SECOND
        + (_POLLS + _PUBLICATIONS) * (INVOCATIONS + SCHEDULES) / 1e6
        if stage.is_hot
        else 0.0
    ),
}

MILLION: dict[str, float] = {
    "API Gateway (HTTP API)": REQUESTS,
    "Lambda: invocations": INVOCATIONS,
    "Lambda: 10 ms of 1 GB each": 1e6 * 0.010 * _FUNCTION_GB * GB_SECOND,
    "X-Ray: 5 % traced": 0.05 * TRACES,
    "Logs: 1.2 kB a request (access log, Lambda's report, metrics)": 1.2 * LOG_GB,
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
    lines = ["| idle, a month | dev | staging | prod |", "|---|---:|---:|---:|"]
    totals = [0.0] * len(stages)
    for what, cost in IDLE.items():
        costs = [cost(each) for each in stages]
        totals = [total + more for total, more in zip(totals, costs, strict=True)]
        lines.append(f"| {what} | " + " | ".join(f"{each:.2f}" for each in costs) + " |")
    lines.append("| **all** | " + " | ".join(f"**{total:.2f}**" for total in totals) + " |")
    lines += ["", "| a million requests | |", "|---|---:|"]
    lines += [f"| {what} | {cost:.2f} |" for what, cost in MILLION.items()]
    lines.append(f"| **all** | **{sum(MILLION.values()):.2f}** |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(tables())
