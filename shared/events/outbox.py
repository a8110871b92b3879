"""Sends what the outbox holds to the event bus: at least once, and each stream in its order.

A batch is the next event of each of many streams, sent by several calls at once. It is sent and forgotten in
one transaction that holds the publishers' turn, so of a run that is killed one batch is sent again, and two
publishers never send at the same time. An event that the bus refuses for now holds back its own stream only;
one that it will never take is set aside.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, partial
from typing import Any

from psycopg.rows import class_row

from shared.platform import database, deadlines, logs, metrics, settings

SOURCE = "favorites"  # of every event that goes out
AT_ONCE = 10  # entries a PutEvents call takes
CALLS = 16  # at a time; a batch is what they take together
READ = 500  # events that are read at a time
ATTEMPTS = 3  # for an entry that the bus refuses for now, before its stream waits for the next run
SENDING = 8.0  # seconds for the calls of a batch; _client gives up before that
BATCH_SECONDS = SENDING + 4  # with less left, none is begun
SET_ASIDE_DAYS = 14  # as long as a dead-letter queue keeps what nobody took
FORGOTTEN_AT_ONCE = 1_000  # of these, a run; a statement of some milliseconds
COUNTED = 100_000  # events that wait; more of them are not counted

_LOCK = 4_242_002  # beside that of the migrations

# Bytes for the entries of a call, by PutEvents' own count (_size). The bus takes 1 MB; it took 256 KB until
# 2026, and a region or account may still: whatever is larger is sent alone, so that it is refused alone.
CALL_BYTES = 256 * 1024
ENTRY_BYTES = 1024 * 1024  # for one entry: what is larger no bus takes
# How PutEvents refuses a call for its size; the second is the HTTP status, of an answer without a body.
TOO_LARGE = {"ValidationException", "413"}

Entry = dict[str, Any]
Outcome = bool | str
"""Of an entry: True where the bus took it, False where it may do so later, or why it never will."""
Send = Callable[[Sequence[Entry]], Sequence[Outcome]]


@dataclass(frozen=True, slots=True)
class _Waiting:
    outbox_id: int
    stream: str
    detail_type: str
    detail: str
    created_at: datetime
    age: float

    def entry(self, bus: str) -> Entry:
        return {
            "Time": self.created_at,
            "Source": SOURCE,
            "DetailType": self.detail_type,
            "Detail": self.detail,
            "EventBusName": bus,
        }


@dataclass(slots=True)
class Published:
    """What a run did: events `sent`, `refused` (they stay for the next run) and `set_aside`.

    How many are `left` is counted no further than `COUNTED`.
    """

    sent: int = 0
    refused: int = 0
    set_aside: int = 0
    left: int = 0


@dataclass(slots=True)
class _Run:
    """What a run knows: of each stream the next events in their order, and which streams have to wait."""

    published: Published = field(default_factory=Published)
    queues: dict[str, deque[_Waiting]] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)
    attempts: dict[int, int] = field(default_factory=dict)
    turn: int | None = None
    all_read: bool = False
    lag_is_told: bool = False
    failure: Exception | None = None


def publish(send: Send) -> Published:
    """Send all that waits, oldest first, as long as there is time (`deadlines`).

    Raises DatabaseUnavailable, and the first of what `send` raised, after what was taken is forgotten.
    """
    run = _Run()
    pool = ThreadPoolExecutor(CALLS)
    try:
        while deadlines.left(BATCH_SECONDS) >= BATCH_SECONDS and not run.failure:
            if not database.transaction(partial(_publish_batch, run, pool, send)):
                break
    finally:
        pool.shutdown(wait=False)
    _count_what_is_left(run.published)
    if run.failure:
        raise run.failure
    return run.published


def forget_set_aside() -> int:
    """How many events that were set aside more than `SET_ASIDE_DAYS` ago were removed now.

    Raises DatabaseUnavailable.
    """
    return database.execute(
        """
        DELETE FROM outbox_refused
         WHERE outbox_id IN (SELECT outbox_id FROM outbox_refused
                              WHERE refused_at < now() - make_interval(days => %(days)s)
                              ORDER BY refused_at LIMIT %(limit)s)
        """,
        {"days": SET_ASIDE_DAYS, "limit": FORGOTTEN_AT_ONCE},
        repeatable=True,
    )


def _publish_batch(run: _Run, pool: ThreadPoolExecutor, send: Send, current: database.Connection) -> bool:
    """Send one batch; whether there may be another."""
    lock = current.execute("SELECT pg_try_advisory_xact_lock(%(lock)s) AS ours", {"lock": _LOCK}).fetchone()
    if not lock or not lock["ours"]:
        return False  # another publisher is at it, and goes on until nothing is left
    # A statement of its own: what the one above sees may be older than its lock.
    row = current.execute("SELECT turn FROM outbox_turns").fetchone()
    assert row is not None  # noqa: S101 — the one row, which the migrations made and nobody may delete
    if row["turn"] != run.turn:  # another one was at it meanwhile
        run.queues.clear()
        run.all_read = False
    run.turn = row["turn"] + 1
    _fill(run, current)
    batch = [queue[0] for queue, _ in zip(run.queues.values(), range(CALLS * AT_ONCE), strict=False)]
    if not batch:
        return False
    outcomes = _send(run, pool, send, batch)
    taken = [event for event, outcome in outcomes if outcome is True]
    refused = [event for event, outcome in outcomes if outcome is False]
    set_aside = [(event, outcome) for event, outcome in outcomes if isinstance(outcome, str)]
    kept, busy = _without_the_removed(current, set_aside) if set_aside else ([], [])
    set_aside = [(event, reason) for event, reason in set_aside if event not in busy]
    refused += busy
    current.execute(
        """
        WITH sent AS (DELETE FROM outbox WHERE outbox_id = ANY (%(taken)s)),
        set_aside AS (
            DELETE FROM outbox WHERE outbox_id = ANY (%(set_aside)s::bigint[]) RETURNING *
        ), kept AS (
            INSERT INTO outbox_refused
                   (outbox_id, event_id, stream, detail_type, detail, created_at, reason)
            SELECT outbox_id, event_id, stream, detail_type, detail, created_at, reason
              FROM set_aside
              JOIN unnest(%(kept)s::bigint[], %(reasons)s::text[]) AS refused (outbox_id, reason)
                   USING (outbox_id)
        )
        UPDATE outbox_turns SET turn = turn + 1
        """,
        {
            "taken": [event.outbox_id for event in taken],
            "set_aside": [event.outbox_id for event, _ in set_aside],
            "kept": [event.outbox_id for event, _ in kept],
            "reasons": [reason for _, reason in kept],
        },
    )
    run.published.sent += len(taken)
    run.published.set_aside += len(set_aside)
    for event, reason in set_aside:
        metrics.count("EventsSetAside")
        logs.logger().error(
            "event set aside", outbox_id=event.outbox_id, detail_type=event.detail_type, reason=reason
        )
    for event in (*taken, *(event for event, _ in set_aside)):
        _advance(run, event.stream)
    for event in refused:
        run.attempts[event.outbox_id] = run.attempts.get(event.outbox_id, 0) + 1
        if run.attempts[event.outbox_id] == ATTEMPTS:
            run.published.refused += 1
            run.blocked.add(event.stream)
            del run.queues[event.stream]
    return True


def _without_the_removed(
    current: database.Connection, set_aside: Sequence[tuple[_Waiting, str]]
) -> tuple[list[tuple[_Waiting, str]], list[_Waiting]]:
    """Those that may be kept for a time, and those whose client is being changed just now.

    A removal erases what is kept of its client, so none may come after it. That the client was removed is
    kept: it says nothing but that, and the others still have to hear it.
    """
    clients = {
        event.stream.removeprefix("client:")
        for event, _ in set_aside
        if event.stream.startswith("client:") and event.detail_type != "ClientRemoved"
    }
    if not clients:
        return [*set_aside], []
    rows = current.execute(
        """
        WITH locked AS (
            SELECT client_id
              FROM clients
             WHERE client_id = ANY (%(clients)s::uuid[])
               FOR KEY SHARE SKIP LOCKED -- a removal that comes now waits for the batch, and erases this too
        )
        SELECT client_id, locked.client_id IS NOT NULL AS is_ours
          FROM clients
          LEFT JOIN locked USING (client_id)
         WHERE client_id = ANY (%(clients)s::uuid[])
        """,
        {"clients": [*clients]},
    ).fetchall()
    there = {f"client:{row['client_id']}": row["is_ours"] for row in rows}
    kept, busy = [], []
    for event, reason in set_aside:
        is_of_client = event.stream.removeprefix("client:") in clients
        if not is_of_client or event.detail_type == "ClientRemoved" or there.get(event.stream):
            kept.append((event, reason))
        elif event.stream in there:
            busy.append(event)
    return kept, busy


def _fill(run: _Run, current: database.Connection) -> None:
    """Have enough streams for a batch, where there are as many.

    Only streams of which nothing is in memory are read: one with thousands of events keeps out nobody.
    """
    while len(run.queues) < CALLS * AT_ONCE and not run.all_read:
        with current.cursor(row_factory=class_row(_Waiting)) as cursor:
            found = cursor.execute(
                """
                SELECT outbox_id, stream, detail_type, created_at,
                       (jsonb_build_object('event_id', event_id) || detail::jsonb)::text AS detail,
                       extract(epoch FROM now() - created_at)::float AS age
                  FROM outbox
                 WHERE stream <> ALL (%(known)s)
                 ORDER BY outbox_id
                 LIMIT %(limit)s
                """,
                {"known": [*run.blocked, *run.queues], "limit": READ},
            ).fetchall()
        if found and not run.lag_is_told:
            metrics.put({"OutboxLag": (found[0].age, "Seconds")})
            run.lag_is_told = True
        for event in found:
            run.queues.setdefault(event.stream, deque()).append(event)
        run.all_read = len(found) < READ


def _advance(run: _Run, stream: str) -> None:
    """The stream's next event becomes its first, behind those of all other streams."""
    queue = run.queues.pop(stream)
    queue.popleft()
    if queue:
        run.queues[stream] = queue
    else:
        run.all_read = False  # what of it was not in memory may be read now


