from pathlib import Path

import pytest

from local.documents import costs

DOCS = Path(__file__).parents[2] / "docs"
COSTS, EVENTS = ((DOCS / f"{name}.md").read_text() for name in ("costs", "events"))


def test_the_readmes_tables_are_those_of_the_template() -> None:
    assert costs.tables() in COSTS, "run `python -m local.documents.costs`"


@pytest.mark.parametrize(
    ("stage", "gateways", "instances"), [("dev", 1, 1), ("staging", 1, 1), ("prod", 2, 2)]
)
def test_a_stage_has_the_resources_whose_condition_holds(stage: str, gateways: int, instances: int) -> None:
    count = costs.stage(stage).count
    assert count["AWS::EC2::NatGateway"] == gateways
    assert count["AWS::RDS::DBInstance"] == instances
    assert count["AWS::ApiGatewayV2::DomainName"] == 0


def test_dev_costs_less_than_staging_and_staging_less_than_prod() -> None:
    dev, staging, prod = (
        sum(cost(costs.stage(name)) for cost in costs.IDLE.values()) for name in costs.STAGES
    )
    assert 0 < dev < staging < prod


def test_every_metric_of_the_code_is_counted() -> None:
    table = EVENTS.split("## Metrics")[1].split("## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    values = [max(1, row.split("|")[3].count(", ") + ("," in row.split("|")[3])) for row in rows]
    assert sum(values) == costs.SENT_METRICS
