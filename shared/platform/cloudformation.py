"""Answers to CloudFormation, which waits for a custom resource at the ResponseURL of its event.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

from __future__ import annotations

import json
from typing import Any

TIMEOUT = 4  # seconds for CloudFormation to take the answer, each time
RETRIES = 2  # also after an error of its server
LONGEST_REASON = 300  # characters: an answer may have 4096 bytes, and JSON makes up to 12 of one


def respond(
    event: dict[str, Any], resource_id: str, error: Exception | None, data: dict[str, str]
) -> dict[str, Any]:
    """Send CloudFormation success, or the error; return what was sent.

    Raises OSError when that fails; CloudFormation then waits until its own timeout.
    """
    import urllib3
    from urllib3.exceptions import HTTPError

    reason = "Done"
    if error is not None:
        # Further lines may quote the data: they are for the log only.
        first_line = str(error).partition("\n")[0]
        reason = f"{type(error).__name__}: {first_line}"[:LONGEST_REASON]
    result = {
        "Status": "SUCCESS" if error is None else "FAILED",
        "Reason": reason,
        "PhysicalResourceId": event.get("PhysicalResourceId", resource_id),
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": data,
    }
    # The signature of the address is for a request without a Content-Type.
    try:
        answer = urllib3.PoolManager().request(
            "PUT",
            event["ResponseURL"],
            body=json.dumps(result).encode(),
            headers={"Content-Type": ""},
            timeout=urllib3.Timeout(total=TIMEOUT),
            retries=urllib3.Retry(
                RETRIES,
                backoff_factor=0.5,
                status_forcelist=(500, 502, 503, 504),
                allowed_methods=("PUT",),
                raise_on_status=False,
            ),
        )
    except HTTPError as error:
        raise OSError(f"CloudFormation did not take the answer: {error}") from error
    if answer.status != 200:
        raise OSError(f"CloudFormation did not take the answer: {answer.status}")
    return result
