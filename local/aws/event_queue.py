"""A queue on this machine that behaves as SQS does with a function behind it: at least once, in any order.

Several consumers take messages at the same time, at random. A message that fails becomes visible again after
a time; now and then one that was taken is delivered a second time. It is kept in memory and ends with the
process.
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

VISIBILITY_SECONDS = 2.0  # on AWS 180, too long for somebody at a console
DUPLICATES = 0.05  # of the messages; SQS promises no number
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
    """Delivers messages to a function, from as many threads as the queue allows consumers.

    `visibility` is how many seconds a message stays invisible after it was received, if it failed. After as
    many receives as the queue allows it is shown as a dead letter and dropped. `duplicates` is the share of
    messages that are delivered twice.
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
        self._messages: list[_Message] = []  # those that no consumer holds
        self._open = 0  # messages that are neither taken nor dead
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
        """Wait until every message was taken or is a dead letter; False when that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, seconds)

    def stop(self) -> None:
        """Deliver nothing any more; what is being delivered is left to itself."""
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
        """Return the ids of what failed (AWS Lambda, "Handling errors for an SQS event source")."""
        everything = {message.id for message in batch}
        try:
            answer = self._invoke(
                self._queue.function, {"Records": [_record(message, self._queue.name) for message in batch]}
            )
            if not self._queue.reports_failures:
                return set()
            failures = (answer or {}).get("batchItemFailures") or []
            failed = {failure["itemIdentifier"] for failure in failures}
        except (FunctionFailed, AttributeError, KeyError, TypeError):
            return everything
        if failed - everything:
            return everything
        return failed

    def _give_back(self, message: _Message, visible_at: float) -> None:
        if message.receives < self._queue.receives:
            message.visible_at = visible_at
            self._messages.append(message)
        else:
            self._open -= 1
            self._log(
                one_line(f"dead letter | {self._queue.name}, {message.receives} receives: {message.body}")
            )

    def _take_out(self, message: _Message) -> None:
        if not message.is_duplicate and random.random() < self._duplicates:  # noqa: S311 - no secret
            message.is_duplicate = True
            self._messages.append(message)
        else:
            self._open -= 1


def one_line(text: str) -> str:
    """Return the text as one line of the console, cut where it is long."""
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
