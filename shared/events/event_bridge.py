"""Sends entries to EventBridge and returns the outcome of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from shared.platform import logs

SOURCE = "favorites"  # of every event that goes out
ENTRIES_PER_CALL = 10  # what PutEvents takes
PARALLEL_CALLS = 16
CONNECT_TIMEOUT = 1.0  # seconds
READ_TIMEOUT = 2.0  # seconds

# Bytes of the entries of a call (entry_size). The limit was 256 KB until 2026, and may still be in some
# regions; it is 1 MB now. A larger entry is sent alone, so that only it is refused.
CALL_BYTES = 256 * 1024
ENTRY_BYTES = 1024 * 1024  # no bus takes a larger entry
# Error codes of a call that is too large; the second is the HTTP status of an answer without a body.
TOO_LARGE = {"ValidationException", "413"}

Entry = dict[str, Any]
Outcome = bool | str
"""True if the bus took the entry, False if it may take it later, or the reason why it never will."""
Send = Callable[[Sequence[Entry]], Sequence[Outcome]]


def entry_size(detail_type: str, detail: str) -> int:
    """The entry's size in bytes (docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html)."""
    return 14 + sum(len(text.encode()) for text in (SOURCE, detail_type, detail))


def sender() -> Send:
    """The function that sends entries to EventBridge.

    Its client is made here, once: that takes a second of a small function's CPU, and each of several threads
    would make its own.
    """
    return partial(_put_events, _client())


def _put_events(client: Any, entries: Sequence[Entry]) -> list[Outcome]:
    from botocore.exceptions import ClientError

    try:
        answer = client.put_events(Entries=list(entries))
    except ClientError as error:
        # A refused call is the fault of its entry only if that was sent alone because of its size.
        is_large = len(entries) == 1 and len(entries[0]["Detail"].encode()) > CALL_BYTES - 1_024
        if is_large and error.response["Error"]["Code"] in TOO_LARGE:
            return [f"the bus refused it: {error}"]
        raise
    return [_outcome(result) for result in answer["Entries"]]


def _outcome(result: dict[str, str]) -> Outcome:
    code, message = result.get("ErrorCode"), result.get("ErrorMessage", "")
    if code is None:
        return True
    if code == "MalformedDetail":
        return f"the bus refused it: {code} {message}"
    logs.logger().warning("event refused", code=code, reason=message)
    return False


@cache
def _client() -> Any:
    # boto3 is the Lambda runtime's own, and slow to load: only this function needs it.
    import boto3
    from botocore.config import Config

    return boto3.client(
        "events",
        config=Config(
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            # The relay tries again with the next batch. boto3 would wait for half a second on average, and
            # hold up the other calls of the batch.
            retries={"total_max_attempts": 1},
            max_pool_connections=PARALLEL_CALLS,
        ),
    )
