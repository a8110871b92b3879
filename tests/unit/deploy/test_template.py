"""The template can be deployed: it is valid after the transform, and a release is one thing."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator
from samcli.commands.deploy.auth_utils import auth_per_resource
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider

from functions.try_new_version.handler import PACE
from tests import documents
from tests.documents import ROOT
from tests.unit.deploy.sam_template import (
    TEXT,
    Resource,
    functions,
    of_type,
    ref,
    transform,
    translated,
    without_traffic,
)
from tests.unit.documents.test_names import CONTRACT, FOLDERS, resource_of

CFN_LINT = str(Path(sys.executable).with_name("cfn-lint"))


@pytest.mark.slow
def test_what_is_deployed_has_no_fault_that_cfn_lint_knows(
    transformed: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "template.json").write_text(json.dumps(transformed))
    linted = subprocess.run(  # noqa: S603 - our own template
        [
            *(CFN_LINT, str(tmp_path / "template.json")),
            *("--append-rules", "cfn_lint_serverless.rules"),
            # It wants a destination for failures of every event source; only those of streams have one, and
            # for a queue it is the queue's own redrive policy.
            # It looks for a log group by each function's name, where they share one, and wants all traced.
            *("--ignore-checks", "ES1001", "WS1000", "WS1004"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.stdout + linted.stderr == ""


def test_an_endpoint_is_one_short_block_and_no_line_is_long() -> None:
    assert [line for line in TEXT.splitlines() if len(line) > 140] == []
    for folder in set(CONTRACT.values()):
        (block,) = re.findall(rf"^  {resource_of(folder)}:\n(?:    .*\n)+", TEXT, re.MULTILINE)
        assert block.count("\n") <= 20, folder
        assert not re.search(rf"\b{resource_of(folder)}\b", TEXT.replace(block, "")), folder


# What SAM leaves out of every HTTP API, the last one a schema; API Gateway takes it as it is.
KNOWN_GAPS = {
    r"paths/.+/[a-z]+/responses": "{} has less than 1 property",
    r"paths/.+/parameters/\d+": "is not valid under any of the schemas listed in the 'oneOf' keyword",
}


def unexpected_faults(template: dict[str, Any], *, holds: bool) -> list[str]:
    """What an OpenAPI validator has against the API's body, every condition being true or every one false."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(each) for each in value]
        if not isinstance(value, dict):
            return value
        if "Fn::If" in value:
            return plain(value["Fn::If"][1 if holds else 2])
        if "Ref" in value or "Fn::Sub" in value:
            return "text"
        return {str(name): plain(each) for name, each in value.items()}

    body = json.loads(json.dumps(plain(template["Resources"]["Api"]["Properties"]["Body"])))
    faults = (
        ("/".join(map(str, error.absolute_path)), error.message)
        for error in OpenAPIV30SpecValidator(body).iter_errors()
    )
    return [
        f"{path}: {message}"
        for path, message in faults
        if not any(re.fullmatch(gap, path) and text in message for gap, text in KNOWN_GAPS.items())
    ]


@pytest.mark.parametrize("holds", [True, False])
def test_the_api_is_an_openapi_document(transformed: dict[str, Any], holds: bool) -> None:
    assert unexpected_faults(transformed, holds=holds) == []


def test_it_fits_into_cloudformations_limits_and_a_guided_deploy_needs_no_answer(
    written: dict[str, Any], transformed: dict[str, Any]
) -> None:
    assert len(transformed["Resources"]) < 500
    assert len(json.dumps(transformed)) < 1_000_000
    assert len(transformed["Parameters"]) < 200
    assert all("Default" in declared for declared in written["Parameters"].values())


@pytest.mark.slow
def test_a_guided_deploy_is_not_asked_whether_each_route_is_meant_to_be_open() -> None:
    stacks, _ = SamLocalStackProvider.get_stacks(str(ROOT / "template.yaml"))
    asked = [route for route, is_guarded in auth_per_resource(stacks) if not is_guarded]
    assert asked == []  # the answer by default is no, and ends the deploy


