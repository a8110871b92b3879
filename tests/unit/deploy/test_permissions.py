"""Who may do what: each role allows what the code of its functions needs, and nothing else."""

import json
from typing import Any

import pytest

from tests.unit.deploy.sam_template import Resource, as_list, functions, of_type, ref, role_of, statements
from tests.unit.documents.test_names import FOLDERS, resource_of
from tests.unit.needs import needs

# These know no resource at all.
WITHOUT_RESOURCE = {
    *("xray:PutTraceSegments", "xray:PutTelemetryRecords"),
    *("ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DescribeSecurityGroupRules"),
}
# Lambda makes and removes the functions' network interfaces with their role, wherever it does. A Deny keeps
# the function's own code from it.
ANYWHERE_IN_THE_ACCOUNT = {
    *("ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"),
    *("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "cloudwatch:DescribeAlarms"),
}
# What Secrets Manager wants for an action where the secret has a key of ours; to read, everybody may decrypt.
WITH_A_KEY = {"secretsmanager:PutSecretValue": "kms:GenerateDataKey"}
OF_A_QUEUE = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}


def test_no_role_allows_more_than_it_names(resources: dict[str, Resource]) -> None:
    seen = list(statements(resources))
    assert len(seen) > 10
    for name, statement in seen:
        actions = set(as_list(statement["Action"]))
        assert not any("*" in action for action in actions), name
        for resource in as_list(statement["Resource"]):
            text = resource.get("Fn::Sub", "") if isinstance(resource, dict) else resource
            if text == "*":
                assert statement["Effect"] == "Deny" or actions <= WITHOUT_RESOURCE, name
            elif "*" in text and not actions <= ANYWHERE_IN_THE_ACCOUNT:
                assert "${AWS::StackName}-" in text.split("*")[0], f"{name} leaves the stack"
    for name, role in of_type(resources, "AWS::IAM::Role").items():
        if name != "BackupRole":  # AWS Backup's own policy changes with what it can back up
            assert all("Ref" in arn for arn in managed_policies(role)), f"{name} borrows a policy of AWS's"


def test_the_functions_own_code_makes_no_network_interfaces(resources: dict[str, Resource]) -> None:
    by_effect: dict[str, set[str]] = {"Allow": set(), "Deny": set()}
    for statement in resources["NetworkPolicy"]["Properties"]["PolicyDocument"]["Statement"]:
        by_effect[statement["Effect"]] |= {a for a in as_list(statement["Action"]) if a.startswith("ec2:")}
    assert by_effect["Deny"] == by_effect["Allow"]


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
def test_a_function_gets_the_network_and_the_secrets_that_its_code_needs_and_no_others(
    resources: dict[str, Resource], folder: str
) -> None:
    function, needed = functions(resources)[resource_of(folder)], needs(folder)
    variables = function["Environment"]["Variables"]
    assert ("SubnetIds" in function["VpcConfig"]) == needed.connects
    policies = {ref(policy) for policy in managed_policies(role_of(resources, folder))}
    assert policies - {"CatalogSecretPolicy", "EdgePolicy"} == (
        {"FunctionPolicy", "NetworkPolicy"} if needed.connects else {"FunctionPolicy"}
    )
    alike = [other for other in FOLDERS if role_of(resources, other) == role_of(resources, folder)]
    reads_it = any("CATALOG_AUTHORIZATION" in needs(other).secrets for other in alike)
    assert ("CatalogSecretPolicy" in policies) == reads_it
    assert ("ACCESS_TOKEN_KEYS" in variables) == ("ACCESS_TOKEN_KEYS" in needed.secrets)
    assert ("ADMIN_PASSWORD" in variables) == (folder == "run_migrations")
    if folder == "run_migrations":
        assert ref(variables["DATABASE_CREDENTIALS"]) == "Database"
    elif "DATABASE_CREDENTIALS" in needed.secrets:
        expected = "ServiceCredentials" if needed.clients else "CatalogCredentials"
        assert ref(variables["DATABASE_CREDENTIALS"]) == expected


def managed_policies(role: Resource) -> list[Any]:
    """The role's managed policies, those behind a condition too."""
    return [arn["Fn::If"][1] if "Fn::If" in arn else arn for arn in role.get("ManagedPolicyArns", [])]


def test_every_role_trusts_a_service_for_this_account_only(resources: dict[str, Resource]) -> None:
    for name, role in of_type(resources, "AWS::IAM::Role").items():
        for statement in role["AssumeRolePolicyDocument"]["Statement"]:
            (condition,) = statement["Condition"].items()
            # Of Lambda it is not documented that it names the account.
            by_lambda = statement["Principal"] == {"Service": "lambda.amazonaws.com"}
            operator = "StringEqualsIfExists" if by_lambda else "StringEquals"
            assert condition == (operator, {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}), name


def test_functions_that_may_do_the_same_share_a_role(resources: dict[str, Resource]) -> None:
    used = {ref(function["Role"]) for function in functions(resources).values()}
    alike = [json.dumps(resources[name]["Properties"], sort_keys=True) for name in sorted(used)]
    assert len(set(alike)) == len(alike)


def test_no_secret_is_in_a_variable(resources: dict[str, Resource]) -> None:
    for name, function in functions(resources).items():
        variables = function["Environment"]["Variables"]
        assert "resolve:" not in json.dumps(variables), name
        for variable in {"ACCESS_TOKEN_KEYS", "ADMIN_PASSWORD"} & variables.keys():
            assert resources[ref(variables[variable])]["Type"] == "AWS::SecretsManager::Secret"
        assert "@" not in json.dumps(variables["DATABASE_URL"])
        # A password that was renewed is read anew.
        assert variables["PARAMETERS_SECRETS_EXTENSION_CACHE_ENABLED"] == "false", name
    template = resources["CatalogCredentials"]["Properties"]["GenerateSecretString"]["SecretStringTemplate"]
    assert template == '{"username": "favorites_catalog"}'


NONE = {"Ref": "AWS::NoValue"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_uses_no_server_and_no_secret_has_no_settings_of_them(
    resources: dict[str, Resource], folder: str
) -> None:
    function = functions(resources)[resource_of(folder)]
    variables = function["Environment"]["Variables"]
    servers = [variables[name] for name in ("DATABASE_URL", "DATABASE_CREDENTIALS", "REDIS_URL")]
    uses = needs(folder).connects
    assert (NONE in servers) != uses
    assert all(value == NONE for value in servers) != uses
    assert len(function["Layers"]) == (3 if uses else 2)  # the extension for secrets is the third one


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
