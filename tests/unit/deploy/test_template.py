"""template.yaml as CloudFormation gets to see it: transformed by SAM's own translator, then read with care.

`make lint` looks at the template before the transform, and so misses what only exists after it: the roles and
queues that SAM adds, and circles between what it adds and what is written.
"""

import itertools
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator
from samcli.commands.deploy.auth_utils import auth_per_resource
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider
from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from tests.unit.documents.test_names import CONTRACT, FOLDERS, resource_of
from tests.unit.needs import needs

ROOT = Path(__file__).parents[3]
DATABASE_AUTHORITIES = sorted(ROOT.glob("shared/platform/authorities/rds/*.pem"))
CFN_LINT = str(Path(sys.executable).with_name("cfn-lint"))
Resource = dict[str, Any]

# These know no resource at all.
WITHOUT_RESOURCE = {
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
}
# Lambda makes and removes the functions' network interfaces with their role, wherever it does. A Deny keeps
# the function's own code from it.
ANYWHERE_IN_THE_ACCOUNT = {
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:UnassignPrivateIpAddresses",
    "cloudwatch:DescribeAlarms",
}
# What Aurora PostgreSQL makes of a largest capacity, in ACUs: its user guide, "Maximum connections".
MAX_CONNECTIONS = {1: 189, 4: 823, 8: 1_669}
# What Secrets Manager wants for an action where the secret has a key of ours; to read, everybody may decrypt.
WITH_A_KEY = {"secretsmanager:PutSecretValue": "kms:GenerateDataKey"}
OF_A_QUEUE = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
KEPT_FOR_OTHERS = 20  # RDS's own connections, and a person's
ACCOUNT_CONCURRENCY, UNRESERVED = (
    1_000,
    100,
)  # Lambda's default quota, and what it does not let anybody reserve


@pytest.fixture(scope="session")
def written() -> dict[str, Any]:
    template: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text())
    return template


def transform(release: str = "by hand", **uploaded: str) -> dict[str, Any]:
    """What SAM makes of the template when the code has been uploaded; `uploaded` says where some of it is."""
    text = (ROOT / "template.yaml").read_text()
    return translated(text.replace("RELEASE: by hand", f"RELEASE: {release}"), **uploaded)


def translated(text: str, **uploaded: str) -> dict[str, Any]:
    """What SAM makes of a template's text."""
    template = yaml_parse(text)
    for name, resource in template["Resources"].items():
        for code in {"CodeUri", "ContentUri"} & resource.get("Properties", {}).keys():
            resource["Properties"][code] = uploaded.get(name, "s3://bucket/code")
    parameters = {name: declared["Default"] for name, declared in template["Parameters"].items()}
    session = boto3.Session("key", "secret", region_name="eu-west-1")
    result: dict[str, Any] = Translator({}, Parser(), boto_session=session).translate(template, parameters)
    return result


@pytest.fixture(scope="session")
def transformed() -> dict[str, Any]:
    return transform()


@pytest.fixture(scope="session")
def resources(transformed: dict[str, Any]) -> dict[str, Resource]:
    known: dict[str, Resource] = transformed["Resources"]
    return known


def of_type(resources: dict[str, Resource], kind: str) -> dict[str, dict[str, Any]]:
    """The properties of all resources of a type, by their names."""
    return {
        name: resource.get("Properties", {})
        for name, resource in resources.items()
        if resource["Type"] == kind
    }


def functions(resources: dict[str, Resource]) -> dict[str, dict[str, Any]]:
    return of_type(resources, "AWS::Lambda::Function")


def role_of(resources: dict[str, Resource], folder: str) -> dict[str, Any]:
    """The role of a function, by the name of its folder."""
    role: dict[str, Any] = resources[ref(functions(resources)[resource_of(folder)]["Role"])]["Properties"]
    return role


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def ref(value: Any) -> str:
    """The resource that a value refers to."""
    if "Ref" in value:
        return str(value["Ref"])
    if "Fn::GetAtt" in value:
        return str(value["Fn::GetAtt"][0])
    (name,) = re.findall(r"\$\{([A-Za-z]+)\}", value["Fn::Sub"])
    return str(name)


