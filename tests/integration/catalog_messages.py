"""The catalog's events on their way here: in EventBridge's envelope, in an SQS message, in a batch.

    python -m tests.integration.catalog_messages

is one execution environment of refresh_product_cache that takes a batch (JSON) from each line of its input
and writes the function's answer on a line of its output; `Environments` has several of them.
"""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import simplejson

from functions.refresh_product_cache.handler import lambda_handler
from tests.hostile_catalog import product

Event = dict[str, Any]

_numbers = itertools.count(1)


def changed(version: Any, content: Mapping[str, Any]) -> Event:
    """The product is this, as of `version`."""
    return envelope("ProductChanged", {"version": version, "product": content})


def changed_product(version: Any, number: int = 7, **changes: Any) -> Event:
    """As `changed`, for the good product of that number."""
    return changed(version, product(number, **changes))


def removed(version: Any, product_id: Any = "7") -> Event:
    """The product is gone, as of `version`."""
    return envelope("ProductRemoved", {"version": version, "product_id": product_id})


def envelope(detail_type: str, detail: Any, **changes: Any) -> Event:
    """An event as EventBridge hands it to a queue, with `changes` to the envelope."""
    return {
        "version": "0",
        "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type": detail_type,
        "source": "catalog",
        "account": "123456789012",
        "time": "2026-11-23T12:00:00Z",
        "region": "us-east-1",
        "resources": [],
        "detail": detail,
        **changes,
    }


def text(event: Any) -> str:
    """The event as the queue holds it, its decimals exact."""
    return simplejson.dumps(event, use_decimal=True)


def batch(*bodies: str) -> dict[str, Any]:
    """The messages as Lambda hands them over; their ids are m0, m1, …"""
    return {"Records": [_record(f"m{number}", body) for number, body in enumerate(bodies)]}


def deliver(*events: Event) -> list[str]:
    """Take the events in this process, in one batch; the ids of those that failed."""
    return deliver_texts(*map(text, events))


def deliver_texts(*bodies: str) -> list[str]:
    """Take the messages in this process, in one batch; the ids of those that failed."""
    return failed(lambda_handler(batch(*bodies), None))


def failed(answer: Mapping[str, Any]) -> list[str]:
    """The ids that the function's answer names."""
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def _record(message_id: str, body: str) -> dict[str, Any]:
    return {
        "messageId": message_id,
        "receiptHandle": f"receipt-{next(_numbers)}",
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1795000000000",
            "SenderId": "AROA",
            "ApproximateFirstReceiveTimestamp": "1795000000001",
        },
        "messageAttributes": {},
        "md5OfBody": "",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:catalog-events",
        "awsRegion": "us-east-1",
    }


# ── Several environments ──────────────────────────────────────────────────────────────────────────────────


class Environments:
    """Execution environments of the function, each a process of its own with this process' settings."""

    def __init__(self, count: int) -> None:
        self._stack = ExitStack()
        self._processes: list[subprocess.Popen[str]] = []
        for _ in range(count):
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.catalog_messages"],
                cwd=Path(__file__).parents[2],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self._stack.callback(process.wait, 10)
            self._stack.callback(_pipe(process.stdout).close)
            self._stack.callback(_pipe(process.stdin).close)
            self._processes.append(process)

    def stop(self) -> None:
        """End them; they are done with what they were given."""
        self._stack.close()

    def deliver(self, batches: Sequence[tuple[int, Sequence[Event]]]) -> list[str]:
        """Let each batch be taken by the environment of that number, all of them at once.

        The ids of the messages that failed.
        """
        for number, events in batches:
            _pipe(self._processes[number].stdin).write(json.dumps(batch(*map(text, events))) + "\n")
        for process in self._processes:
            _pipe(process.stdin).flush()
        return [
            message_id
            for number, _ in batches
            for message_id in failed(json.loads(_pipe(self._processes[number].stdout).readline()))
        ]


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _serve(take: Callable[[dict[str, Any], Any], Any]) -> None:
    answers = sys.stdout
    with Path("/dev/null").open("w") as nowhere:  # the function's log and metrics are no answers
        sys.stdout = nowhere
        for line in sys.stdin:
            print(json.dumps(take(json.loads(line), None)), file=answers, flush=True)


if __name__ == "__main__":
    _serve(lambda_handler)