def test_the_migrations_are_done_before_any_function_changes(
    written: dict[str, Any], resources: dict[str, Resource]
) -> None:
    migrations = resources["Migrations"]
    code = resources[ref(migrations["Properties"]["Code"])]
    assert code["Type"] == "AWS::Lambda::Version"
    assert ref(code["Properties"]["FunctionName"]) == "RunMigrationsFunction"
    assert "DatabaseWriter" in migrations["DependsOn"]
    timeout = functions(resources)["RunMigrationsFunction"]["Timeout"]
    assert migrations["Properties"]["ServiceTimeout"] > timeout
    for name, function in functions(resources).items():
        waits = ref(function["Environment"]["Variables"]["SCHEMA_VERSION"] or {"Ref": ""}) == "Migrations"
        # The migrations cannot wait for themselves; the others have nothing to do with the database.
        assert waits == (name not in without_traffic(written)), name


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"DependenciesLayer": "s3://bucket/another"},
        {"SharedLayer": "s3://bucket/another"},
        {"release": "2026-11-23T12-00-00Z"},
    ],
)
def test_another_layer_and_another_release_make_another_version_of_every_function(
    transformed: dict[str, Any], change: dict[str, str]
) -> None:
    def versions(template: dict[str, Any]) -> set[str]:
        return set(of_type(template["Resources"], "AWS::Lambda::Version"))

    before, after = versions(transformed), versions(transform(**change))
    assert len(before) == len(after) == len(FOLDERS)
    assert before.isdisjoint(after)


def test_make_deploy_writes_the_release_where_the_template_has_a_place_for_it() -> None:
    (line,) = [line for line in (ROOT / "Makefile").read_text().splitlines() if "RELEASE" in line]
    assert "s/RELEASE: by hand/RELEASE: " in line
    assert TEXT.count("RELEASE: by hand") == 1


