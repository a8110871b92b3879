"""Secrets of AWS Secrets Manager, read through the Parameters and Secrets Lambda Extension.

The extension is AWS's own process beside the runtime. It signs the call, so that a function need not load
boto3, which takes longer than the rest of a cold start. It listens on localhost, and requires the
session token of the function's role.
https://docs.aws.amazon.com/secretsmanager/latest/userguide/retrieving-secrets_lambda.html
"""

from __future__ import annotations

import json
import os
import time

from shared.errors import SecretUnavailable
from shared.platform import deadlines, logs

PORT = 2773
TIMEOUT = 2.0  # seconds for an answer of the extension, which calls Secrets Manager
READING = 3.0  # seconds for all attempts together
ATTEMPTS = 3  # the extension may start after the runtime
PAUSE = 0.1  # seconds between them
KEPT = 900  # seconds for which `kept` does not read again

_kept: dict[str, tuple[float, str]] = {}


def is_arn(value: str) -> bool:
    """Whether a setting is the ARN of a secret, and stands for its value."""
    return value.startswith("arn:")


def modules() -> tuple[str, ...]:
    """The modules that reading secrets needs, if a setting of this function is one."""
    needed = any(is_arn(os.environ.get(name, "")) for name in ("ACCESS_TOKEN_KEYS", "DATABASE_CREDENTIALS"))
    return ("http.client",) if needed else ()


def read(arn: str) -> str:
    """The secret's present value. Raises SecretUnavailable."""
    with deadlines.within(READING):
        return _read(arn)


def _read(arn: str) -> str:
    reason = "out of time"
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(deadlines.left(PAUSE))
        seconds = deadlines.left(TIMEOUT)
        if not seconds:
            break
        try:
            status, body = deadlines.call(lambda: _request(arn), seconds)
            if status != 200:
                reason = f"{status} {body[:200].decode(errors='replace')}"
                continue
            secret = json.loads(body)["SecretString"]
        except OSError as error:
            reason = str(error)
        except (ValueError, TypeError, KeyError):
            reason = "the answer is not as it should be"  # not shown: it may contain a secret
        else:
            if isinstance(secret, str) and secret:
                return secret
            reason = "it holds no text"
    raise SecretUnavailable(f"{arn} could not be read: {reason}")


def kept(arn: str) -> str:
    """The value from memory; it is read again after `KEPT` seconds, if it can be.

    Raises SecretUnavailable if it was never read.
    """
    now = time.monotonic()
    known = _kept.get(arn)
    if known is None or now - known[0] > KEPT:
        try:
            known = (now, read(arn))
        except SecretUnavailable as error:
            if known is None:
                raise
            logs.logger().warning("secret kept", reason=str(error))
            known = (now, known[1])
        _kept[arn] = known
    return known[1]


def forget() -> None:
    """Clear the memory of `kept`."""
    _kept.clear()


def _request(arn: str) -> tuple[int, bytes]:
    from urllib.parse import quote

    return _get(
        f"127.0.0.1:{PORT}",
        f"/secretsmanager/get?secretId={quote(arn, safe='')}",
        {"X-Aws-Parameters-Secrets-Token": os.environ.get("AWS_SESSION_TOKEN", "")},
    )


def _get(host: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    """The status and the body. Raises OSError if the answer is not complete."""
    # Imported here: only settings with an ARN need it, and there are none on a developer's machine.
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection(host, timeout=TIMEOUT)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except HTTPException as error:
        raise OSError(f"the answer is cut off: {error!r}") from error
    finally:
        connection.close()
