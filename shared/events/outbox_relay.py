"""The outbox relay: sends events to the event bus, at least once and in order for each stream.

A batch is the next event of each of many streams, sent by several calls at once. It is sent and deleted in
one transaction that holds an advisory lock: a run that is killed sends only one batch again, and two relays
never send at the same time. An event that the bus refuses for now, or whose call failed, holds up only its
own stream. An event that the bus will never take becomes a dead letter.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial

from shared.events import dead_letters
from shared.events.dead_letters import DeadLetter, OutboxEvent
from shared.events.event_bridge import (
    CALL_BYTES,
    ENTRIES_PER_CALL,
    ENTRY_BYTES,
    PARALLEL_CALLS,
    SOURCE,
    Entry,
    Outcome,
    Send,
    entry_size,
)
from shared.events.outbox_reader import OutboxReader
from shared.platform import database, deadlines, logs, metrics, settings

BATCH_SIZE = PARALLEL_CALLS * ENTRIES_PER_CALL
MAX_ATTEMPTS = 5  # for an event; then its stream waits for the next run
ALONE_AFTER = 2  # attempts; then the event has a call of its own, as it may be the reason of the failure
MAX_FAILED_BATCHES = 3  # batches in a row of which no call succeeded; then the run ends
BACKOFF = 0.1  # seconds after the first of these; doubled after each
SEND_TIMEOUT = 5.0  # seconds for the calls of a batch; longer than the timeouts of the bus client
BATCH_SECONDS = SEND_TIMEOUT + 4  # with less time left, no batch is begun
MAX_COUNTED = 100_000  # waiting events that are counted

_LOCK = 4_242_002  # beside that of the migrations


@dataclass(slots=True)
class Relayed:
    """Numbers of events: `sent`, `refused` for now, made `dead_letters`, and `left` (up to `MAX_COUNTED`)."""

    sent: int = 0
    refused: int = 0
    dead_letters: int = 0
    left: int = 0


def relay(send: Send) -> Relayed:
    """Send all waiting events, as long as there is time (`deadlines`).

    Ends early if all calls of `MAX_FAILED_BATCHES` batches in a row failed, and then raises the last call's
    error. Raises DatabaseUnavailable.
    """
    run = _Run()
    pool = ThreadPoolExecutor(PARALLEL_CALLS)
    try:
        while deadlines.left(BATCH_SECONDS) >= BATCH_SECONDS and run.failed_batches < MAX_FAILED_BATCHES:
            if not database.transaction(partial(_relay_batch, run, pool, send)):
                break
            if run.failed_batches:  # between two transactions, so that no lock is held
                time.sleep(BACKOFF * 2 ** (run.failed_batches - 1))
    finally:
        pool.shutdown(wait=False)
    _count_waiting(run.result)
    if run.failure:
        logs.logger().warning("calls of the bus failed", calls=run.failed_calls, reason=str(run.failure))
        if run.failed_batches:
            raise run.failure
    return run.result


@dataclass(slots=True)
class _Run:
    """The state of a run."""

    result: Relayed = field(default_factory=Relayed)
    reader: OutboxReader = field(default_factory=OutboxReader)
    attempts: dict[int, int] = field(default_factory=dict)
    epoch: int | None = None
    failed_calls: int = 0
    failed_batches: int = 0  # in a row
    failure: Exception | None = None  # of the last call that failed

    def retry(self, events: Sequence[OutboxEvent]) -> None:
        """Keep the events for another attempt; after `MAX_ATTEMPTS`, block their streams."""
        for event in events:
            self.attempts[event.outbox_id] = self.attempts.get(event.outbox_id, 0) + 1
        self.block([event for event in events if self.attempts[event.outbox_id] == MAX_ATTEMPTS])

    def block(self, events: Sequence[OutboxEvent]) -> None:
        """Let the streams of these events wait for the next run."""
        self.result.refused += len(events)
        self.reader.block(events)


def _relay_batch(run: _Run, pool: ThreadPoolExecutor, send: Send, current: database.Connection) -> bool:
    """Send one batch; return whether there may be another."""
    lock = current.execute("SELECT pg_try_advisory_xact_lock(%(lock)s) AS held", {"lock": _LOCK}).fetchone()
    if not lock or not lock["held"]:
        return False  # another relay is running
    _check_epoch(run, current)
    run.reader.fill(current, BATCH_SIZE)
    batch = run.reader.heads(BATCH_SIZE)
    if not batch:
        return False
    outcomes = _send(run, pool, send, batch)
    sent = [event for event, outcome in outcomes if outcome is True]
    letters = dead_letters.sort(
        current, [DeadLetter(event, outcome) for event, outcome in outcomes if isinstance(outcome, str)]
    )
    _delete(current, sent, letters, run.reader.position)
    removed = [*letters.keep, *letters.erase]
    for letter in removed:
        metrics.count("EventsSetAside")
        logs.logger().error(
            "dead letter",
            outbox_id=letter.event.outbox_id,
            detail_type=letter.event.detail_type,
            reason=letter.reason,
        )
    run.result.sent += len(sent)
    run.result.dead_letters += len(removed)
    run.reader.advance([*sent, *(letter.event for letter in removed)])
    run.retry([*(event for event, outcome in outcomes if outcome is False), *letters.later])
    return True


def _check_epoch(run: _Run, current: database.Connection) -> None:
    """Drop the events in memory if another relay ran since our last batch: it may have sent them.

    Each batch raises the epoch (`outbox_turns.turn`). A separate statement: it needs a snapshot taken after
    the lock was acquired.
    """
    row = current.execute("SELECT turn, last_stream FROM outbox_turns").fetchone()
    assert row is not None  # noqa: S101 — the migrations made this one row
    if run.epoch is None:
        _measure_lag(current)
    if row["turn"] != run.epoch:
        run.reader.restart(row["last_stream"])
    run.epoch = row["turn"] + 1


def _measure_lag(current: database.Connection) -> None:
    oldest = current.execute(
        "SELECT extract(epoch FROM now() - created_at)::float AS age FROM outbox ORDER BY outbox_id LIMIT 1"
    ).fetchone()
    if oldest:
        metrics.put({"OutboxLag": (oldest["age"], "Seconds")})


def _send(
    run: _Run, pool: ThreadPoolExecutor, send: Send, batch: Sequence[OutboxEvent]
) -> list[tuple[OutboxEvent, Outcome]]:
    """The outcome of each event. Those of a failed call are refused for now."""
    bus = settings.event_bus_name()
    calls, outcomes = _calls(run, batch)
    sending: dict[Future[Sequence[Outcome]], list[OutboxEvent]] = {
        pool.submit(send, [_entry(event, bus) for event in call]): call for call in calls
    }
    done, late = wait(sending, SEND_TIMEOUT)
    failed = len(late)
    if late:
        run.failure = TimeoutError(f"the bus did not answer in {SEND_TIMEOUT} seconds")
    for future in done:
        error, call = future.exception(), sending[future]
        if error is None and len(future.result()) == len(call):
            outcomes += zip(call, future.result(), strict=True)
        elif error is None or isinstance(error, Exception):
            failed += 1
            run.failure = error or ValueError("the bus did not answer for each entry")
            outcomes += [(event, False) for event in call]
        else:
            raise error
    for future in late:
        if future.cancel():  # it had not begun
            outcomes += [(event, False) for event in sending[future]]
        else:  # it may still be sending: another attempt in this run could overtake it
            run.block(sending[future])
    run.failed_calls += failed
    run.failed_batches = run.failed_batches + 1 if calls and failed == len(calls) else 0
    return outcomes


def _calls(
    run: _Run, batch: Sequence[OutboxEvent]
) -> tuple[list[list[OutboxEvent]], list[tuple[OutboxEvent, Outcome]]]:
    """Split a batch into calls, and the events that are too large, each with the reason."""
    calls: list[list[OutboxEvent]] = [[]]
    alone: list[list[OutboxEvent]] = []
    refused: list[tuple[OutboxEvent, Outcome]] = []
    for event in batch:
        size = _size(event)
        if size > ENTRY_BYTES:
            refused.append((event, f"it has {size} bytes, and the bus takes {ENTRY_BYTES}"))
        elif run.attempts.get(event.outbox_id, 0) >= ALONE_AFTER:
            alone.append([event])
        elif len(calls[-1]) == ENTRIES_PER_CALL or sum(map(_size, calls[-1])) + size > CALL_BYTES:
            calls.append([event])
        else:
            calls[-1].append(event)
    return [call for call in (*calls, *alone) if call], refused


def _size(event: OutboxEvent) -> int:
    return entry_size(event.detail_type, event.detail)


def _entry(event: OutboxEvent, bus: str) -> Entry:
    return {
        "Time": event.created_at,
        "Source": SOURCE,
        "DetailType": event.detail_type,
        "Detail": event.detail,
        "EventBusName": bus,
    }


def _delete(
    current: database.Connection, sent: Sequence[OutboxEvent], letters: dead_letters.Sorted, position: str
) -> None:
    """Delete what was sent, move the dead letters, raise the epoch and store the reader's position."""
    current.execute(
        """
        WITH sent AS (DELETE FROM outbox WHERE outbox_id = ANY (%(sent)s)),
        dead AS (
            DELETE FROM outbox WHERE outbox_id = ANY (%(dead)s::bigint[]) RETURNING *
        ), kept AS (
            INSERT INTO outbox_refused
                   (outbox_id, event_id, stream, detail_type, detail, created_at, reason)
            SELECT outbox_id, event_id, stream, detail_type, detail, created_at, reason
              FROM dead
              JOIN unnest(%(kept)s::bigint[], %(reasons)s::text[]) AS kept (outbox_id, reason)
                   USING (outbox_id)
        )
        UPDATE outbox_turns SET turn = turn + 1, last_stream = %(position)s
        """,
        {
            "sent": [event.outbox_id for event in sent],
            "dead": [letter.event.outbox_id for letter in (*letters.keep, *letters.erase)],
            "kept": [letter.event.outbox_id for letter in letters.keep],
            "reasons": [letter.reason for letter in letters.keep],
            "position": position,
        },
    )


def _count_waiting(result: Relayed) -> None:
    row = database.run(
        lambda current: current.execute(
            "SELECT count(*) AS waiting FROM (SELECT FROM outbox LIMIT %(limit)s) AS outbox",
            {"limit": MAX_COUNTED},
        ).fetchone(),
        idempotent=True,
    )
    result.left = row["waiting"] if row else 0
    metrics.put({"OutboxWaiting": (result.left, "Count")})
