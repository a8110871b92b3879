import pytest

from local.documents import costs


def test_the_pages_tables_are_those_of_the_template() -> None:
    page = costs.DOCUMENT.read_text()
    assert costs.tables() in page, "run `python -m local.documents.costs`"
    assert costs.document(page) == page


@pytest.mark.parametrize(
    ("stage", "gateways", "instances"), [("dev", 1, 1), ("staging", 1, 1), ("prod", 2, 2)]
)
def test_a_stage_has_the_resources_whose_condition_holds(stage: str, gateways: int, instances: int) -> None:
    count = costs.stage(stage).count
    assert count["AWS::EC2::NatGateway"] == gateways
    assert count["AWS::RDS::DBInstance"] == instances
    assert count["AWS::ApiGatewayV2::DomainName"] == 0


def test_dev_costs_less_than_staging_and_staging_less_than_prod() -> None:
    stages = [costs.stage(name) for name in costs.STAGES]
    dev, staging, prod = (sum(line.cost(stage) for line in costs.IDLE) for stage in stages)
    assert 0 < dev < staging < prod


@pytest.mark.parametrize(("pace", "share"), [(0.1, 1), (1, 1), (2, 0.525), (101, 6 / 101), (10_000, 0.0501)])
def test_the_first_request_of_a_second_is_traced_and_a_twentieth_of_the_others(
    pace: float, share: float
) -> None:
    assert costs.traced(pace) == pytest.approx(share, rel=0.01)
