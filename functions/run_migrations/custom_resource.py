"""The migrations as a custom resource of CloudFormation: a deploy waits for them, and fails with them.

CloudFormation invokes the function for a stack that is made, changed or removed, and reads at the event's
ResponseURL how it went.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from functions.run_migrations import migrations
from shared.platform import logs

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT = 10  # seconds for CloudFormation to take the answer
ATTEMPTS = 3
LONGEST_REASON = 300  # characters: an answer may have 4096 bytes, and JSON makes up to 12 of one


def answer(
    event: dict[str, Any], migrate: Callable[[], dict[str, Any]], fill_copy: Callable[[], str]
) -> dict[str, Any]:
    """What CloudFormation was told: SUCCESS or FAILED, why, and as data the schema's version and products.

    Removing the stack migrates nothing. A database that is newer than this code is what a deploy that is
    taken back finds: every migration has to let the release before it go on working, so that is a success.
    Raises OSError when CloudFormation cannot be told; it then waits until its own timeout.
    """
    status, reason, version, products = "SUCCESS", "Done", "", "not looked at"
    try:
        version = migrations.load()[-1].name.partition("_")[0]
        if event["RequestType"] != "Delete":
            logs.logger().info("migrated", **migrate())
            products = fill_copy()
    except migrations.DatabaseIsNewer as error:
        logs.logger().warning("taken back", reason=str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, who deploys waits for an answer
        logs.logger().error("migrations failed", exc_info=error)
        # The first line says what; those after it may quote the data, and stay in the log.
        first_line = str(error).partition("\n")[0]
        status, reason = "FAILED", f"{type(error).__name__}: {first_line}"[:LONGEST_REASON]
    told = {
        "Status": status,
        "Reason": reason,
        "PhysicalResourceId": event.get("PhysicalResourceId", "schema"),
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": {"SchemaVersion": version, "Products": products},
    }
    _put(event["ResponseURL"], json.dumps(told).encode())
    return told


def _put(url: str, body: bytes) -> None:
    import urllib3

    # The address is signed for a request without a type of content.
    answer = urllib3.PoolManager().request(
        "PUT", url, body=body, headers={"Content-Type": ""}, timeout=TIMEOUT, retries=ATTEMPTS - 1
    )
    if answer.status != 200:
        raise OSError(f"CloudFormation did not take the answer: {answer.status}")
