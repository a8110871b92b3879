"""Reads the next events of each stream from the outbox, one stream after the other, in a circle.

Every statement finds the streams in the index `outbox_by_stream`, and reads at most `EVENTS_PER_STREAM` rows
of each. So the cost of a stream does not depend on how many events wait in it, or whether it is blocked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import LiteralString

from psycopg.rows import class_row

from shared.events.dead_letters import OutboxEvent
from shared.platform import database

EVENTS_PER_STREAM = 5  # read at a time

# The streams after `after`, in order. Each step of the recursion is one index look-up.
NEXT_STREAMS: LiteralString = """
WITH RECURSIVE streams AS (
    (SELECT stream FROM outbox WHERE stream > %(after)s ORDER BY stream LIMIT 1)
     UNION ALL
    SELECT following.stream
      FROM streams
     CROSS JOIN LATERAL (
           SELECT stream FROM outbox WHERE stream > streams.stream ORDER BY stream LIMIT 1
           ) AS following
)
SELECT stream FROM streams LIMIT %(limit)s
"""

# The first events of each stream after the number `after`. The comparison of the stream stands outside: with
# `stream = …` inside, PostgreSQL may scan by number instead, through the rows of all streams.
NEXT_EVENTS: LiteralString = """
SELECT outbox_id, following.stream, detail_type, created_at,
       (jsonb_build_object('event_id', event_id) || detail::jsonb)::text AS detail
  FROM unnest(%(streams)s::text[], %(after)s::bigint[]) AS wanted (stream, after)
 CROSS JOIN LATERAL (
       SELECT *
         FROM outbox
        WHERE (outbox.stream, outbox_id) > (wanted.stream, wanted.after)
        ORDER BY outbox.stream, outbox_id
        LIMIT %(limit)s
       ) AS following
 WHERE following.stream = wanted.stream
"""


@dataclass(slots=True)
class OutboxReader:
    """The next events of some streams, in `queues`.

    `position` is the last stream read; `blocked` streams wait for the next run.
    """

    position: str = ""
    queues: dict[str, deque[OutboxEvent]] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)
    _longer: set[str] = field(default_factory=set)  # streams that may have more events
    _continued: dict[str, int] = field(default_factory=dict)  # of these, the number after which to read
    _all_read: bool = False

    def restart(self, position: str) -> None:
        """Drop the events in memory and continue after a stream."""
        self.position = position
        self.queues.clear()
        self._longer.clear()
        self._continued.clear()
        self._all_read = False

    def fill(self, current: database.Connection, streams: int) -> None:
        """Read the next events of up to so many streams."""
        if self._continued:
            self._read_events(current, self._continued)
            self._continued.clear()
        at_begin = False
        while len(self.queues) < streams and not self._all_read:
            rows = current.execute(NEXT_STREAMS, {"after": self.position, "limit": streams}).fetchall()
            found = [row["stream"] for row in rows]
            self._read_events(
                current, {name: 0 for name in found if name not in self.queues and name not in self.blocked}
            )
            if len(found) == streams:
                self.position = found[-1]
            else:  # the end of the circle: once more from the beginning
                self.position, self._all_read, at_begin = "", at_begin, True

    def advance(self, events: Iterable[OutboxEvent]) -> None:
        """Remove these events, each the first of its stream, and move the streams to the end."""
        for event in events:
            queue = self.queues.pop(event.stream)
            queue.popleft()
            if queue:
                self.queues[event.stream] = queue
            elif event.stream in self._longer:
                self._continued[event.stream] = event.outbox_id

    def block(self, events: Iterable[OutboxEvent]) -> None:
        """Let the streams of these events wait for the next run."""
        for event in events:
            self.blocked.add(event.stream)
            del self.queues[event.stream]

    def heads(self, limit: int) -> Sequence[OutboxEvent]:
        """The next event of each stream, at most `limit`."""
        return [queue[0] for queue, _ in zip(self.queues.values(), range(limit), strict=False)]

    def _read_events(self, current: database.Connection, streams: dict[str, int]) -> None:
        if not streams:
            return
        with current.cursor(row_factory=class_row(OutboxEvent)) as cursor:
            cursor.execute(
                NEXT_EVENTS,
                {"streams": [*streams], "after": [*streams.values()], "limit": EVENTS_PER_STREAM},
            )
            for event in cursor:
                self.queues.setdefault(event.stream, deque()).append(event)
        self._longer |= {name for name in streams if len(self.queues.get(name, ())) == EVENTS_PER_STREAM}
