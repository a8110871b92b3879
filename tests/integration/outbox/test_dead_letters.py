"""What the bus will never take becomes a dead letter, and its stream goes on."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

from shared.accounts import removal
from shared.accounts.access_tokens import Caller
from shared.events import dead_letters, event_bridge, outbox_relay
from shared.events.outbox_relay import Relayed
from shared.platform.settings import database_url
from tests.integration import accounts, concurrency, recorder
from tests.integration.outbox.bus import Bus, Entry, dead, forget, named, put, put_large

pytestmark = pytest.mark.usefixtures("environment")


def test_a_dead_letter_is_forgotten_after_two_weeks(db: psycopg.Connection) -> None:
    db.execute(
        """
        INSERT INTO outbox_refused
               (outbox_id, event_id, stream, detail_type, detail, created_at, refused_at, reason)
        SELECT n, gen_random_uuid(), 'a', 'Numbered', json_build_object('stream', 'a', 'number', n), now(),
               now() - make_interval(days => n), 'too large'
          FROM unnest(ARRAY[13, 15]) AS n
        """
    )
    assert dead_letters.forget_expired() == 1
    assert dead(db) == [("a", 13, "too large")]


def test_an_event_too_large_for_any_bus_is_a_dead_letter_and_its_stream_goes_on(
    db: psycopg.Connection, environment: pytest.MonkeyPatch
) -> None:
    lines = recorder.log(environment)
    put(db, ("a", 1))
    put_large(db, "a", 2, event_bridge.ENTRY_BYTES)
    put(db, ("a", 3), ("b", 1))
    bus = Bus()
    assert outbox_relay.relay(bus.send) == Relayed(sent=3, dead_letters=1)
    assert (bus.numbers("a"), bus.numbers("b")) == ([1, 3], [1])
    ((stream, number, reason),) = dead(db)
    assert (stream, number) == ("a", 2)
    assert re.fullmatch(r"it has \d{7} bytes, and the bus takes 1048576", reason)
    assert [line.more["reason"] for line in lines if line.message == "dead letter"] == [reason]


@pytest.fixture
def large_event_of_ana(db: psycopg.Connection) -> Caller:
    """An event that no bus takes, of a client; the client."""
    ana = accounts.new_caller()
    forget(db)
    put_large(db, f"client:{ana.client_id}", 1, event_bridge.ENTRY_BYTES)
    return ana


def test_a_dead_letter_of_a_removed_client_is_erased(
    db: psycopg.Connection, large_event_of_ana: Caller
) -> None:
    put_large(db, "a", 2, event_bridge.ENTRY_BYTES)
    put_large(db, f"client:{accounts.new_caller().client_id}", 3, event_bridge.ENTRY_BYTES)
    removal.remove(large_event_of_ana, "me")
    assert outbox_relay.relay(Bus().send).dead_letters == 3
    assert [number for _, number, _ in dead(db)] == [2, 3]


def test_the_event_that_a_client_was_removed_is_kept_as_a_dead_letter(
    db: psycopg.Connection, large_event_of_ana: Caller
) -> None:
    removal.remove(large_event_of_ana, "me")
    outbox_relay.relay(lambda entries: ["MalformedDetail"] * len(entries))
    assert db.execute("SELECT detail_type FROM outbox_refused").fetchall() == [("ClientRemoved",)]


@pytest.mark.usefixtures("connection_per_thread")
def test_a_removal_erases_a_dead_letter_of_the_same_moment(
    db: psycopg.Connection, large_event_of_ana: Caller, environment: pytest.MonkeyPatch
) -> None:
    look_first = dead_letters.sort

    with ThreadPoolExecutor(1) as pool:
        removing = []

        def removed_then(*arguments: Any) -> Any:
            kept = look_first(*arguments)
            removing.append(pool.submit(removal.remove, large_event_of_ana, "me"))
            concurrency.wait_for_a_lock(db)
            return kept

        environment.setattr(dead_letters, "sort", removed_then)
        assert outbox_relay.relay(Bus().send).dead_letters == 1
        removing[0].result()
    assert dead(db) == []


def test_a_dead_letter_of_a_client_whose_row_is_locked_waits_for_the_next_run(
    db: psycopg.Connection, large_event_of_ana: Caller
) -> None:
    put(db, ("a", 1))
    with psycopg.connect(database_url()) as other:
        other.execute("SELECT FROM clients WHERE client_id = %s FOR UPDATE", [large_event_of_ana.client_id])
        assert outbox_relay.relay(Bus().send) == Relayed(sent=1, refused=1, left=1)
    assert outbox_relay.relay(Bus().send) == Relayed(dead_letters=1)
    assert len(dead(db)) == 1


class SmallBus:
    """EventBridge with a limit for the entries of a call, as it counts them."""

    limit = 256 * 1024

    def __init__(self) -> None:
        self.taken: list[Entry] = []

    def put_events(self, *, Entries: list[Entry]) -> dict[str, Any]:  # noqa: N803 — named so by AWS
        sizes = [
            14 + sum(len(entry[name].encode()) for name in ("Source", "DetailType", "Detail"))
            for entry in Entries
        ]
        if sum(sizes) > self.limit:
            raise ClientError(
                {"Error": {"Code": "ValidationException", "Message": "Total size is over the limit."}},
                "PutEvents",
            )
        self.taken += Entries
        return {"Entries": [{"EventId": "1"} for _ in Entries]}


def test_a_bus_with_a_smaller_limit_gets_what_it_takes_and_the_rest_is_dead(
    db: psycopg.Connection, environment: pytest.MonkeyPatch
) -> None:
    bus = SmallBus()
    environment.setattr(event_bridge, "_client", lambda: bus)
    for number in range(12):
        put_large(db, f"s{number}", 0, 60_000)
    put_large(db, "s3", 1, 300_000)
    put(db, ("s3", 2))
    assert outbox_relay.relay(event_bridge.sender()) == Relayed(sent=13, dead_letters=1)
    assert [named(entry) for entry in bus.taken if named(entry)[0] == "s3"] == [("s3", 0), ("s3", 2)]
    ((stream, number, reason),) = dead(db)
    assert (stream, number) == ("s3", 1)
    assert "over the limit" in reason


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException", "InternalFailure"])
def test_a_large_event_whose_call_is_refused_for_another_reason_stays(
    db: psycopg.Connection, environment: pytest.MonkeyPatch, code: str
) -> None:
    class Refusing:
        def put_events(self, *, Entries: list[Entry]) -> dict[str, Any]:  # noqa: N803, ARG002 — as AWS has it
            raise ClientError({"Error": {"Code": code, "Message": "Not now."}}, "PutEvents")

    environment.setattr(event_bridge, "_client", Refusing)
    put_large(db, "a", 1, 300_000)
    with pytest.raises(ClientError):
        outbox_relay.relay(event_bridge.sender())
    assert dead(db) == []
    assert db.execute("SELECT FROM outbox").rowcount == 1