# ── It can be deployed ────────────────────────────────────────────────────────────────────────────────────


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
            # And it looks for a log group by each function's name, where they share one.
            *("--ignore-checks", "ES1001", "WS1004"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.stdout + linted.stderr == ""


def test_an_endpoint_is_one_short_block_and_the_whole_is_read_in_ten_minutes() -> None:
    text = (ROOT / "template.yaml").read_text()
    assert text.count("\n") <= 1_300
    for folder in set(CONTRACT.values()):
        (block,) = re.findall(rf"^  {resource_of(folder)}:\n(?:    .*\n)+", text, re.MULTILINE)
        assert block.count("\n") <= 20, folder
        assert not re.search(rf"\b{resource_of(folder)}\b", text.replace(block, "")), folder


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


def test_a_server_without_an_address_would_be_seen() -> None:
    # As API Gateway sees it, and refuses it where FailOnWarnings asks for that: SAM's issue 2424.
    text = (ROOT / "template.yaml").read_text()
    api = "    Type: AWS::Serverless::HttpApi\n    Properties:\n"
    broken = translated(text.replace(api, api + "      DisableExecuteApiEndpoint: true\n"))
    (fault,) = unexpected_faults(broken, holds=True)
    assert "servers/0" in fault


def test_it_fits_into_cloudformations_limits(transformed: dict[str, Any]) -> None:
    assert len(transformed["Resources"]) < 500
    assert len(json.dumps(transformed)) < 1_000_000
    assert len(transformed["Parameters"]) < 200


def test_every_parameter_has_a_default_so_that_a_guided_deploy_needs_nothing(written: dict[str, Any]) -> None:
    assert all("Default" in declared for declared in written["Parameters"].values())


def test_a_guided_deploy_is_not_asked_whether_each_route_is_meant_to_be_open() -> None:
    stacks, _ = SamLocalStackProvider.get_stacks(str(ROOT / "template.yaml"))
    asked = [route for route, is_guarded in auth_per_resource(stacks) if not is_guarded]
    assert asked == []  # the answer by default is no, and ends the deploy


# ── Permissions ───────────────────────────────────────────────────────────────────────────────────────────


def statements(resources: dict[str, Resource]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the policies of all roles say, with the name of the role or policy."""
    for name, role in of_type(resources, "AWS::IAM::Role").items():
        for policy in role.get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                yield name, statement
    for name, policy in of_type(resources, "AWS::IAM::ManagedPolicy").items():
        for statement in policy["PolicyDocument"]["Statement"]:
            yield name, statement


def test_no_role_has_an_asterisk_where_a_resource_could_stand(resources: dict[str, Resource]) -> None:
    seen = list(statements(resources))
    assert len(seen) > 10
    for name, statement in seen:
        if statement["Effect"] == "Allow" and "*" in as_list(statement["Resource"]):
            assert set(as_list(statement["Action"])) <= WITHOUT_RESOURCE, name


def test_a_pattern_of_resources_does_not_leave_the_stack(resources: dict[str, Resource]) -> None:
    for name, statement in statements(resources):
        for resource in as_list(statement["Resource"]):
            text = resource.get("Fn::Sub", "") if isinstance(resource, dict) else resource
            if (
                "*" in text
                and text != "*"
                and not set(as_list(statement["Action"])) <= ANYWHERE_IN_THE_ACCOUNT
            ):
                assert "${AWS::StackName}-" in text.split("*")[0], name


def test_the_functions_own_code_makes_no_network_interfaces(resources: dict[str, Resource]) -> None:
    by_effect: dict[str, set[str]] = {"Allow": set(), "Deny": set()}
    for statement in resources["NetworkPolicy"]["Properties"]["PolicyDocument"]["Statement"]:
        by_effect[statement["Effect"]] |= {a for a in as_list(statement["Action"]) if a.startswith("ec2:")}
    assert by_effect["Deny"] == by_effect["Allow"]


def test_no_role_allows_actions_by_pattern_or_borrows_a_policy_of_awss(
    resources: dict[str, Resource],
) -> None:
    for name, statement in statements(resources):
        assert not any("*" in action for action in as_list(statement["Action"])), name
    for name, role in of_type(resources, "AWS::IAM::Role").items():
        borrowed = [arn for arn in role.get("ManagedPolicyArns", []) if "Ref" not in arn]
        assert borrowed == [], name


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_role_allows_what_the_code_of_its_functions_needs_and_nothing_else(
    resources: dict[str, Resource], folder: str
) -> None:
    function = functions(resources)[resource_of(folder)]
    needed = needs(folder)
    variables = function["Environment"]["Variables"]
    named = {ref(variables[name]) for name in needed.secrets}
    expected = {("secretsmanager:GetSecretValue", name) for name in named if name in resources}
    called = needed.actions | {WITH_A_KEY[action] for action in needed.actions & WITH_A_KEY.keys()}
    queues = [
        ref(mapping["EventSourceArn"])
        for mapping in of_type(resources, "AWS::Lambda::EventSourceMapping").values()
        if resource_of(folder) in json.dumps(mapping["FunctionName"])
    ]
    expected |= {(action, queue) for queue in queues for action in OF_A_QUEUE}
    own = {"Role": {"Type": "AWS::IAM::Role", "Properties": role_of(resources, folder)}}
    allowed = {
        (action, ref(resource))
        for _, statement in statements(own)
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }
    assert {pair for pair in allowed if pair[0] not in called} == expected
    assert {action for action, _ in allowed if action in called} == called
    for action in called:
        assert len({resource for allowed_action, resource in allowed if allowed_action == action}) == 1


@pytest.mark.parametrize("folder", FOLDERS)
def test_who_connects_to_something_is_in_the_network_and_nobody_else(
    resources: dict[str, Resource], folder: str
) -> None:
    inside = needs(folder).connects
    assert ("SubnetIds" in functions(resources)[resource_of(folder)]["VpcConfig"]) == inside
    policies = {ref(policy) for policy in role_of(resources, folder)["ManagedPolicyArns"]}
    assert policies == {"FunctionPolicy", "NetworkPolicy"} if inside else {"FunctionPolicy"}


def test_functions_that_may_do_the_same_share_a_role(resources: dict[str, Resource]) -> None:
    used = {ref(function["Role"]) for function in functions(resources).values()}
    alike = [json.dumps(resources[name]["Properties"], sort_keys=True) for name in sorted(used)]
    assert len(set(alike)) == len(alike)


@pytest.mark.parametrize("folder", FOLDERS)
def test_only_who_reads_the_keys_is_told_where_they_are(resources: dict[str, Resource], folder: str) -> None:
    variables = functions(resources)[resource_of(folder)]["Environment"]["Variables"]
    assert ("ACCESS_TOKEN_KEYS" in variables) == ("ACCESS_TOKEN_KEYS" in needs(folder).secrets)


def test_no_secret_is_in_a_variable(resources: dict[str, Resource]) -> None:
    for name, function in functions(resources).items():
        variables = function["Environment"]["Variables"]
        assert "resolve:" not in json.dumps(variables), name
        for variable in {"ACCESS_TOKEN_KEYS", "ADMIN_PASSWORD"} & variables.keys():
            assert resources[ref(variables[variable])]["Type"] == "AWS::SecretsManager::Secret"
        assert "@" not in variables["DATABASE_URL"]["Fn::Sub"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_function_logs_in_to_the_database_as_who_knows_enough_and_no_more(
    resources: dict[str, Resource], folder: str
) -> None:
    variables = functions(resources)[resource_of(folder)]["Environment"]["Variables"]
    if folder == "run_migrations":
        assert variables["DATABASE_CREDENTIALS"] == {"Fn::GetAtt": ["Database", "MasterUserSecret.SecretArn"]}
    elif "DATABASE_CREDENTIALS" in needs(folder).secrets:
        credentials = ref(variables["DATABASE_CREDENTIALS"])
        assert credentials == ("ServiceCredentials" if needs(folder).clients else "CatalogCredentials")


def test_only_products_are_in_reach_of_who_anybody_may_call(resources: dict[str, Resource]) -> None:
    assert resources["CatalogCredentials"]["Properties"]["GenerateSecretString"]["SecretStringTemplate"] == (
        '{"username": "favorites_catalog"}'
    )


def test_the_keys_are_rotated_by_the_function_that_only_their_secret_may_invoke(
    resources: dict[str, Resource],
) -> None:
    rotation = resources["AccessTokenKeysRotation"]["Properties"]
    assert ref(rotation["SecretId"]) == "AccessTokenKeys"
    assert ref(rotation["RotationLambdaARN"]) == "RotateAccessTokenKeysFunction"
    assert rotation["RotationRules"] == {"ScheduleExpression": "rate(30 days)"}
    permission = resources["RotateAccessTokenKeysPermission"]["Properties"]
    assert permission["SourceArn"] == {"Ref": "AccessTokenKeys"}
    assert permission["SourceAccount"] == {"Ref": "AWS::AccountId"}


def test_a_password_that_was_renewed_is_read_anew(resources: dict[str, Resource]) -> None:
    for name, function in functions(resources).items():
        variables = function["Environment"]["Variables"]
        assert variables["PARAMETERS_SECRETS_EXTENSION_CACHE_ENABLED"] == "false", name


# ── Nothing is lost ───────────────────────────────────────────────────────────────────────────────────────


def test_every_asynchronous_source_has_a_dead_letter_queue(resources: dict[str, Resource]) -> None:
    queues = of_type(resources, "AWS::SQS::Queue")
    for name, function in functions(resources).items():
        assert ref(function["DeadLetterConfig"]["TargetArn"]) in queues, name
    schedules = of_type(resources, "AWS::Scheduler::Schedule")
    assert len(schedules) == 3
    for name, schedule in schedules.items():
        assert ref(schedule["Target"]["DeadLetterConfig"]["Arn"]) in queues, name
    for name, rule in of_type(resources, "AWS::Events::Rule").items():
        for target in rule["Targets"]:
            assert ref(target["DeadLetterConfig"]["Arn"]) in queues, name
    for name, mapping in of_type(resources, "AWS::Lambda::EventSourceMapping").items():
        assert "RedrivePolicy" in queues[ref(mapping["EventSourceArn"])], name


def test_who_sends_dead_letters_may(resources: dict[str, Resource]) -> None:
    allowed = {
        (name, ref(resource))
        for name, statement in statements(resources)
        if "sqs:SendMessage" in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }
    assert ("FunctionPolicy", "FailedInvocations") in allowed
    for name, schedule in of_type(resources, "AWS::Scheduler::Schedule").items():
        assert (ref(schedule["Target"]["RoleArn"]), "FailedInvocations") in allowed, name
    for name, role in of_type(resources, "AWS::IAM::Role").items():
        if name in {ref(function["Role"]) for function in functions(resources).values()}:
            assert {"Ref": "FunctionPolicy"} in role["ManagedPolicyArns"], name


def test_prod_keeps_its_data_for_longest_and_cannot_lose_it_by_mistake(
    written: dict[str, Any], resources: dict[str, Resource]
) -> None:
    days = {stage: sizes["BackupDays"] for stage, sizes in written["Mappings"]["Stages"].items()}
    assert days["dev"] < days["staging"] < days["prod"] == 35  # the longest there is
    database = resources["Database"]["Properties"]
    assert database["BackupRetentionPeriod"]["Fn::FindInMap"][2] == "BackupDays"
    assert database["DeletionProtection"] == {"Fn::If": ["IsProd", True, False]}
    assert resources["DatabaseReader"]["Condition"] == "IsProd"


def test_a_zone_that_fails_takes_no_other_with_it_in_prod(resources: dict[str, Resource]) -> None:
    assert ref(resources["PrivateRouteA"]["Properties"]["NatGatewayId"]) == "NatGatewayA"
    condition, prod, others = resources["PrivateRouteB"]["Properties"]["NatGatewayId"]["Fn::If"]
    assert (condition, ref(prod), ref(others)) == ("IsProd", "NatGatewayB", "NatGatewayA")
    gateways = (resources[f"NatGateway{zone}"]["Properties"]["SubnetId"] for zone in "AB")
    assert list(map(ref, gateways)) == ["PublicSubnetA", "PublicSubnetB"]


def test_a_failure_of_an_asynchronous_invocation_counts_once(resources: dict[str, Resource]) -> None:
    configured = of_type(resources, "AWS::Lambda::EventInvokeConfig")
    assert len(configured) == len(FOLDERS) + 1
    assert all(config["MaximumRetryAttempts"] == 0 for config in configured.values())
    assert configured["RunMigrationsOnce"]["Qualifier"] == "$LATEST"


def test_two_stages_have_room_in_one_account(resources: dict[str, Resource]) -> None:
    for kind, name in (
        ("AWS::Scheduler::Schedule", "Name"),
        ("AWS::Lambda::Function", "FunctionName"),
        ("AWS::Events::EventBus", "Name"),
    ):
        for properties in of_type(resources, kind).values():
            assert properties[name]["Fn::Sub"].startswith("${AWS::StackName}-")


def test_the_way_out_is_there_for_as_long_as_the_migrations_are(resources: dict[str, Resource]) -> None:
    # Else CloudFormation takes it down first, and the answer to the stack's removal is never heard.
    def needs(name: str) -> set[str]:
        text = json.dumps(resources[name])
        named = re.findall(r'"Ref": "(\w+)"|"Fn::GetAtt": \["(\w+)"|\$\{(\w+)', text)
        return {*as_list(resources[name].get("DependsOn", [])), *itertools.chain(*named)} & resources.keys()

    closure: set[str] = set()
    new = {"Migrations"}
    while new:
        closure |= new
        new = set().union(*map(needs, new)) - closure
    assert closure >= {
        *("PublicSubnetARoutes", "PublicSubnetBRoutes", "PublicRoute", "InternetGatewayAttachment"),
        *("PrivateSubnetARoutes", "PrivateSubnetBRoutes", "NatGatewayA", "StorageEndpoint"),
        *("FunctionsSecurityGroup", "FunctionsToDatabase", "FunctionsToCache", "Cache", "DatabaseWriter"),
        *("DatabaseSecurityGroup", "FunctionsLogGroup", "RunMigrationsRole"),
    }


def test_a_queue_waits_six_times_as_long_as_its_function_may_take(resources: dict[str, Resource]) -> None:
    queue = resources["CatalogEventsQueue"]["Properties"]
    assert queue["VisibilityTimeout"] >= 6 * functions(resources)["RefreshProductCacheFunction"]["Timeout"]


def test_the_database_and_the_key_outlive_the_stack(resources: dict[str, Resource]) -> None:
    assert resources["Database"]["DeletionPolicy"] == "Snapshot"
    assert resources["Key"]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert resources["Database"]["UpdateReplacePolicy"] == "Snapshot"
    assert resources["Key"]["UpdateReplacePolicy"] == "Retain"


# ── Nobody comes in, and nothing is readable ──────────────────────────────────────────────────────────────


def test_only_the_functions_reach_the_database_and_the_cache(resources: dict[str, Resource]) -> None:
    assert not of_type(resources, "AWS::EC2::SecurityGroupIngress")
    groups = of_type(resources, "AWS::EC2::SecurityGroup")
    ways_in = {name: group.get("SecurityGroupIngress", []) for name, group in groups.items()}
    assert ways_in.keys() == {"FunctionsSecurityGroup", "DatabaseSecurityGroup", "CacheSecurityGroup"}
    assert ways_in.pop("FunctionsSecurityGroup") == []
    for name, ways in ways_in.items():
        assert [ref(way["SourceSecurityGroupId"]) for way in ways] == ["FunctionsSecurityGroup"], name


def test_everything_but_the_ways_out_lies_in_the_private_subnets(resources: dict[str, Resource]) -> None:
    private = [{"Ref": "PrivateSubnetA"}, {"Ref": "PrivateSubnetB"}]
    for name, function in functions(resources).items():
        assert function["VpcConfig"].get("SubnetIds", private) == private, name
    assert resources["DatabaseSubnets"]["Properties"]["SubnetIds"] == private
    assert resources["Cache"]["Properties"]["SubnetIds"] == private
    public = {ref(gateway["SubnetId"]) for gateway in of_type(resources, "AWS::EC2::NatGateway").values()}
    assert public == {"PublicSubnetA", "PublicSubnetB"}
    zones = [resources[f"PrivateSubnet{zone}"]["Properties"]["AvailabilityZone"] for zone in "AB"]
    assert zones[0] != zones[1]


def test_everything_that_is_kept_is_encrypted_with_the_stacks_key(resources: dict[str, Resource]) -> None:
    keys = {
        "AWS::RDS::DBCluster": "KmsKeyId",
        "AWS::ElastiCache::ServerlessCache": "KmsKeyId",
        "AWS::SecretsManager::Secret": "KmsKeyId",
        "AWS::Logs::LogGroup": "KmsKeyId",
        "AWS::SNS::Topic": "KmsMasterKeyId",
        "AWS::Lambda::Function": "KmsKeyArn",
    }
    for kind, key in keys.items():
        found = of_type(resources, kind)
        assert found
        for name, properties in found.items():
            assert ref(properties[key]) == "Key", name
    assert resources["Database"]["Properties"]["StorageEncrypted"] is True
    # On the way, too.
    assert resources["DatabaseParameters"]["Properties"]["Parameters"]["rds.force_ssl"] == 1
    for function in functions(resources).values():
        variables = function["Environment"]["Variables"]
        query = urlsplit(variables["DATABASE_URL"]["Fn::Sub"]).query
        authorities = parse_qs(query)["sslrootcert"][0].partition("/opt/python/")[2]
        assert query.startswith("sslmode=verify-full&")
        assert sorted(ROOT.glob(authorities.replace("${AWS::Region}", "*"))) == DATABASE_AUTHORITIES
        assert variables["REDIS_URL"]["Fn::Sub"].startswith("rediss://")
    assert all(queue["SqsManagedSseEnabled"] for queue in of_type(resources, "AWS::SQS::Queue").values())


# ── Limits ────────────────────────────────────────────────────────────────────────────────────────────────


def reserved(resources: dict[str, Resource]) -> dict[str, int]:
    return {
        name: int(function["ReservedConcurrentExecutions"]["Fn::If"][1])
        for name, function in functions(resources).items()
    }


@pytest.mark.parametrize("stage", ["staging", "prod"])
def test_all_functions_together_open_fewer_connections_than_the_database_takes(
    written: dict[str, Any], resources: dict[str, Resource], stage: str
) -> None:
    most = written["Mappings"]["Stages"][stage]["MaxAcu"]
    assert sum(reserved(resources).values()) + KEPT_FOR_OTHERS <= MAX_CONNECTIONS[most]
    assert sum(reserved(resources).values()) <= ACCOUNT_CONCURRENCY - UNRESERVED


def test_the_alarm_of_connections_lies_between_what_is_used_and_what_there_is(
    resources: dict[str, Resource],
) -> None:
    threshold = resources["DatabaseConnectionsAlarm"]["Properties"]["Threshold"]
    assert sum(reserved(resources).values()) <= threshold < MAX_CONNECTIONS[4]


def test_the_queue_does_not_ask_for_more_executions_than_are_reserved(resources: dict[str, Resource]) -> None:
    (mapping,) = of_type(resources, "AWS::Lambda::EventSourceMapping").values()
    most = mapping["ScalingConfig"]["MaximumConcurrency"]
    assert most <= reserved(resources)["RefreshProductCacheFunction"]


def test_log_in_and_registration_are_throttled_more_than_the_rest(
    written: dict[str, Any], resources: dict[str, Resource]
) -> None:
    for sizes in written["Mappings"]["Stages"].values():
        assert sizes["AuthRate"] <= sizes["Rate"] / 10
        assert sizes["AuthBurst"] <= sizes["Burst"] / 10
    (stage,) = of_type(resources, "AWS::ApiGatewayV2::Stage").values()
    strict = {route for route, limits in stage["RouteSettings"].items() if "AuthRate" in json.dumps(limits)}
    assert strict == {
        f"{method} {path}"
        for method, path in CONTRACT
        if path.startswith("/auth/") or (method, path) == ("POST", "/clients")
    }


# What a page reads of another origin's answer without being allowed to: the Fetch standard, "CORS-safelisted
# response-header name".
READABLE_ANYWAY = {"cache-control", "content-language", "content-length", "content-type", "expires"}


def test_a_page_of_another_origin_reads_every_header_of_ours_and_our_clock(written: dict[str, Any]) -> None:
    document = json.loads((ROOT / "functions" / "get_docs" / "openapi.json").read_text())
    sent = {name.lower() for name in document["components"]["headers"]} - READABLE_ANYWAY
    _, allowed, _ = written["Resources"]["Api"]["Properties"]["CorsConfiguration"]["Fn::If"]
    # A browser corrects its clock by Date (docs/contract.md: favorited_at).
    assert set(allowed["ExposeHeaders"]) == sent | {"date"}


def test_dev_pauses_its_database_and_prod_never_does(written: dict[str, Any]) -> None:
    stages = written["Mappings"]["Stages"]
    assert stages["dev"]["MinAcu"] == 0
    assert stages["prod"]["MinAcu"] > 0


# ── Deploying ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_migrations_are_done_before_any_function_changes(resources: dict[str, Resource]) -> None:
    migrations = resources["Migrations"]
    code = resources[ref(migrations["Properties"]["Code"])]
    assert code["Type"] == "AWS::Lambda::Version"
    assert ref(code["Properties"]["FunctionName"]) == "RunMigrationsFunction"
    assert "DatabaseWriter" in migrations["DependsOn"]
    for name, function in functions(resources).items():
        waits = ref(function["Environment"]["Variables"]["SCHEMA_VERSION"] or {"Ref": ""}) == "Migrations"
        # The one cannot wait for itself; the other has nothing to do with the database.
        assert waits == (name not in {"RunMigrationsFunction", "RotateAccessTokenKeysFunction"}), name


def test_cloudformation_waits_longer_for_the_migrations_than_they_may_take(
    resources: dict[str, Resource],
) -> None:
    timeout = functions(resources)["RunMigrationsFunction"]["Timeout"]
    assert resources["Migrations"]["Properties"]["ServiceTimeout"] > timeout


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
    assert (ROOT / "template.yaml").read_text().count("RELEASE: by hand") == 1


def test_every_route_leads_to_the_alias_whose_traffic_is_shifted(resources: dict[str, Resource]) -> None:
    paths = resources["Api"]["Properties"]["Body"]["paths"]
    for path, methods in paths.items():
        for method, route in methods.items():
            uri = route["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
            assert f"{resource_of(CONTRACT[method.upper(), path])}Aliaslive" in uri


def test_new_code_is_tried_on_a_tenth_of_the_traffic_in_prod(resources: dict[str, Resource]) -> None:
    groups = of_type(resources, "AWS::CodeDeploy::DeploymentGroup")
    assert len(groups) == len(FOLDERS) - 2
    for group in groups.values():
        condition, prod, others = group["DeploymentConfigName"]["Fn::If"]
        assert condition == "IsProd"
        assert prod["Fn::Sub"][1]["ConfigName"] == "Canary10Percent10Minutes"
        assert others["Fn::Sub"][1]["ConfigName"] == "AllAtOnce"


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
        assert {ref(alarm["Name"]) for alarm in heeded["Alarms"]} == expected
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
    assert len(expected) <= 10  # CodeDeploy takes no more


def test_another_timeout_alone_makes_another_version(resources: dict[str, Resource]) -> None:
    def hashes(**timeouts: int) -> set[str]:
        text = (ROOT / "template.yaml").read_text()
        for before, after in timeouts.items():
            text = text.replace(f"    Timeout: {before.removeprefix('of_')}\n", f"    Timeout: {after}\n")
        return set(of_type(translated(text)["Resources"], "AWS::Lambda::Version"))

    assert hashes() == set(of_type(resources, "AWS::Lambda::Version"))
    changed = hashes() - hashes(of_15=14)
    assert len(changed) == sum(function["Timeout"] == 15 for function in functions(resources).values())


# ── Alarms ────────────────────────────────────────────────────────────────────────────────────────────────


def alarms(resources: dict[str, Resource]) -> dict[str, dict[str, Any]]:
    return of_type(resources, "AWS::CloudWatch::Alarm")


def metrics(alarm: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The metrics that an alarm looks at, by their ids."""
    return {query["Id"]: query["MetricStat"] for query in alarm["Metrics"] if "MetricStat" in query}


def watched(alarm: dict[str, Any], metric: str) -> dict[str, str]:
    """The resources whose metric an alarm looks at, by the metric's id in its expression."""
    return {
        id_: ref(stat["Metric"]["Dimensions"][0]["Value"])
        for id_, stat in metrics(alarm).items()
        if stat["Metric"]["MetricName"] == metric
    }


def test_every_alarm_tells_somebody(resources: dict[str, Resource]) -> None:
    listening = {"SchedulesAlarm", "CatalogPollsAlarm", "AccessTokenKeysAlarm"}  # for silence
    for name, alarm in alarms(resources).items():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "Alerts"}], name
        assert alarm["AlarmDescription"], name
        silence = "breaching" if name in listening else "notBreaching"
        assert alarm["TreatMissingData"] == silence, name