def _send(
    run: _Run, pool: ThreadPoolExecutor, send: Send, batch: Sequence[_Waiting]
) -> list[tuple[_Waiting, Outcome]]:
    """What became of each event; those of a call that failed are left out, and `run` has the failure."""
    bus = settings.event_bus_name()
    outcomes: list[tuple[_Waiting, Outcome]] = []
    calls: list[list[_Waiting]] = [[]]
    for event in batch:
        size = _size(event)
        if size > ENTRY_BYTES:
            outcomes.append((event, f"it has {size} bytes, and the bus takes {ENTRY_BYTES}"))
            continue
        if len(calls[-1]) == AT_ONCE or sum(map(_size, calls[-1])) + size > CALL_BYTES:
            calls.append([])
        calls[-1].append(event)
    sending: dict[Future[Sequence[Outcome]], list[_Waiting]] = {
        pool.submit(send, [event.entry(bus) for event in call]): call for call in calls if call
    }
    done, late = wait(sending, SENDING)
    for future in done:
        if isinstance(error := future.exception(), Exception):
            run.failure = run.failure or error
        else:
            outcomes += zip(sending[future], future.result(), strict=True)
    if late:
        run.failure = run.failure or TimeoutError(f"the bus did not answer in {SENDING} seconds")
    return outcomes


