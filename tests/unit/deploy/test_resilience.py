"""Nothing is lost: dead letters, backups, zones, and limits that fit each other."""

import itertools
import json
import re
from typing import Any

from tests.documents import ROOT
from tests.unit.deploy.sam_template import Resource, as_list, functions, of_type, ref, role_of, statements
from tests.unit.documents.test_names import CONTRACT, FOLDERS

# What Aurora PostgreSQL makes of a largest capacity, in ACUs: its user guide, "Maximum connections".
MAX_CONNECTIONS = {1: 189, 4: 823, 8: 1_669}
KEPT_FOR_OTHERS = 20  # RDS's own connections, and a person's
# Lambda's default quota, and what it does not let anybody reserve.
ACCOUNT_CONCURRENCY, UNRESERVED = 1_000, 100


def test_every_asynchronous_source_has_a_dead_letter_queue_and_may_send_there(
    resources: dict[str, Resource],
) -> None:
    queues = of_type(resources, "AWS::SQS::Queue")
    allowed = {
        (name, ref(resource))
        for name, statement in statements(resources)
        if "sqs:SendMessage" in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }
    assert ("FunctionPolicy", "FailedInvocations") in allowed
    for name, function in functions(resources).items():
        assert ref(function["DeadLetterConfig"]["TargetArn"]) in queues, name
        role = resources[ref(function["Role"])]["Properties"]
        assert {"Ref": "FunctionPolicy"} in role["ManagedPolicyArns"], name
    schedules = of_type(resources, "AWS::Scheduler::Schedule")
    assert len(schedules) == 4
    for name, schedule in schedules.items():
        assert ref(schedule["Target"]["DeadLetterConfig"]["Arn"]) in queues, name
        assert (ref(schedule["Target"]["RoleArn"]), "FailedInvocations") in allowed, name
    for name, rule in of_type(resources, "AWS::Events::Rule").items():
        for target in rule["Targets"]:
            assert ref(target["DeadLetterConfig"]["Arn"]) in queues, name
    for name, mapping in of_type(resources, "AWS::Lambda::EventSourceMapping").items():
        assert "RedrivePolicy" in queues[ref(mapping["EventSourceArn"])], name


def test_prod_keeps_its_data_for_longest_and_cannot_lose_it_by_mistake(
    written: dict[str, Any], resources: dict[str, Resource]
) -> None:
    days = {stage: sizes["BackupDays"] for stage, sizes in written["Mappings"]["Stages"].items()}
    assert days["dev"] < days["staging"] < days["prod"] == 35  # the longest there is
    database = resources["Database"]["Properties"]
    assert database["BackupRetentionPeriod"]["Fn::FindInMap"][2] == "BackupDays"
    assert database["DeletionProtection"] == {"Fn::If": ["IsProd", True, False]}
    assert resources["DatabaseReader"]["Condition"] == "IsProd"
    stages = written["Mappings"]["Stages"]
    assert stages["dev"]["MinAcu"] == 0 < stages["prod"]["MinAcu"]  # dev pauses its database


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


def test_the_database_and_the_key_outlive_the_stack(resources: dict[str, Resource]) -> None:
    policies = {
        name: (resources[name]["DeletionPolicy"], resources[name]["UpdateReplacePolicy"])
        for name in ("Database", "Key")
    }
    assert policies == {"Database": ("Snapshot", "Snapshot"), "Key": ("RetainExceptOnCreate", "Retain")}


def reserved(resources: dict[str, Resource]) -> dict[str, int]:
    return {
        name: int(function["ReservedConcurrentExecutions"]["Fn::If"][1])
        for name, function in functions(resources).items()
    }


def test_all_functions_together_open_fewer_connections_than_the_database_takes(
    written: dict[str, Any], resources: dict[str, Resource]
) -> None:
    used = sum(reserved(resources).values())
    assert used <= ACCOUNT_CONCURRENCY - UNRESERVED
    for stage in ("staging", "prod"):
        most = written["Mappings"]["Stages"][stage]["MaxAcu"]
        assert used + KEPT_FOR_OTHERS <= MAX_CONNECTIONS[most], stage
    of_the_capacity = {"Fn::FindInMap": ["Stages", {"Ref": "Stage"}, "MaxAcu"]}
    threshold = resources["DatabaseConnectionsAlarm"]["Properties"]["Threshold"]
    assert threshold == {"Fn::FindInMap": ["Connections", "RingsAt", of_the_capacity]}
    rings_at = written["Mappings"]["Connections"]["RingsAt"]
    assert all(rings_at[str(most)] < allowed for most, allowed in MAX_CONNECTIONS.items())
    for stage in ("staging", "prod"):
        assert used <= rings_at[str(written["Mappings"]["Stages"][stage]["MaxAcu"])], stage
    assert {str(sizes["MaxAcu"]) for sizes in written["Mappings"]["Stages"].values()} <= rings_at.keys()


def test_prod_has_backups_beside_rdss_own_and_copies_them_to_another_region(
    resources: dict[str, Resource],
) -> None:
    for name in ("BackupVault", "BackupPlan", "BackupSelection", "BackupRole"):
        assert resources[name]["Condition"] == "IsProd", name
    assert resources["BackupVault"]["DeletionPolicy"] == "Retain"
    selection = resources["BackupSelection"]["Properties"]["BackupSelection"]
    assert list(map(ref, selection["Resources"])) == ["Database"]
    (rule,) = resources["BackupPlan"]["Properties"]["BackupPlan"]["BackupPlanRule"]
    condition, (copied,), _ = rule["CopyActions"]["Fn::If"]
    assert condition == "CopiesBackups"
    assert copied["DestinationBackupVaultArn"] == {"Ref": "BackupVaultElsewhere"}


def test_the_migrations_find_a_restored_databases_master(resources: dict[str, Resource]) -> None:
    made_by_rds = {"Fn::GetAtt": ["Database", "MasterUserSecret.SecretArn"]}
    expected = {"Fn::If": ["HasOtherMaster", {"Ref": "MasterCredentials"}, made_by_rds]}
    variables = functions(resources)["RunMigrationsFunction"]["Environment"]["Variables"]
    assert variables["DATABASE_CREDENTIALS"] == expected
    assert (
        expected
        in role_of(resources, "run_migrations")["Policies"][0]["PolicyDocument"]["Statement"][0]["Resource"]
    )


def test_the_queue_waits_for_its_function_and_asks_for_no_more_executions_than_are_reserved(
    resources: dict[str, Resource],
) -> None:
    queue = resources["CatalogEventsQueue"]["Properties"]
    assert queue["VisibilityTimeout"] >= 6 * functions(resources)["RefreshProductCacheFunction"]["Timeout"]
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