POLL_SECONDS: dict[str, int] = yaml_parse((ROOT / "template.yaml").read_text())["Mappings"]["CatalogPolls"][
    "Seconds"
]


def test_three_polls_that_are_missed_are_an_alarm_however_often_there_is_one(written: dict[str, Any]) -> None:
    allowed = written["Parameters"]["CatalogPollMinutes"]["AllowedValues"]
    assert {str(minutes): minutes * 60 for minutes in allowed} == POLL_SECONDS
    alarm = written["Resources"]["CatalogPollsAlarm"]["Properties"]
    assert (alarm["EvaluationPeriods"], alarm["TreatMissingData"]) == (3, "breaching")


def test_the_page_for_operators_says_what_each_alarm_means(resources: dict[str, Resource]) -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    told = dict(re.findall(r"^\| `(\w+)`( [¹²])? \|", page, re.MULTILINE))
    assert told.keys() == {name.removesuffix("Alarm") for name in alarms(resources)}
    taking_back = resources["LoginFunctionDeploymentGroup"]["Properties"]["AlarmConfiguration"]["Fn::If"][1]
    expected = {ref(alarm["Name"]).removesuffix("Alarm") for alarm in taking_back["Alarms"]}
    assert {name for name, mark in told.items() if mark == " ¹"} == expected
    conditional = {name for name in told if resources[f"{name}Alarm"].get("Condition") == "KeepsHot"}
    assert {name for name, mark in told.items() if mark == " ²"} == conditional


