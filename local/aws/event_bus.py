"""An EventBridge bus on this machine: rules that send events to queues, queues that invoke functions.

What this service sends out has no rule in the template, because its consumers are others: here a file
(`local.aws.outgoing`) and, if there is one, an address get it.
"""

import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from local.aws.event_queue import (
    ACCOUNT,
    DUPLICATES,
    REGION,
    VISIBILITY_SECONDS,
    EventQueue,
    Invoke,
    one_line,
)
from local.aws.template import Queue, Rule
from local.servers.services import Log

OURS = "favorites"  # the source of what this service sends out

Consumer = Callable[[str], None]
"""Takes an event in EventBridge's envelope, as JSON in one line."""


class EventBus:
    """Takes events, shows each as one line on `log`, and sends it to the queues of the rules it matches.

    Those that this service sends out go to the `consumers`. `visibility` and `duplicates` are those of
    the queues.
    """

    def __init__(
        self,
        rules: Iterable[Rule],
        queues: Iterable[Queue],
        invoke: Invoke,
        log: Log,
        *,
        consumers: Iterable[Consumer] = (),
        visibility: float = VISIBILITY_SECONDS,
        duplicates: float = DUPLICATES,
    ) -> None:
        self._rules = list(rules)
        self._queues = {
            queue.name: EventQueue(queue, invoke, log, visibility=visibility, duplicates=duplicates)
            for queue in queues
        }
        self._consumers = list(consumers)
        self._log = log

    def put(self, source: str, detail_type: str, detail: str, time: datetime | None = None) -> str:
        """Take an event whose `detail` is a JSON object; return its id. `time` is now where it is None.

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
            "time": (time or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": REGION,
            "resources": [],
        }
        rules = [rule for rule in self._rules if matches(rule.pattern, {**envelope, "detail": parsed})]
        nobody = "" if rules or source == OURS else " (no rule takes it)"
        self._log(one_line(f"event{nobody} | {source} {detail_type} {detail}"))
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
        """Return when every event was taken or is a dead letter, or after so many seconds."""
        deadline = datetime.now(UTC).timestamp() + seconds
        for queue in self._queues.values():
            queue.wait_until_empty(max(0.0, deadline - datetime.now(UTC).timestamp()))

    def stop(self) -> None:
        """Deliver nothing any more."""
        for queue in self._queues.values():
            queue.stop()


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
