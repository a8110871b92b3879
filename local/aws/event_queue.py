"""A queue on this machine, like SQS with a function behind it: at least once, in any order.

Several consumers take messages at random. A message that fails becomes visible again after a time, and now
and then one is delivered twice. All of it is in memory.
"""

import hashlib
import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from local.aws.execution_environment import FunctionFailed
from local.aws.template import Queue
from local.servers.services import Log

Invoke = Callable[[str, Mapping[str, Any]], Any]
"""Gives a function an event and returns its result; raises FunctionFailed."""

REGION = "us-east-1"
ACCOUNT = "123456789012"

VISIBILITY_SECONDS = 2.0  # 180 on AWS, too long at a console
DUPLICATES = 0.05  # share of the messages; for SQS there is no documented number
_LONGEST_LINE = 500


@dataclass(eq=False)
class _Message:
    body: str
    id: str
    sent_at: float  # seconds since the epoch
    visible_at: float = 0.0  # by time.monotonic()
    receives: int = 0
    is_duplicate: bool = False


class EventQueue:
    """Delivers messages to a function, from as many threads as the queue has consumers.

    A message that failed is invisible for `visibility` seconds. After the queue's number of receives it is
    logged as a dead letter and dropped. The share `duplicates` of the messages is delivered twice.
    """

    def __init__(
        self,
        queue: Queue,
        invoke: Invoke,
        log: Log,
        *,
        visibility: float = VISIBILITY_SECONDS,
        duplicates: float = DUPLICATES,
    ) -> None:
        self._queue = queue
        self._invoke = invoke
        self._log = log
        self._visibility = visibility
        self._duplicates = duplicates
        self._messages: list[_Message] = []  # without those that a consumer has
        self._open = 0  # messages not yet delivered or dropped
        self._changed = threading.Condition()
        self._stopping = False
        for number in range(queue.consumers):
            threading.Thread(target=self._run, daemon=True, name=f"queue-{queue.name}-{number}").start()

    def send(self, body: str) -> None:
        """Put a message into the queue."""
        with self._changed:
            self._open += 1
            self._messages.append(_Message(body, str(uuid.uuid4()), time.time()))
            self._changed.notify()

    def wait_until_empty(self, seconds: float) -> bool:
        """Wait until every message was delivered or dropped; False when that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, seconds)

    def stop(self) -> None:
        """Stop delivering, without waiting for deliveries under way."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def _run(self) -> None:
        while batch := self._receive():
            received = time.monotonic()
            failed = self._deliver(batch)
            with self._changed:
                if self._stopping:
                    return
                for message in batch:
                    if message.id in failed:
                        self._give_back(message, received + self._visibility)
                    else:
                        self._take_out(message)
                self._changed.notify_all()

    def _receive(self) -> list[_Message]:
        """Wait for messages; return none when the queue is stopped."""
        with self._changed:
            while not self._stopping:
                now = time.monotonic()
                visible = [message for message in self._messages if message.visible_at <= now]
                if visible:
                    batch = random.sample(visible, min(len(visible), self._queue.batch))
                    for message in batch:
                        self._messages.remove(message)
                        message.receives += 1
                    return batch
                next_one = min((message.visible_at for message in self._messages), default=None)
                self._changed.wait(None if next_one is None else next_one - now)
        return []

    def _deliver(self, batch: list[_Message]) -> set[str]:
        """Return the ids of failed messages (AWS Lambda, "Handling errors for an SQS event source")."""
        everything = {message.id for message in batch}
        records = [_record(message, self._queue.name) for message in batch]
        try:
            answer = self._invoke(self._queue.function, {"Records": records})
            if not self._queue.reports_failures:
                return set()
            failures = (answer or {}).get("batchItemFailures") or []
            failed = {failure["itemIdentifier"] for failure in failures}
        except (FunctionFailed, AttributeError, KeyError, TypeError):
            return everything
        return everything if failed - everything else failed

    def _give_back(self, message: _Message, visible_at: float) -> None:
        if message.receives < self._queue.receives:
            message.visible_at = visible_at
            self._messages.append(message)
        else:
            self._open -= 1
            receives = f"{self._queue.name}, {message.receives} receives"
            self._log(one_line(f"dead letter | {receives}: {message.body}"))

    def _take_out(self, message: _Message) -> None:
        if not message.is_duplicate and random.random() < self._duplicates:  # noqa: S311 - no secret
            message.is_duplicate = True
            self._messages.append(message)
        else:
            self._open -= 1


def one_line(text: str) -> str:
    """Return the text as one line for the console, shortened."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 1]}…"


def _record(message: _Message, queue: str) -> dict[str, Any]:
    return {
        "messageId": message.id,
        "receiptHandle": message.id,
        "body": message.body,
        "attributes": {
            "ApproximateReceiveCount": str(message.receives),
            "SentTimestamp": str(int(message.sent_at * 1000)),
            "SenderId": ACCOUNT,
            "ApproximateFirstReceiveTimestamp": str(int(message.sent_at * 1000)),
        },
        "messageAttributes": {},
        "md5OfBody": hashlib.md5(message.body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}",
        "awsRegion": REGION,
    }
