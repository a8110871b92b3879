"""Dead letters: events that the bus will never take, kept for a time in `outbox_refused`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.events import client_events
from shared.platform import database

KEPT_DAYS = 14  # as in a dead-letter queue of SQS
FORGOTTEN_PER_RUN = 1_000  # rows, for a statement of some milliseconds


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """A row of `outbox`."""

    outbox_id: int
    stream: str
    detail_type: str
    detail: str
    created_at: datetime

    @property
    def client_id(self) -> str | None:
        """The client whose data the event contains; `ClientRemoved` contains none."""
        if self.stream.startswith(client_events.PREFIX) and self.detail_type != "ClientRemoved":
            return self.stream.removeprefix(client_events.PREFIX)
        return None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that the bus will never take, and the reason."""

    event: OutboxEvent
    reason: str


@dataclass(frozen=True, slots=True)
class Sorted:
    """Dead letters to `keep`, to `erase` (their client was removed), and events to try `later`."""

    keep: list[DeadLetter]
    erase: list[DeadLetter]
    later: list[OutboxEvent]


def sort(current: database.Connection, letters: Sequence[DeadLetter]) -> Sorted:
    """Sort the letters: those of removed clients may not be kept, those of locked clients have to wait."""
    held = client_events.hold_clients(
        current, {letter.event.client_id for letter in letters if letter.event.client_id}
    )
    result = Sorted([], [], [])
    for letter in letters:
        client_id = letter.event.client_id
        # It has the ids of up to 500 clients, any of whom may be removed.
        if letter.event.detail_type == "FavoriteAlerts":
            result.erase.append(letter)
        elif client_id is None or held.get(client_id):
            result.keep.append(letter)
        elif client_id in held:
            result.later.append(letter.event)
        else:
            result.erase.append(letter)
    return result


def forget_expired() -> int:
    """Remove dead letters older than `KEPT_DAYS`; return their number. Raises DatabaseUnavailable."""
    return database.execute(
        """
        DELETE FROM outbox_refused
         WHERE outbox_id IN (SELECT outbox_id FROM outbox_refused
                              WHERE refused_at < now() - make_interval(days => %(days)s)
                              ORDER BY refused_at LIMIT %(limit)s)
        """,
        {"days": KEPT_DAYS, "limit": FORGOTTEN_PER_RUN},
        idempotent=True,
    )