def _size(event: _Waiting) -> int:
    """The entry's bytes as PutEvents counts them.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html
    """
    return 14 + sum(len(text.encode()) for text in (SOURCE, event.detail_type, event.detail))


def _count_what_is_left(published: Published) -> None:
    row = database.run(
        lambda current: current.execute(
            "SELECT count(*) AS waiting FROM (SELECT FROM outbox LIMIT %(counted)s) AS outbox",
            {"counted": COUNTED},
        ).fetchone(),
        repeatable=True,
    )
    published.left = row["waiting"] if row else 0
    metrics.put({"OutboxWaiting": (published.left, "Count")})


def event_bridge() -> Send:
    """What sends entries to EventBridge.

    Its client is made here, in the caller's own thread: loading it takes a second of a small function's CPU,
    and each thread that found none would make one of its own.
    """
    return partial(_put_events, _client())


def _put_events(client: Any, entries: Sequence[Entry]) -> list[Outcome]:
    from botocore.exceptions import ClientError

    try:
        answer = client.put_events(Entries=list(entries))
    except ClientError as error:
        # Only an entry that was sent alone for its size is refused for good when the whole call is.
        is_large = len(entries) == 1 and len(entries[0]["Detail"].encode()) > CALL_BYTES - 1_024
        if is_large and error.response["Error"]["Code"] in TOO_LARGE:
            return [f"the bus refused it: {error}"]
        raise
    return [_outcome(result) for result in answer["Entries"]]


def _outcome(result: dict[str, str]) -> Outcome:
    code, message = result.get("ErrorCode"), result.get("ErrorMessage", "")
    if code is None:
        return True
    if code == "MalformedDetail":
        return f"the bus refused it: {code} {message}"
    logs.logger().warning("event refused", code=code, reason=message)
    return False


@cache
def _client() -> Any:
    # boto3 is the Lambda runtime's own, and slow to load: nothing but this function needs it.
    import boto3
    from botocore.config import Config

    return boto3.client(
        "events",
        config=Config(
            connect_timeout=1,
            read_timeout=2,
            retries={"mode": "standard", "total_max_attempts": 2},
            max_pool_connections=CALLS,
        ),
    )
