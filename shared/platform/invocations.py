"""Invoking another function of this service, without waiting for it."""

from __future__ import annotations

from functools import cache
from typing import Any

from shared.platform import logs

CONNECT_TIMEOUT = 1.0  # seconds
READ_TIMEOUT = 2.0  # seconds
SECONDS = CONNECT_TIMEOUT + READ_TIMEOUT + 1.0  # that an invocation may take, with the import of boto3


def invoke_quietly(function: str) -> None:
    """Let Lambda invoke the function soon. A failure is only logged: a schedule invokes it as well."""
    try:
        _client().invoke(FunctionName=function, InvocationType="Event")
    except Exception as error:  # noqa: BLE001 — of boto3 or the network
        logs.logger().warning(
            "not invoked", function=function, reason=f"{type(error).__name__}: {error}"[:500]
        )


@cache
def _client() -> Any:
    # boto3 is the Lambda runtime's own, and slow to load: only functions that no request waits for use it.
    import boto3
    from botocore.config import Config

    return boto3.client(
        "lambda",
        config=Config(
            connect_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT, retries={"total_max_attempts": 1}
        ),
    )