def test_every_route_leads_to_the_alias_whose_traffic_is_shifted(resources: dict[str, Resource]) -> None:
    paths = resources["Api"]["Properties"]["Body"]["paths"]
    for path, methods in paths.items():
        for method, route in methods.items():
            uri = route["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
            assert f"{resource_of(CONTRACT[method.upper(), path])}Aliaslive" in uri


def test_new_code_is_tried_on_a_tenth_of_the_traffic_but_in_dev(
    written: dict[str, Any], resources: dict[str, Resource]
) -> None:
    groups = of_type(resources, "AWS::CodeDeploy::DeploymentGroup")
    assert len(groups) == len(FOLDERS) - len(without_traffic(written))
    for group in groups.values():
        condition, dev, others = group["DeploymentConfigName"]["Fn::If"]
        assert condition == "IsDev"
        assert dev["Fn::Sub"][1]["ConfigName"] == "AllAtOnce"
        assert others["Fn::Sub"][1]["ConfigName"] == "Canary10Percent10Minutes"


def shifting(resources: dict[str, Resource]) -> dict[str, dict[str, Any]]:
    """How the traffic of each alias is shifted."""
    return {
        name: resource["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        for name, resource in resources.items()
        if resource["Type"] == "AWS::Lambda::Alias" and "UpdatePolicy" in resource
    }


def test_each_new_version_is_tried_before_it_gets_traffic(resources: dict[str, Resource]) -> None:
    hooks = {ref(policy["BeforeAllowTrafficHook"]) for policy in shifting(resources).values()}
    assert hooks == {"TryNewVersionFunction"}
    role = resources["CodeDeployRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    assert {"Fn::GetAtt": ["TryNewVersionFunction", "Arn"]} in [it["Resource"] for it in role]


def test_deployments_come_in_waves_that_lambdas_control_plane_takes(resources: dict[str, Resource]) -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: 15 calls a second in an account
    # and region, without invocations and GetFunction, which has 100 of its own.
    quota = 15
    role = resources["CodeDeployRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    (actions,) = [it["Action"] for it in role if "lambda:UpdateAlias" in it["Action"]]
    calls = len(set(actions) - {"lambda:GetFunction"})
    assert len(shifting(resources)) * calls > quota  # all at once would be too many
    # The hook lets so many deployments pass in a second; ten minutes later they come in the same order.
    hook = functions(resources)["TryNewVersionFunction"]["ReservedConcurrentExecutions"]["Fn::If"][1]
    assert hook / PACE * calls <= quota


def test_alarms_take_a_deploy_back(resources: dict[str, Resource]) -> None:
    groups = of_type(resources, "AWS::CodeDeploy::DeploymentGroup")
    expected = {
        *("ApiFailuresAlarm", "ApiLatencyAlarm", "InternalErrorsAlarm"),
        *("EventErrorsAlarm", "PollErrorsAlarm"),
    }
    for group in groups.values():
        condition, heeded, ignored = group["AlarmConfiguration"]["Fn::If"]
        assert (condition, ignored) == ("HeedsAlarms", {})
        assert heeded["Enabled"] is True
        assert {ref(alarm["Name"]) for alarm in heeded["Alarms"]} == expected  # 10 at most
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]


@pytest.mark.slow
def test_another_timeout_alone_makes_another_version(resources: dict[str, Resource]) -> None:
    def hashes(**timeouts: int) -> set[str]:
        text = TEXT
        for before, after in timeouts.items():
            text = text.replace(f"    Timeout: {before.removeprefix('of_')}\n", f"    Timeout: {after}\n")
        return set(of_type(translated(text)["Resources"], "AWS::Lambda::Version"))

    assert hashes() == set(of_type(resources, "AWS::Lambda::Version"))
    changed = hashes() - hashes(of_15=14)
    assert len(changed) == sum(function["Timeout"] == 15 for function in functions(resources).values())


@pytest.mark.parametrize("stage", ["dev", "staging", "prod"])
def test_samconfig_knows_how_to_deploy_each_stage(written: dict[str, Any], stage: str) -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    deploy = config[stage]["deploy"]["parameters"]
    # For the build as for the deploy: both have to be told the same of Architecture.
    given = dict(item.split("=", 1) for item in config[stage]["global"]["parameters"]["parameter_overrides"])
    assert "parameter_overrides" not in deploy
    assert config[stage]["build"] == config["default"]["build"]
    assert given["Stage"] == stage
    assert given.keys() <= written["Parameters"].keys()
    assert deploy["stack_name"] == f"favorites-{stage}"
    assert deploy["capabilities"] == "CAPABILITY_IAM"
    assert deploy["resolve_s3"] is True
    assert stage in written["Parameters"]["Stage"]["AllowedValues"]


@pytest.mark.parametrize("page", documents.pages())
def test_no_page_deploys_in_another_way_than_make_deploy(page: str) -> None:
    # SAM alone publishes no version for another parameter, and one that exists for another concurrency.
    commands = [*(fence.text for fence in documents.fences(page)), *documents.codes(documents.prose(page))]
    assert [command for command in commands if re.search(r"\bsam deploy --|^\S*sam deploy$", command)] == []


def test_two_zones_differ_and_the_cache_can_be_replaced(written: dict[str, Any]) -> None:
    (rule,) = written["Rules"]["ZonesDiffer"]["Assertions"]
    assert rule["Assert"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "FirstZone"}, {"Ref": "SecondZone"}]}]}
    # Subnets and key cannot be changed: another zone is another name, made before the old cache is removed.
    name = written["Resources"]["Cache"]["Properties"]["ServerlessCacheName"]["Fn::Sub"]
    assert name == "${AWS::StackName}-${FirstZone}${SecondZone}"
