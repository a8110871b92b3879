"""Sends what the outbox holds to the event bus: at least once, and each stream in its order.

One publisher at a time: another finds the lock taken and leaves. Of a stream, the next event goes out when
the one before it was taken; an event that the bus refuses holds back its own stream only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row

from shared.platform import database, logs, metrics, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SOURCE = "favorites"  # of every event that goes out
AT_ONCE = 10  # entries a PutEvents call takes
READ = 200  # events a transaction sends at the most
ATTEMPTS = 3  # for an entry that the bus refuses, before it waits for the next run

_LOCK = 4_242_002  # beside that of the migrations


@dataclass(frozen=True, slots=True)
class _Waiting:
    outbox_id: int
    stream: str
    detail_type: str
    detail: str
    created_at: datetime
    age: float

    def entry(self, bus: str) -> dict[str, Any]:
        return {
            "Time": self.created_at,
            "Source": SOURCE,
            "DetailType": self.detail_type,
            "Detail": self.detail,
            "EventBusName": bus,
        }


@dataclass(slots=True)
class Published:
    """What a run did: events `sent`, and those that were `refused` and stay for the next run."""

    sent: int = 0
    refused: int = 0
    blocked: set[str] = field(default_factory=set)


def publish(send: Callable[[Sequence[dict[str, Any]]], Sequence[bool]]) -> Published:
    """Send all that waits, oldest first; `send` says of each of up to `AT_ONCE` entries whether it was taken.

    Raises DatabaseUnavailable, and what `send` raises: what was sent up to `READ` events before that is
    forgotten and sent again by the next run.
    """
    published = Published()
    while database.transaction(lambda current: _publish_some(current, send, published)):
        pass
    return published


def put_events(entries: Sequence[dict[str, Any]]) -> list[bool]:
    """Send the entries to EventBridge; whether each was taken."""
    answer = _client().put_events(Entries=list(entries))
    for result in answer["Entries"]:
        if "ErrorCode" in result:
            logs.logger().warning(
                "event refused", code=result["ErrorCode"], reason=result.get("ErrorMessage", "")
            )
    return ["ErrorCode" not in result for result in answer["Entries"]]


def _publish_some(
    current: database.Connection,
    send: Callable[[Sequence[dict[str, Any]]], Sequence[bool]],
    published: Published,
) -> bool:
    """Whether there may be more to send."""
    row = current.execute("SELECT pg_try_advisory_xact_lock(%(lock)s) AS ours", {"lock": _LOCK}).fetchone()
    if not row or not row["ours"]:
        return False
    with current.cursor(row_factory=class_row(_Waiting)) as cursor:
        waiting = cursor.execute(
            """
            SELECT outbox_id, stream, detail_type, created_at,
                   (jsonb_build_object('event_id', event_id) || detail::jsonb)::text AS detail,
                   extract(epoch FROM now() - created_at)::float AS age
              FROM outbox
             WHERE stream <> ALL (%(blocked)s)
             ORDER BY outbox_id
             LIMIT %(limit)s
            """,
            {"blocked": list(published.blocked), "limit": READ},
        ).fetchall()
    if waiting:
        metrics.put({"OutboxLag": (waiting[0].age, "Seconds")})
    sent = _send(waiting, send, published)
    current.execute("DELETE FROM outbox WHERE outbox_id = ANY (%(sent)s)", {"sent": sent})
    published.sent += len(sent)
    return len(waiting) == READ


def _send(
    waiting: list[_Waiting],
    send: Callable[[Sequence[dict[str, Any]]], Sequence[bool]],
    published: Published,
) -> list[int]:
    """Send in rounds, each stream's next in each round; the ids of what was taken."""
    bus = settings.event_bus_name()
    sent: list[int] = []
    failures: dict[int, int] = {}
    while waiting:
        batch = _next_of_each_stream(waiting)
        taken = send([event.entry(bus) for event in batch])
        for event, was_taken in zip(batch, taken, strict=True):
            if was_taken:
                sent.append(event.outbox_id)
                continue
            failures[event.outbox_id] = failures.get(event.outbox_id, 0) + 1
            if failures[event.outbox_id] == ATTEMPTS:
                published.refused += 1
                published.blocked.add(event.stream)
        done = set(sent)
        waiting = [
            event
            for event in waiting
            if event.outbox_id not in done and event.stream not in published.blocked
        ]
    return sent


def _next_of_each_stream(waiting: list[_Waiting]) -> list[_Waiting]:
    first: dict[str, _Waiting] = {}
    for event in waiting:
        first.setdefault(event.stream, event)
    return list(first.values())[:AT_ONCE]


def _client() -> Any:
    # boto3 is the Lambda runtime's own, and slow to load: nothing but this function needs it.
    import boto3
    from botocore.config import Config

    return boto3.client(
        "events", config=Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard"})
    )
