"""A relay that crashes, loses its connection or is not alone loses nothing."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from functions.publish_events.handler import lambda_handler
from local.servers.services import wait_until
from shared.errors import DatabaseUnavailable
from shared.events import outbox_relay
from shared.events.outbox_relay import Relayed
from tests.calls import sample
from tests.integration.conftest import NO_DATABASE, cold_start
from tests.integration.outbox.bus import ROOT, Bus, Entry, left, named, put

pytestmark = pytest.mark.usefixtures("environment")


def test_a_send_that_raises_loses_nothing(db: psycopg.Connection) -> None:
    put(db, ("a", 1), ("a", 2), ("b", 1))
    calls = 0

    def broken(_: Sequence[Entry]) -> list[bool]:
        nonlocal calls
        calls += 1
        raise ConnectionError

    with pytest.raises(ConnectionError):
        outbox_relay.relay(broken)
    assert calls >= outbox_relay.MAX_FAILED_BATCHES  # one call that fails ends no run
    assert left(db) == [("a", 1), ("a", 2), ("b", 1)]
    assert outbox_relay.relay(Bus().send).sent == 3  # and no lock was left


def test_a_bus_that_leaves_an_entry_unanswered_ends_the_run(
    db: psycopg.Connection,
) -> None:
    put(db, ("a", 1), ("b", 1))
    with pytest.raises(ValueError, match="did not answer for each entry"):
        outbox_relay.relay(lambda _: [])
    assert left(db) == [("a", 1), ("b", 1)]


def test_a_crash_between_sending_and_committing_sends_again(db: psycopg.Connection) -> None:
    put(db, ("a", 1), ("a", 2))
    bus = Bus()

    def crash_at_the_end(entries: Sequence[Entry]) -> list[bool]:
        taken = bus.send(entries)
        if named(entries[-1]) == ("a", 2):
            raise KeyboardInterrupt
        return taken

    with pytest.raises(KeyboardInterrupt):
        outbox_relay.relay(crash_at_the_end)
    outbox_relay.relay(bus.send)
    assert bus.numbers("a") == [1, 2, 2]
    ids = [json.loads(entry["Detail"])["event_id"] for entry in bus.taken]
    assert ids[1] == ids[2]  # by which who takes them can tell


def test_a_connection_that_is_lost_before_the_commit_loses_nothing(db: psycopg.Connection) -> None:
    put(db, ("a", 1))
    bus = Bus()

    def hang_up(entries: Sequence[Entry]) -> list[bool]:
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'favorites'"
        )
        return bus.send(entries)

    with pytest.raises(DatabaseUnavailable):
        outbox_relay.relay(hang_up)
    assert left(db) == [("a", 1)]
    assert outbox_relay.relay(bus.send).sent == 1


def test_without_the_database_it_is_an_error(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_URL", NO_DATABASE)
    cold_start()
    with pytest.raises(DatabaseUnavailable):
        lambda_handler(sample("publish_events"), None)


KILLED = """
import json, os, time
from shared.events import outbox_relay

def send(entries):
    time.sleep(0.2)  # so that there is a batch to kill it in, on a busy machine too
    for entry in entries:
        detail = json.loads(entry["Detail"])
        os.write(1, f"{detail['stream']} {detail['number']}\\n".encode())
    return [True] * len(entries)

outbox_relay.relay(send)
"""


def test_of_a_run_that_is_killed_one_batch_at_most_is_sent_again(db: psycopg.Connection) -> None:
    put(db, *((f"s{number % 100}", number // 100) for number in range(2_000)))
    process = subprocess.Popen(  # noqa: S603 — our own module
        [sys.executable, "-c", KILLED], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    lines: list[str] = []
    while sum(line.startswith("s") for line in lines) < 300:  # there is a line of metrics among them
        lines.append(process.stdout.readline())
    process.kill()
    lines += process.communicate()[0].splitlines()
    pairs = [line.split() for line in lines if line.startswith("s")]
    sent = [(stream, int(number)) for stream, number in pairs]
    bus = Bus()
    assert wait_until(lambda: outbox_relay.relay(bus.send).left == 0, 30)
    again = [named(entry) for entry in bus.taken]
    assert 300 <= len(sent) < 2_000
    assert len(sent) + len(again) - 2_000 <= outbox_relay.BATCH_SIZE
    for stream in range(100):
        numbers = [number for name, number in (*sent, *again) if name == f"s{stream}"]
        assert list(dict.fromkeys(numbers)) == list(range(20))


@pytest.mark.usefixtures("connection_per_thread")
def test_a_second_relay_leaves_while_the_first_is_at_it(db: psycopg.Connection) -> None:
    put(db, ("a", 1))
    sending, go_on = threading.Event(), threading.Event()
    bus = Bus()

    def slow(entries: Sequence[Entry]) -> list[bool]:
        sending.set()
        assert go_on.wait(60)
        return bus.send(entries)

    with ThreadPoolExecutor(1) as first:
        sent = first.submit(outbox_relay.relay, slow)
        assert sending.wait(30)
        assert outbox_relay.relay(bus.send) == Relayed(left=1)
        go_on.set()
        assert sent.result() == Relayed(sent=1)
    assert bus.numbers("a") == [1]


@pytest.fixture
def gate(db: psycopg.Connection) -> Iterator[str]:
    """The database's address for a relay whose try for the lock waits until lock 1 is free."""
    db.execute(
        """
        CREATE FUNCTION public.pg_try_advisory_xact_lock(bigint) RETURNS boolean LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_advisory_lock(1), pg_advisory_unlock(1);
            RETURN pg_catalog.pg_try_advisory_xact_lock($1);
        END $$
        """
    )
    yield f"{os.environ['DATABASE_URL']}?options=-csearch_path%3Dpublic,pg_catalog"
    db.execute("DROP FUNCTION public.pg_try_advisory_xact_lock(bigint)")


@pytest.mark.usefixtures("connection_per_thread")
def test_a_relay_that_gets_the_lock_as_another_ends_sees_what_that_one_sent(
    db: psycopg.Connection, environment: pytest.MonkeyPatch, gate: str
) -> None:
    environment.setenv("DATABASE_URL", gate)
    at_once = outbox_relay.BATCH_SIZE
    put(db, *((f"s{number % at_once}", number // at_once) for number in range(at_once + 5)))
    bus, closing = Bus(), threading.Lock()

    def send(entries: Sequence[Entry]) -> list[bool]:
        with closing:
            if not bus.calls:
                db.execute("SELECT pg_advisory_lock(1)")  # for the next batch
            return bus.send(entries)

    slow = threading.Thread(target=outbox_relay.relay, args=[send])
    slow.start()
    waits = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND NOT granted"
    assert wait_until(lambda: db.execute(waits).rowcount == 1, 30)
    with db.transaction():  # as another does with what is left
        db.execute("DELETE FROM outbox")
        db.execute("UPDATE outbox_turns SET turn = turn + 1")
    db.execute("SELECT pg_advisory_unlock(1)")
    slow.join()
    assert len(bus.taken) == at_once
