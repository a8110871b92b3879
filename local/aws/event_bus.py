"""An EventBridge bus on this machine: rules that send events to queues, queues that invoke functions.

Its queues are SQS queues in what a function sees of them: a batch of records, and what failed comes again
until it is a dead letter. They are kept in memory and end with the process.
"""

import hashlib
import heapq
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from local.aws.execution_environment import FunctionFailed
from local.aws.template import Queue, Rule
from local.servers.services import Log

Invoke = Callable[[str, Mapping[str, Any]], Any]
"""Gives a function an event and returns its result; raises FunctionFailed."""

REGION = "us-east-1"
ACCOUNT = "123456789012"

_RETRY_SECONDS = 1.0
_LONGEST_LINE = 500


class EventBus:
    """Takes events, shows each as one line on `log`, and sends it to the queues of the rules it matches."""

    def __init__(self, rules: Iterable[Rule], queues: Iterable[Queue], invoke: Invoke, log: Log) -> None:
        self._rules = list(rules)
        self._queues = {queue.name: EventQueue(queue, invoke, log) for queue in queues}
        self._log = log

    def put(self, source: str, detail_type: str, detail: str) -> str:
        """Take an event whose `detail` is a JSON object; return its id.

        Raises ValueError when the detail is none.
        """
        parsed = json.loads(detail)
        if not isinstance(parsed, dict):
            raise ValueError("it is not a JSON object")  # noqa: TRY004 - as for what is no JSON
        envelope = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": detail_type,
            "source": source,
            "account": ACCOUNT,
            "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": REGION,
            "resources": [],
        }
        self._log(_short(f"event | {source} {detail_type} {detail}"))
        # The detail goes on as it came: parsed and written again, 9.90 would be 9.9.
        body = f'{json.dumps(envelope)[:-1]}, "detail": {detail}}}'
        for rule in self._rules:
            if matches(rule.pattern, {**envelope, "detail": parsed}):
                for name in rule.queues:
                    self._queues[name].send(body)
        return str(envelope["id"])

    def wait_until_delivered(self, seconds: float) -> None:
        """Return when every event was taken or is a dead letter, or after so many seconds."""
        deadline = time.monotonic() + seconds
        for queue in self._queues.values():
            queue.wait_until_empty(max(0.0, deadline - time.monotonic()))

    def stop(self) -> None:
        """Deliver nothing any more."""
        for queue in self._queues.values():
            queue.stop()


@dataclass(order=True)
class _Message:
    visible_at: float
    number: int
    body: str = field(compare=False)
    id: str = field(compare=False)
    sent_at: float = field(compare=False)
    receives: int = field(default=0, compare=False)


class EventQueue:
    """Delivers messages to a function from a thread of its own.

    A message that fails is delivered again after `retry_seconds`, while others go on; after as many receives
    as the queue allows it is shown as a dead letter and dropped.
    """

    def __init__(self, queue: Queue, invoke: Invoke, log: Log, retry_seconds: float = _RETRY_SECONDS) -> None:
        self._queue = queue
        self._invoke = invoke
        self._log = log
        self._retry_seconds = retry_seconds
        self._messages: list[_Message] = []
        self._sent = 0
        self._open = 0  # messages that are neither taken nor dead
        self._changed = threading.Condition()
        self._stopping = False
        threading.Thread(target=self._run, daemon=True, name=f"queue-{queue.name}").start()

    def send(self, body: str) -> None:
        """Put a message into the queue."""
        with self._changed:
            self._sent += 1
            self._open += 1
            now = time.time()
            heapq.heappush(
                self._messages, _Message(time.monotonic(), self._sent, body, str(uuid.uuid4()), now)
            )
            self._changed.notify_all()

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
            failed = self._deliver(batch)
            if self._stopping:
                return
            for message in batch:
                if message.id not in failed or self._is_dead(message):
                    self._forget()
                else:
                    self._return(message)

    def _receive(self) -> list[_Message]:
        """Wait for messages; return none when the queue is stopped."""
        with self._changed:
            while not self._stopping:
                now = time.monotonic()
                batch: list[_Message] = []
                while (
                    self._messages and self._messages[0].visible_at <= now and len(batch) < self._queue.batch
                ):
                    message = heapq.heappop(self._messages)
                    message.receives += 1
                    batch.append(message)
                if batch:
                    return batch
                self._changed.wait(self._messages[0].visible_at - now if self._messages else None)
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

    def _is_dead(self, message: _Message) -> bool:
        if message.receives < self._queue.receives:
            return False
        self._log(_short(f"dead letter | {self._queue.name}, {message.receives} receives: {message.body}"))
        return True

    def _forget(self) -> None:
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def _return(self, message: _Message) -> None:
        with self._changed:
            message.visible_at = time.monotonic() + self._retry_seconds
            heapq.heappush(self._messages, message)


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Tell whether an event has, for every field of a rule's pattern, one of the values the pattern lists."""
    for name, allowed in pattern.items():
        value = event.get(name)
        if isinstance(allowed, Mapping):
            if not isinstance(value, Mapping) or not matches(allowed, value):
                return False
        elif value not in allowed:
            return False
    return True


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


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 1]}…"
