"""Nobody comes in, and nothing is readable: subnets, security groups, encryption."""

from local.servers.postgres import LOG_SETTINGS
from tests.documents import ROOT
from tests.unit.deploy.sam_template import Resource, functions, of_type, ref

DATABASE_AUTHORITIES = sorted(ROOT.glob("shared/platform/authorities/rds/*.pem"))


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
        "AWS::Backup::BackupVault": "EncryptionKeyArn",
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
    # In transit, too.
    assert resources["DatabaseParameters"]["Properties"]["Parameters"]["rds.force_ssl"] == 1
    for function in functions(resources).values():
        variables = function["Environment"]["Variables"]
        if variables["DATABASE_URL"] == {"Ref": "AWS::NoValue"}:
            continue
        address, parts = variables["DATABASE_URL"]["Fn::Sub"]
        assert "?sslmode=verify-full&sslrootcert=${Authorities}" in address
        authorities = parts["Authorities"]["Fn::Sub"].partition("/opt/python/")[2]
        assert sorted(ROOT.glob(authorities.replace("${AWS::Region}", "*"))) == DATABASE_AUTHORITIES
        assert variables["REDIS_URL"]["Fn::Sub"].startswith("rediss://")
    assert all(queue["SqsManagedSseEnabled"] for queue in of_type(resources, "AWS::SQS::Queue").values())


def test_nobody_is_in_the_vpcs_own_group_and_it_has_no_rules(resources: dict[str, Resource]) -> None:
    closed = resources["DefaultGroupClosed"]["Properties"]
    assert closed["GroupId"] == {"Fn::GetAtt": ["Vpc", "DefaultSecurityGroup"]}
    assert ref(closed["ServiceToken"]) == "CloseDefaultGroupFunction"
    assert closed["ServiceTimeout"] > functions(resources)["CloseDefaultGroupFunction"]["Timeout"]
    for kind, groups in (
        ("AWS::Lambda::Function", "VpcConfig"),
        ("AWS::RDS::DBCluster", "VpcSecurityGroupIds"),
    ):
        for properties in of_type(resources, kind).values():
            assert "DefaultSecurityGroup" not in str(properties[groups])


def test_what_the_network_rejects_is_logged_and_s3_takes_answers_only(resources: dict[str, Resource]) -> None:
    flows = resources["RejectedFlows"]["Properties"]
    assert (flows["TrafficType"], ref(flows["ResourceId"])) == ("REJECT", "Vpc")
    (statement,) = resources["StorageEndpoint"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Action"] == "s3:PutObject"
    assert "cloudformation-custom-resource-response-*/*" in statement["Resource"]["Fn::Sub"]


def test_the_database_logs_as_little_as_the_one_that_the_tests_look_at(
    resources: dict[str, Resource],
) -> None:
    parameters = resources["DatabaseParameters"]["Properties"]["Parameters"]
    assert {name: str(value) for name, value in parameters.items()}.items() >= LOG_SETTINGS.items()
