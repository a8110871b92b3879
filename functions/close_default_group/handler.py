"""Removes the rules of the VPC's own security group, which is not used, when a stack is made."""

from typing import Any

from shared.platform import cloudformation, logs


def lambda_handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """The answer to CloudFormation, which itself cannot remove a rule that it did not make."""
    failure = None
    try:
        if event["RequestType"] != "Delete":  # the group goes with the VPC
            _close(event["ResourceProperties"]["GroupId"])
    except Exception as error:  # noqa: BLE001 - whatever it is, who deploys waits for an answer
        logs.logger().error("the default security group stays open", exc_info=error)
        failure = error
    return cloudformation.respond(event, "closed", failure, {})


def _close(group_id: str) -> None:
    import boto3  # the Lambda runtime's own, and slow to load
    from botocore.config import Config

    once = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1})
    ec2 = boto3.client("ec2", config=once)
    found = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group_id]}])
    ways_in = [rule["SecurityGroupRuleId"] for rule in found["SecurityGroupRules"] if not rule["IsEgress"]]
    ways_out = [rule["SecurityGroupRuleId"] for rule in found["SecurityGroupRules"] if rule["IsEgress"]]
    if ways_in:
        ec2.revoke_security_group_ingress(GroupId=group_id, SecurityGroupRuleIds=ways_in)
    if ways_out:
        ec2.revoke_security_group_egress(GroupId=group_id, SecurityGroupRuleIds=ways_out)
