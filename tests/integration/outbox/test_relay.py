"""The relay sends what waits: in order for each stream, within its time, and once where nothing breaks."""

import json
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

import psycopg
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.events import event_bridge, outbox_reader, outbox_relay
from shared.events.outbox_relay import Relayed
from shared.platform import deadlines
from tests.integration.outbox.bus import BUS, Bus, Entry, forget, left, named, put

pytestmark = pytest.mark.usefixtures("environment")


def test_an_entry_says_what_when_and_from_whom(db: psycopg.Connection) -> None:
    put(db, ("s", 1))
    row = db.execute("SELECT event_id, created_at FROM outbox").fetchone()
    assert row
    bus = Bus()
    outbox_relay.relay(bus.send)
    (entry,) = bus.taken
    detail = json.loads(entry.pop("Detail"))
    assert entry == {
        "Time": row[1],
        "Source": "favorites",
        "DetailType": "Numbered",
        "EventBusName": BUS,
    }
    assert detail == {"event_id": str(row[0]), "stream": "s", "number": 1}


def test_a_stream_that_is_refused_waits_for_the_next_run_and_holds_back_no_other(
    db: psycopg.Connection,
) -> None:
    put(db, *((stream, number) for number in range(3) for stream in "abc"))
    bus = Bus(lambda entry: named(entry) == ("a", 1))
    assert outbox_relay.relay(bus.send) == Relayed(sent=7, refused=1, left=2)
    assert [named(entry) for call in bus.calls for entry in call].count(("a", 1)) == outbox_relay.MAX_ATTEMPTS
    assert left(db) == [("a", 1), ("a", 2)]
    bus.refuses = lambda _: False
    assert outbox_relay.relay(bus.send) == Relayed(sent=2)
    assert bus.numbers("a") == bus.numbers("b") == [0, 1, 2]


def test_a_bus_that_refuses_everything_is_left_alone_soon(db: psycopg.Connection) -> None:
    put(db, *((f"s{number}", number) for number in range(25)))
    bus = Bus(lambda _: True)
    assert outbox_relay.relay(bus.send) == Relayed(refused=25, left=25)
    assert sum(map(len, bus.calls)) == 25 * outbox_relay.MAX_ATTEMPTS


@settings(
    max_examples=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    streams=st.lists(st.sampled_from("abcdefghijklmn"), max_size=60),
    refused=st.sets(st.integers(0, 59), max_size=8),
    faults=st.lists(st.integers(1, 12), max_size=2),
    read=st.integers(1, 20),
)
def test_whatever_is_refused_or_breaks_each_stream_arrives_whole_and_in_order(
    db: psycopg.Connection, streams: list[str], refused: set[int], faults: list[int], read: int
) -> None:
    forget(db)
    put(db, *((stream, number) for number, stream in enumerate(streams)))
    bus = Bus(lambda entry: named(entry)[1] in refused)

    def publish(breaks_at: int | None) -> None:
        calls = 0

        def send(entries: Sequence[Entry]) -> list[bool]:
            nonlocal calls
            calls += 1
            if calls == breaks_at:
                raise ConnectionError
            return bus.send(entries)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(outbox_reader, "EVENTS_PER_STREAM", read)
            outbox_relay.relay(send)

    for breaks_at in faults:
        with suppress(ConnectionError):
            publish(breaks_at)
    publish(None)
    bus.refuses = lambda _: False
    publish(None)
    assert left(db) == []
    for stream in set(streams):
        expected = [number for number, name in enumerate(streams) if name == stream]
        arrived = bus.numbers(stream)
        assert list(dict.fromkeys(arrived)) == expected  # each for the first time in its order
        if not faults:
            assert arrived == expected  # and, where nothing broke, once