def test_no_alarm_is_beyond_what_cloudwatch_takes(resources: dict[str, Resource]) -> None:
    assert 12 <= len(alarms(resources)) <= 16
    for name, alarm in alarms(resources).items():
        assert len(metrics(alarm)) <= 10, name
        assert len(alarm["Metrics"]) <= 20, name
        assert sum(query.get("ReturnData", True) for query in alarm["Metrics"]) == 1, name
        for query in alarm["Metrics"]:
            names = re.findall(r"[a-z_]\w*", query.get("Expression", ""))
            assert set(names) <= {other["Id"] for other in alarm["Metrics"]}, name
        for stat in metrics(alarm).values():
            fixed = stat["Period"]
            for period in [fixed] if isinstance(fixed, int) else POLL_SECONDS.values():
                assert period % 60 == 0
                assert period * alarm["EvaluationPeriods"] <= (86_400 if period < 3_600 else 604_800), name


def test_every_function_that_no_request_waits_for_is_watched(resources: dict[str, Resource]) -> None:
    of_the_api = {resource_of(folder) for folder in CONTRACT.values()}
    # CloudFormation waits for the migrations, and the age of the keys tells of their rotation.
    others = (
        functions(resources).keys() - of_the_api - {"RunMigrationsFunction", "RotateAccessTokenKeysFunction"}
    )
    errors = {name for alarm in alarms(resources).values() for name in watched(alarm, "Errors").values()}
    assert errors == others
    assert set(watched(alarms(resources)["ThrottlesAlarm"], "Throttles").values()) == others


