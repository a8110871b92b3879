"""An EventBridge bus on this machine: rules that send events to queues, queues that invoke functions.

Events of this service have no rule in the template, because their consumers are other systems. Here a file
gets them and, if there is one, an address (`local.aws.outgoing`).
"""

import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from local.aws import event_queue
from local.aws.event_queue import EventQueue, Invoke, one_line
from local.aws.template import Queue, Rule
from local.servers.services import Log

OURS = "favorites"  # the source of this service's own events

Consumer = Callable[[str], None]
"""Takes an event in EventBridge's envelope, as JSON in one line."""


class EventBus:
    """Logs each event as one line, and sends it to the queues of the rules that it matches.

    This service's own events go to the `consumers`. `visibility` and `duplicates` are those of the queues.
    """

    def __init__(
        self,
        rules: Iterable[Rule],
        queues: Iterable[Queue],
        invoke: Invoke,
        log: Log,
        *,
        consumers: Iterable[Consumer] = (),
        visibility: float = event_queue.VISIBILITY_SECONDS,
        duplicates: float = event_queue.DUPLICATES,
    ) -> None:
        self._rules = list(rules)
        self._queues = {
            queue.name: EventQueue(queue, invoke, log, visibility=visibility, duplicates=duplicates)
            for queue in queues
        }
        self._consumers = list(consumers)
        self._log = log

    def put(self, source: str, detail_type: str, detail: str, at: datetime | None = None) -> str:
        """Take an event of the time `at` (default: now); return its id.

        Raises ValueError when the detail is not a JSON object.
        """
        parsed = json.loads(detail)
        if not isinstance(parsed, dict):
            raise ValueError("it is not a JSON object")  # noqa: TRY004 - as for other JSON errors
        envelope = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": detail_type,
            "source": source,
            "account": event_queue.ACCOUNT,
            "time": (at or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": event_queue.REGION,
            "resources": [],
        }
        rules = [rule for rule in self._rules if matches(rule.pattern, {**envelope, "detail": parsed})]
        unmatched = "" if rules or source == OURS else " (no rule takes it)"
        self._log(one_line(f"event{unmatched} | {source} {detail_type} {detail}"))
        # The detail goes on as it came: parsed and written again, 9.90 would be 9.9.
        body = f'{json.dumps(envelope)[:-1]}, "detail": {" ".join(detail.splitlines())}}}'
        for rule in rules:
            for name in rule.queues:
                self._queues[name].send(body)
        if source == OURS:
            for consume in self._consumers:
                consume(body)
        return str(envelope["id"])

    def wait_until_delivered(self, seconds: float) -> None:
        """Return when every event was delivered or is a dead letter, or after so many seconds."""
        deadline = time.monotonic() + seconds
        for queue in self._queues.values():
            queue.wait_until_empty(max(0.0, deadline - time.monotonic()))

    def stop(self) -> None:
        """Stop delivering."""
        for queue in self._queues.values():
            queue.stop()


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Whether the event has one of the listed values for every field of a rule's pattern."""
    for name, allowed in pattern.items():
        value = event.get(name)
        if isinstance(allowed, Mapping):
            if not isinstance(value, Mapping) or not matches(allowed, value):
                return False
        elif value not in allowed:
            return False
    return True