def test_a_run_begins_no_batch_without_time_for_it_and_says_how_much_is_left(
    db: psycopg.Connection, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr(outbox_relay, "BATCH_SECONDS", 30)
    put(db, *(("a", number) for number in range(5)))
    bus = Bus()

    def slow(entries: Sequence[Entry]) -> list[bool]:
        time.sleep(1.1)
        return bus.send(entries)

    with deadlines.within(31):
        assert outbox_relay.relay(slow) == Relayed(sent=1, left=4)
    with deadlines.within(29):
        assert outbox_relay.relay(bus.send) == Relayed(left=4)
    assert outbox_relay.relay(bus.send).sent == 4
    assert bus.numbers("a") == list(range(5))


def test_a_throttled_call_in_twenty_costs_no_event_its_run(db: psycopg.Connection) -> None:
    put(db, *((f"s{number % 100}", number) for number in range(1_000)))
    bus, calls, closing = Bus(), 0, threading.Lock()

    def throttle(entries: Sequence[Entry]) -> list[bool]:
        nonlocal calls
        with closing:
            calls += 1
            if calls % 20 == 0:
                raise ClientError({"Error": {"Code": "ThrottlingException"}}, "PutEvents")
            return bus.send(entries)

    assert outbox_relay.relay(throttle) == Relayed(sent=1_000)
    for call in bus.calls:
        streams = {named(entry)[0] for entry in call}
        assert 1 <= len(call) == len(streams) <= event_bridge.ENTRIES_PER_CALL
    assert len(bus.calls) <= 105  # and they are well filled
    assert len(bus.taken) == 1_000
    for stream in range(100):
        assert bus.numbers(f"s{stream}") == list(range(stream, 1_000, 100))


def test_an_event_that_fails_its_call_holds_back_no_other_of_that_call(db: psycopg.Connection) -> None:
    put(db, *((f"s{number:02}", 0) for number in range(30)))
    bus, calls = Bus(), 0

    def fail(entries: Sequence[Entry]) -> list[bool]:
        nonlocal calls
        if ("s00", 0) in map(named, entries):
            calls += 1
            raise ConnectionError
        return bus.send(entries)

    with suppress(ConnectionError):  # at last it is alone
        outbox_relay.relay(fail)
    assert calls <= outbox_relay.MAX_ATTEMPTS
    assert left(db) == [("s00", 0)]


def test_a_call_that_does_not_end_holds_back_its_own_streams(
    db: psycopg.Connection, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr(outbox_relay, "SEND_TIMEOUT", 1)
    put(db, *((f"s{number}", 0) for number in range(20)))
    bus, go_on = Bus(), threading.Event()

    def hang(entries: Sequence[Entry]) -> list[bool]:
        if ("s0", 0) in map(named, entries):
            go_on.wait(60)
        return bus.send(entries)

    assert outbox_relay.relay(hang) == Relayed(sent=10, refused=10, left=10)
    assert ("s0", 0) in left(db)
    go_on.set()


def test_streams_are_sent_in_parallel(db: psycopg.Connection) -> None:
    put(db, *((f"s{number}", 0) for number in range(outbox_relay.BATCH_SIZE)))
    bus, together = Bus(), threading.Barrier(event_bridge.PARALLEL_CALLS, timeout=10)

    def send(entries: Sequence[Entry]) -> list[bool]:
        together.wait()
        return bus.send(entries)

    assert outbox_relay.relay(send).sent == outbox_relay.BATCH_SIZE


def test_streams_with_more_events_than_are_read_at_a_time_keep_out_nobody(
    db: psycopg.Connection, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr(outbox_reader, "EVENTS_PER_STREAM", 5)
    put(db, *(("long", number) for number in range(40)), *((f"s{number}", 0) for number in range(9)))
    bus = Bus()
    assert outbox_relay.relay(bus.send).sent == 49
    assert {named(entry) for entry in bus.calls[0]} == {
        ("long", 0),
        *((f"s{number}", 0) for number in range(9)),
    }
    assert bus.numbers("long") == list(range(40))


def test_a_stream_of_many_events_costs_the_others_nothing(db: psycopg.Connection) -> None:
    db.execute(
        """
        INSERT INTO outbox (stream, detail_type, detail)
        SELECT 'long', 'Numbered', '{"stream": "long", "number": 0}' FROM generate_series(1, 50000)
        """
    )
    put(db, *((f"s{number}", 0) for number in range(9)))
    db.execute("ANALYZE outbox")
    streams = {"after": "", "limit": 160}
    events = {"streams": ["long", "s1"], "after": [0, 0], "limit": outbox_reader.EVENTS_PER_STREAM}
    for query, parameters in ((outbox_reader.NEXT_STREAMS, streams), (outbox_reader.NEXT_EVENTS, events)):
        rows = db.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}", parameters).fetchone()
        assert rows
        assert rows[0][0]["Plan"]["Shared Hit Blocks"] + rows[0][0]["Plan"]["Shared Read Blocks"] < 100
    bus = Bus(lambda entry: named(entry) == ("long", 0))
    assert outbox_relay.relay(bus.send) == Relayed(sent=9, refused=1, left=50_000)


def test_each_run_begins_behind_the_streams_of_the_last_one(
    db: psycopg.Connection, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr(outbox_relay, "BATCH_SIZE", 3)
    put(db, *((f"s{stream}", number) for number in range(30) for stream in range(6)))
    bus = Bus()

    def run_one_batch() -> None:
        ends_at = len(bus.calls) + 1

        def send(entries: Sequence[Entry]) -> list[bool]:
            if len(bus.calls) == ends_at:
                raise KeyboardInterrupt
            return bus.send(entries)

        with pytest.raises(KeyboardInterrupt):
            outbox_relay.relay(send)

    run_one_batch()
    run_one_batch()
    assert {name for name, _ in map(named, bus.taken)} == {f"s{stream}" for stream in range(6)}