def minutes_between(function: dict[str, Any], poll: int) -> int:
    """The minutes between two runs of a function's schedule; 0 where events invoke it."""
    (event,) = function["Events"].values()
    if event["Type"] != "ScheduleV2":
        return 0
    rate = event["Properties"]["ScheduleExpression"]
    text = rate if isinstance(rate, str) else rate["Fn::Sub"].replace("${CatalogPollMinutes}", str(poll))
    return int(re.fullmatch(r"rate\((\d+) minutes?\)", text)[1])  # type: ignore[index]


@pytest.mark.parametrize("poll", [seconds // 60 for seconds in POLL_SECONDS.values()])
def test_a_function_that_fails_every_time_rings_however_seldom_it_runs(
    written: dict[str, Any], resources: dict[str, Resource], poll: int
) -> None:
    for name, alarm in alarms(resources).items():
        periods, needed = (
            alarm["EvaluationPeriods"],
            alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]),
        )
        for id_, function in watched(alarm, "Errors").items():
            between = minutes_between(written["Resources"][function]["Properties"], poll)
            fixed = metrics(alarm)[id_]["Period"]
            minutes = (fixed if isinstance(fixed, int) else POLL_SECONDS[str(poll)]) / 60
            failing = periods if not between else min(periods, periods * minutes // between)
            assert failing >= needed, f"{name}: {function} runs every {between} minutes"


def test_errors_are_a_share_of_the_same_functions_invocations(resources: dict[str, Resource]) -> None:
    alarm = alarms(resources)["EventErrorsAlarm"]
    errors, calls = watched(alarm, "Errors"), watched(alarm, "Invocations")
    pairs = re.findall(r"100 \* FILL\((\w+), 0\) / (\w+)", alarm["Metrics"][0]["Expression"])
    assert len(pairs) == len(errors) == len(calls)
    assert all(errors[failed] == calls[called] for failed, called in pairs)


def test_what_the_alarms_on_the_api_count_is_in_its_access_log(resources: dict[str, Resource]) -> None:
    (stage,) = of_type(resources, "AWS::ApiGatewayV2::Stage").values()
    line = access_log_line(stage)
    filters = of_type(resources, "AWS::Logs::MetricFilter")
    counted = set()
    for name, properties in filters.items():
        assert ref(properties["LogGroupName"]) == "ApiLogGroup"
        assert set(re.findall(r"\$\.(\w+)", properties["FilterPattern"])) <= line.keys(), name
        (made,) = properties["MetricTransformations"]
        assert name == made["MetricName"] + "Metric"
        counted.add(made["MetricName"])
    looked_at = {
        stat["Metric"]["MetricName"]
        for alarm in alarms(resources).values()
        for stat in metrics(alarm).values()
        if "Favorites/" in json.dumps(stat["Metric"]["Namespace"]) and "Dimensions" not in stat["Metric"]
    }
    assert looked_at == counted


def test_both_dead_letter_queues_are_watched(resources: dict[str, Resource]) -> None:
    alarm = alarms(resources)["DeadLettersAlarm"]
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")
    assert set(watched(alarm, "ApproximateNumberOfMessagesVisible").values()) == {
        "CatalogEventsDeadLetters",
        "FailedInvocations",
    }


def test_the_metrics_of_our_own_are_those_that_the_code_sends(resources: dict[str, Resource]) -> None:
    sent = {
        name
        for path in (ROOT / "shared").rglob("*.py")
        for name in re.findall(r'"((?:[A-Z][a-z]+){2,})"(?:: \(|\)|, )', path.read_text())
    }
    assert {"OutboxLag", "ProductAnswers"} <= sent
    for name, alarm in alarms(resources).items():
        for stat in metrics(alarm).values():
            metric = stat["Metric"]
            if "Favorites/" in json.dumps(metric["Namespace"]) and "Dimensions" in metric:
                assert metric["MetricName"] in sent, name
                assert metric["Dimensions"][0] == {"Name": "service", "Value": "favorites"}
    namespace = {"Fn::Sub": "Favorites/${AWS::StackName}"}
    for function in functions(resources).values():
        assert function["Environment"]["Variables"]["POWERTOOLS_METRICS_NAMESPACE"] == namespace


def test_keys_that_are_not_rotated_are_missed_before_the_next_rotation(
    resources: dict[str, Resource],
) -> None:
    alarm = alarms(resources)["AccessTokenKeysAlarm"]
    day = 86_400
    assert 30 * day < alarm["Threshold"] < 60 * day
    (stat,) = metrics(alarm).values()
    assert stat["Period"] == day
    look = resources["RotateAccessTokenKeysFunctionLook"]["Properties"]
    assert look["ScheduleExpression"] == "rate(1 day)"
    assert json.loads(look["Target"]["Input"]["Fn::Sub"]) == {"SecretId": "${AccessTokenKeys}"}


def test_every_log_is_kept_for_a_time_and_no_longer(resources: dict[str, Resource]) -> None:
    for name, group in of_type(resources, "AWS::Logs::LogGroup").items():
        assert group["RetentionInDays"]["Fn::FindInMap"][0] == "Stages", name
    for name, function in functions(resources).items():
        assert function["LoggingConfig"] == {"LogGroup": {"Ref": "FunctionsLogGroup"}}, name


def test_the_access_log_is_json_and_names_the_request_as_problems_do(resources: dict[str, Resource]) -> None:
    (stage,) = of_type(resources, "AWS::ApiGatewayV2::Stage").values()
    line = access_log_line(stage)
    assert line["request_id"] == "$context.requestId"
    assert all(value.startswith("$context.") for value in line.values())  # no header: they hold tokens
    assert line["status"] == "$context.status"
    assert '"milliseconds":$context.responseLatency,' in stage["AccessLogSettings"]["Format"]  # a number


def access_log_line(stage: dict[str, Any]) -> dict[str, str]:
    """A line of the access log, each value as the variable that it is."""
    text = stage["AccessLogSettings"]["Format"]
    line: dict[str, str] = json.loads(re.sub(r":(\$context[.\w]+)", r':"\1"', text))
    return line


def dashboard(resources: dict[str, Resource]) -> str:
    """The dashboard's JSON where the schedules run, with its references."""
    body, more = resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    condition, there, otherwise = more["OfSchedules"]["Fn::If"]
    assert (condition, otherwise) == ("KeepsHot", "")
    return str(body.replace("${OfSchedules}", there["Fn::Sub"]))


def test_the_dashboard_is_json_and_shows_what_exists(resources: dict[str, Resource]) -> None:
    body = dashboard(resources)
    assert json.loads(body)["widgets"]
    for name in re.findall(r"\$\{([A-Za-z]+)(?:\.\w+)?\}", body):
        assert name in resources


def test_the_dashboard_shows_every_alarm(resources: dict[str, Resource]) -> None:
    (widget,) = [
        it["properties"] for it in json.loads(dashboard(resources))["widgets"] if it["type"] == "alarm"
    ]
    shown = {re.sub(r"\$\{(\w+)\.Arn\}", r"\1", arn) for arn in widget["alarms"]}
    assert shown == alarms(resources).keys()


# ── samconfig.toml ────────────────────────────────────────────────────────────────────────────────────────


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
