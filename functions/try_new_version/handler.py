"""Tries each new version of a function before it gets traffic: CodeDeploy's hook BeforeAllowTraffic."""

from __future__ import annotations

import json
import time
from importlib.resources import files
from typing import Any

from shared.platform import logs

# A run takes at least this long. With the reserved concurrency, it bounds how many deployments a second go on
# to call Lambda's control plane, which takes 15 calls a second from the whole account.
PACE = 1.0  # seconds
LONGEST_TRY = 30  # seconds; a version that runs for longer, as a poll of a large catalog does, was imported
THROTTLED_TRIES = 5
CONNECT_TIMEOUT, READ_TIMEOUT = 3, 5  # seconds


def lambda_handler(event: dict[str, Any], _context: Any) -> str:
    """The status for CodeDeploy: Succeeded, or Failed, and then the deploy is taken back.

    Raises boto3's errors when CodeDeploy does not take it; CodeDeploy then gives up after an hour.
    """
    import boto3  # the Lambda runtime's own, and slow to load
    from botocore.config import Config

    started = time.monotonic()
    # Without an answer in seconds, this function would end before it has reported anything.
    patience = Config(
        connect_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT, retries={"total_max_attempts": 2}
    )
    codedeploy = boto3.client("codedeploy", config=patience)
    name, fault = "", ""
    try:
        deployment = codedeploy.get_deployment(deploymentId=event["DeploymentId"])["deploymentInfo"]
        name, version = _target(deployment["revision"])
        fault = _try_version(name, version)
    except Exception as error:  # noqa: BLE001 - whatever it is, the deploy waits for an answer
        fault = f"{type(error).__name__}: {error}"
    status = "Failed" if fault else "Succeeded"
    logs.logger().info("new version tried", tried=name, status=status, fault=fault)
    time.sleep(max(0.0, started + PACE - time.monotonic()))
    codedeploy.put_lifecycle_event_hook_execution_status(
        deploymentId=event["DeploymentId"],
        lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        status=status,
    )
    return status


def _target(revision: dict[str, Any]) -> tuple[str, str]:
    """The function's name and its new version, from the AppSpec that CloudFormation made."""
    content = (revision.get("string") or revision["appSpecContent"])["content"]
    (resource,) = json.loads(content)["Resources"]
    (described,) = resource.values()
    return described["Properties"]["Name"], described["Properties"]["TargetVersion"]


def _try_version(name: str, version: str) -> str:
    """What is wrong with a version, from one invocation with the function's sample event; "" for nothing.

    A refusal is right, and so is a 503: it is not the version's fault that the database sleeps.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ReadTimeoutError

    samples = json.loads((files("functions.try_new_version") / "samples.json").read_text(encoding="utf-8"))
    event = next(event for folder, event in samples.items() if name.endswith(f"-{folder}"))
    # boto3 does not try again: what took too long still runs.
    once = Config(
        connect_timeout=CONNECT_TIMEOUT, read_timeout=LONGEST_TRY, retries={"total_max_attempts": 1}
    )
    client = boto3.client("lambda", config=once)
    for attempt in range(THROTTLED_TRIES):
        try:
            answer = client.invoke(FunctionName=name, Qualifier=version, Payload=json.dumps(event))
            break
        except ReadTimeoutError:
            return ""
        except client.exceptions.TooManyRequestsException:
            if attempt == THROTTLED_TRIES - 1:
                raise
            time.sleep(PACE)
    payload = answer["Payload"].read().decode()
    if "FunctionError" in answer:
        return payload
    result = json.loads(payload)
    status = result.get("statusCode", 200) if isinstance(result, dict) else 200
    return payload if status >= 500 and status != 503 else ""
