"""Deploying from GitHub: two roles, and a workflow that goes from stage to stage."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from samcli.yamlhelper import yaml_parse

from tests.documents import ROOT

ROLES = ROOT / ".github" / "deploy-role.yaml"
WORKFLOWS = ROOT / ".github" / "workflows"
CFN_LINT = str(Path(sys.executable).with_name("cfn-lint"))


@pytest.fixture(scope="module")
def roles() -> dict[str, Any]:
    return {
        name: resource["Properties"]
        for name, resource in yaml_parse(ROLES.read_text())["Resources"].items()
        if resource["Type"] == "AWS::IAM::Role"
    }


def statements(role: dict[str, Any]) -> dict[str, dict[str, Any]]:
    (policy,) = role["Policies"]
    return {statement["Sid"]: statement for statement in policy["PolicyDocument"]["Statement"]}


@pytest.mark.slow
def test_the_roles_have_no_fault_that_cfn_lint_knows() -> None:
    linted = subprocess.run([CFN_LINT, str(ROLES)], capture_output=True, text=True, check=False)  # noqa: S603
    assert linted.stdout + linted.stderr == ""


def test_github_may_only_let_cloudformation_work_with_the_other_role(roles: dict[str, Any]) -> None:
    allowed = statements(roles["DeployRole"])
    services = {
        action.split(":")[0]
        for it in allowed.values()
        for action in ([it["Action"]] if isinstance(it["Action"], str) else it["Action"])
    }
    assert services == {"cloudformation", "iam", "s3"}
    other = {"Fn::GetAtt": ["CloudFormationRole", "Arn"]}
    assert allowed["ChangeTheStackWithTheOtherRole"]["Condition"] == {
        "StringEquals": {"cloudformation:RoleArn": other}
    }
    assert (allowed["HandOver"]["Action"], allowed["HandOver"]["Resource"]) == ("iam:PassRole", other)


def test_only_the_repositorys_environment_is_trusted(roles: dict[str, Any]) -> None:
    (trusted,) = roles["DeployRole"]["AssumeRolePolicyDocument"]["Statement"]
    conditions = trusted["Condition"]["StringEquals"]
    assert conditions["token.actions.githubusercontent.com:sub"] == {
        "Fn::Sub": "repo:${Repository}:environment:${Stage}"
    }
    assert conditions["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"


def test_a_template_cannot_give_more_to_the_roles_that_deploy_it(roles: dict[str, Any]) -> None:
    denied = statements(roles["CloudFormationRole"])["NotItselfAndNotGitHub"]
    assert denied["Effect"] == "Deny"
    names = {resource["Fn::Sub"].rpartition("/")[2] for resource in denied["Resource"]}
    assert names == {role["RoleName"]["Fn::Sub"] for role in roles.values()}


def test_each_stage_waits_for_the_one_before_and_is_asked_as_a_new_client_would() -> None:
    jobs = yaml.safe_load((WORKFLOWS / "deploy.yml").read_text())["jobs"]
    assert [(name, job.get("needs"), job["with"]["stage"]) for name, job in jobs.items()] == [
        ("dev", None, "dev"),
        ("staging", "dev", "staging"),
        ("prod", "staging", "prod"),
    ]
    (job,) = yaml.safe_load((WORKFLOWS / "deploy-stage.yml").read_text())["jobs"].values()
    assert job["environment"].startswith("${{ inputs.stage }}")
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands[0].startswith("make deploy ")
    assert "make smoke" in commands[1]
