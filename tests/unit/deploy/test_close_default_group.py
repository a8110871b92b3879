"""Closing the VPC's own security group, with moto for EC2."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from functions.close_default_group.handler import lambda_handler
from shared.platform import cloudformation
from tests.calls import sample


class Vpc:
    """A VPC with the group that EC2 makes for it, and CloudFormation, which is told."""

    def __init__(self) -> None:
        self.ec2: Any = boto3.client("ec2")
        vpc = self.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        of_the_vpc = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}]
        (group,) = self.ec2.describe_security_groups(Filters=of_the_vpc)["SecurityGroups"]
        self.group: str = group["GroupId"]
        who = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]
        self.ec2.authorize_security_group_ingress(GroupId=self.group, IpPermissions=who)

    def rules(self) -> list[Any]:
        found = self.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [self.group]}])
        rules: list[Any] = found["SecurityGroupRules"]
        return rules

    def deploy(self, request: str = "Create", group: str | None = None) -> dict[str, Any]:
        event = sample("close_default_group") | {"RequestType": request}
        return lambda_handler(event | {"ResourceProperties": {"GroupId": group or self.group}}, None)


@pytest.fixture
def vpc(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vpc]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")

    def told(_: Any, __: str, error: Exception | None, data: dict[str, str]) -> dict[str, Any]:
        return {"Status": "FAILED" if error else "SUCCESS", "Data": data}

    monkeypatch.setattr(cloudformation, "respond", told)
    with mock_aws():
        yield Vpc()


def test_the_group_has_no_rules_left_and_a_second_time_is_as_good(vpc: Vpc) -> None:
    assert {rule["IsEgress"] for rule in vpc.rules()} == {True, False}
    for request in ("Create", "Update"):
        assert vpc.deploy(request)["Status"] == "SUCCESS"
        assert vpc.rules() == []


def test_removing_the_stack_touches_nothing(vpc: Vpc) -> None:
    before = vpc.rules()
    assert vpc.deploy("Delete")["Status"] == "SUCCESS"
    assert vpc.rules() == before


def test_a_group_that_cannot_be_closed_fails_the_deploy(vpc: Vpc) -> None:
    assert vpc.deploy(group="sg-0")["Status"] == "FAILED"
