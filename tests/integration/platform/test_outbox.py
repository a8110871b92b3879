"""What happened here is told to others: written with the change itself, sent in order, at least once."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import jsonschema
import psycopg
import pytest
import simplejson
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from functions.publish_events.handler import lambda_handler
from functions.warm_product_cache.handler import lambda_handler as poll
from local.servers.services import wait_until
from shared.accounts import clients
from shared.accounts.access_tokens import Caller
from shared.accounts.models import ClientChanges
from shared.errors import AlreadyFavorite, DatabaseUnavailable, EmailTaken, NotFavorite
from shared.events import dead_letters, event_bridge, outbox_reader, outbox_relay
from shared.events.outbox_relay import Relayed
from shared.favorites import items
from shared.platform import database, deadlines
from shared.platform.settings import database_url
from shared.products import product_copy
from shared.products.catalog import CatalogProduct
from tests.calls import sample
from tests.hostile_catalog import Answer, HostileCatalog, product
from tests.integration import accounts, concurrency, recorder
from tests.integration.catalog_messages import changed_product, deliver, removed
from tests.integration.conftest import NO_DATABASE, cold_start

pytestmark = pytest.mark.usefixtures("environment")

ROOT = Path(__file__).parents[3]
T = 1_795_000_000_000  # a version of today
BUS = "favorites-events"

Entry = dict[str, Any]
Event = tuple[str, dict[str, Any]]


@pytest.fixture(autouse=True)
def bus_name(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("EVENT_BUS_NAME", BUS)


def waiting(db: psycopg.Connection, stream: str = "") -> list[Event]:
    """The events of the streams that begin so, in the order of the outbox; their decimals exact."""
    found = db.execute(
        "SELECT detail_type, detail::text FROM outbox WHERE starts_with(stream, %s) ORDER BY outbox_id",
        [stream],
    ).fetchall()
    return [(kind, simplejson.loads(detail, use_decimal=True)) for kind, detail in found]


def forget(db: psycopg.Connection) -> None:
    """Begin with an empty outbox."""
    db.execute("DELETE FROM outbox")


def change(version: int, **changes: Any) -> None:
    assert deliver(changed_product(version, 7, **changes)) == []


def remove(version: int) -> None:
    assert deliver(removed(version, "7")) == []


@pytest.fixture
def held(db: psycopg.Connection) -> Caller:
    """Product 7 at 22.30, a favorite of two clients; one of them."""
    change(T)
    first, second = accounts.new_caller(), accounts.new_caller()
    items.add(first, "7")
    items.add(second, "7")
    forget(db)
    return first


# ── What a product's change is told as ────────────────────────────────────────────────────────────────────

PRODUCT = {
    "product_id": "7",
    "title": "Product 7",
    "category": "kitchen",
    "image": "https://images.example.com/7.jpg",
}


def told(kind: str, old: str, new: str | None, version: int) -> Event:
    return f"FavoriteProduct{kind}", {
        "product": PRODUCT,
        "old_price": Decimal(old),
        "new_price": None if new is None else Decimal(new),
        "version": version,
    }


@pytest.mark.usefixtures("held")
def test_every_turn_of_a_favorite_product_is_told(db: psycopg.Connection) -> None:
    change(T + 1, price=Decimal("19.90"))
    change(T + 2, price=Decimal("19.91"))
    remove(T + 3)
    change(T + 4, price=Decimal("19.91"))
    remove(T + 5)
    change(T + 6, price=Decimal("5.00"))  # back, and cheaper: back is what counts
    assert waiting(db) == [
        told("PriceDropped", "22.30", "19.90", T + 1),
        told("PriceRaised", "19.90", "19.91", T + 2),
        told("Removed", "19.91", None, T + 3),
        told("Restored", "19.91", "19.91", T + 4),
        told("Removed", "19.91", None, T + 5),
        told("Restored", "19.91", "5.00", T + 6),
    ]


@pytest.mark.usefixtures("held")
def test_prices_are_told_with_their_exact_decimals(db: psycopg.Connection) -> None:
    change(T + 1, price=Decimal("0.100000"))
    row = db.execute("SELECT detail::text FROM outbox").fetchone()
    assert row
    assert '"old_price" : 22.30' in row[0]
    assert '"new_price" : 0.100000' in row[0]


UNTOLD: dict[str, Callable[[], object]] = {
    "the same content": lambda: change(T + 1),
    "the same price, written otherwise": lambda: change(T + 1, price=Decimal("22.3")),
    "another title": lambda: change(T + 1, title="Another"),
    "another rating": lambda: change(T + 1, rating=None),
    "an older price": lambda: change(T - 1, price=1),
    "a price of the same version": lambda: change(T, price=1),
    "an older removal": lambda: remove(T - 1),
    "another product's price": lambda: deliver(changed_product(T + 1, 8), changed_product(T + 2, 8, price=1)),
}


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("what", UNTOLD)
def test_what_matters_to_nobody_is_not_told(db: psycopg.Connection, what: str) -> None:
    UNTOLD[what]()
    assert waiting(db) == []


@pytest.mark.usefixtures("held")
def test_a_repeated_event_is_told_once(db: psycopg.Connection) -> None:
    for _ in range(3):
        change(T + 1, price=1)
    for _ in range(3):
        remove(T + 2)
    assert [kind for kind, _ in waiting(db)] == ["FavoriteProductPriceDropped", "FavoriteProductRemoved"]


@pytest.mark.usefixtures("held")
def test_a_change_of_what_is_gone_is_told_when_it_is_back(db: psycopg.Connection) -> None:
    remove(T + 1)
    remove(T + 2)
    change(T + 3)
    assert [kind for kind, _ in waiting(db)] == ["FavoriteProductRemoved", "FavoriteProductRestored"]


def test_a_product_that_nobody_holds_is_not_told_of(db: psycopg.Connection) -> None:
    change(T)
    change(T + 1, price=1)
    remove(T + 2)
    change(T + 3)
    assert waiting(db) == []


def test_what_a_poll_sees_is_told_the_same(db: psycopg.Connection, catalog: HostileCatalog) -> None:
    def lists(*listed: dict[str, Any]) -> None:
        catalog.answer("/products", Answer.json(list(listed)))
        time.sleep(0.002)
        poll({}, None)

    lists(product(7), product(8), product(9))
    caller = accounts.new_caller()
    for product_id in ("7", "8"):
        items.add(caller, product_id)
    forget(db)
    lists(product(7, price=1), product(9, price=1))
    lists(product(7, price=1), product(9, price=1))
    lists(product(7, price=2), product(8, price=2), product(9))
    lists(product(7, price=2), product(8, price=2), product(9))
    assert [(kind, detail["product"]["product_id"]) for kind, detail in waiting(db)] == [
        ("FavoriteProductPriceDropped", "7"),
        ("FavoriteProductRemoved", "8"),
        *sorted([("FavoriteProductPriceRaised", "7"), ("FavoriteProductRestored", "8")]),
    ]


# ── What clients do ───────────────────────────────────────────────────────────────────────────────────────


def test_a_clients_life_is_told(db: psycopg.Connection) -> None:
    change(T)
    client = accounts.register("Ana", "ana@example.com")
    caller = accounts.caller(client)
    items.add(caller, "7")
    items.remove(caller, "7")
    clients.remove(caller, "me")
    events = waiting(db, f"client:{client.client_id}")
    assert [kind for kind, _ in events] == [
        "ClientRegistered",
        "FavoriteAdded",
        "FavoriteRemoved",
        "ClientRemoved",
    ]
    details = [detail for _, detail in events]
    assert [detail["client_id"] for detail in details] == [str(client.client_id)] * 4
    assert datetime.fromisoformat(details[0]["registered_at"]) == client.created_at
    assert (details[1]["product_id"], details[1]["price"]) == ("7", Decimal("22.30"))
    assert details[2]["product_id"] == "7"
    moments = [details[0]["registered_at"], details[1]["favorited_at"]]
    moments += [details[2]["removed_at"], details[3]["removed_at"]]
    assert moments == sorted(moments)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", moment) for moment in moments)


def test_nothing_personal_is_told(db: psycopg.Connection) -> None:
    client = accounts.register("Ana Secreta", "secreta@example.com")
    clients.remove(accounts.caller(client), "me")
    assert "secreta" not in str(waiting(db)).lower()


def test_what_did_not_happen_is_not_told(db: psycopg.Connection, held: Caller) -> None:
    with pytest.raises(AlreadyFavorite):
        items.create(held, "7")
    items.add(held, "7")
    items.remove(held, "7")
    with pytest.raises(NotFavorite):
        items.remove(held, "7")
    client = clients.get(held, "me")
    with pytest.raises(EmailTaken):
        accounts.register(email=client.email)
    clients.update(held, "me", ClientChanges(name="Another"), if_match=None)
    assert [kind for kind, _ in waiting(db)] == ["FavoriteRemoved"]


def test_a_removed_client_takes_the_favorites_along_without_a_word_of_them(
    db: psycopg.Connection, held: Caller
) -> None:
    clients.remove(held, "me")
    assert [kind for kind, _ in waiting(db)] == ["ClientRemoved"]


# ── Both or neither ───────────────────────────────────────────────────────────────────────────────────────

DOING: dict[str, Callable[[Caller], object]] = {
    "a product's price": lambda _: product_copy.save(
        changed_as_product(price=Decimal(1)), T + 1
    ),
    "a product's removal": lambda _: product_copy.mark_removed("7", T + 1),
    "a favorite removed": lambda caller: items.remove(caller, "7"),
    "a favorite added": lambda caller: items.add(caller, "8"),
    "a client removed": lambda caller: clients.remove(caller, "me"),
    "a client registered": lambda _: accounts.register(email="new@example.com"),
}  # fmt: skip


def changed_as_product(**changes: Any) -> CatalogProduct:
    return CatalogProduct.model_validate(product(7, **changes))


@pytest.fixture
def full_outbox(db: psycopg.Connection) -> Iterator[None]:
    """The outbox takes nothing."""
    db.execute("ALTER TABLE outbox ADD CONSTRAINT full_up CHECK (false) NOT VALID")
    yield
    db.execute("ALTER TABLE outbox DROP CONSTRAINT full_up")


def _all_data(db: psycopg.Connection) -> list[Any]:
    return [
        db.execute(f"SELECT xmin, t.* FROM {table} AS t ORDER BY 2, 3").fetchall()  # noqa: S608 — ours
        for table in ("products", "favorites", "clients", "outbox")
    ]


@pytest.mark.parametrize("what", DOING)
def test_what_cannot_be_told_does_not_happen(
    db: psycopg.Connection, held: Caller, request: pytest.FixtureRequest, what: str
) -> None:
    deliver(changed_product(T, 8))
    before = _all_data(db)
    request.getfixturevalue("full_outbox")
    with pytest.raises(psycopg.errors.CheckViolation):
        DOING[what](held)
    assert _all_data(db) == before


@pytest.mark.parametrize("what", DOING)
def test_what_did_not_happen_after_all_is_not_told(db: psycopg.Connection, held: Caller, what: str) -> None:
    """The statement succeeded, and its transaction was rolled back."""
    deliver(changed_product(T, 8))
    before = _all_data(db)
    with database.connection().transaction(force_rollback=True):
        DOING[what](held)
        assert database.connection().execute("SELECT FROM outbox").rowcount == 1
    assert _all_data(db) == before


# ── Publishing ────────────────────────────────────────────────────────────────────────────────────────────


class Bus:
    """Takes entries, or refuses those that `refuses` says; remembers each call."""

    def __init__(self, refuses: Callable[[Entry], bool] = lambda _: False) -> None:
        self.refuses = refuses
        self.calls: list[list[Entry]] = []
        self.taken: list[Entry] = []

    def send(self, entries: Sequence[Entry]) -> list[bool]:
        self.calls.append(list(entries))
        answers = [not self.refuses(entry) for entry in entries]
        self.taken += [entry for entry, taken in zip(entries, answers, strict=True) if taken]
        return answers

    def numbers(self, stream: str) -> list[int]:
        """What was taken of the stream, in order."""
        return [number for name, number in map(named, self.taken) if name == stream]


def put(db: psycopg.Connection, *events: tuple[str, int]) -> None:
    """Events to send: of a stream, with a number."""
    with db.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO outbox (stream, detail_type, detail) VALUES (%s, 'Numbered', %s)",
            [(stream, json.dumps({"stream": stream, "number": number})) for stream, number in events],
        )


def named(entry: Entry) -> tuple[str, int]:
    detail = json.loads(entry["Detail"])
    return detail["stream"], detail["number"]


def left(db: psycopg.Connection) -> list[tuple[str, int]]:
    return [(detail["stream"], detail["number"]) for _, detail in waiting(db)]


def test_an_empty_outbox_sends_nothing() -> None:
    bus = Bus()
    assert outbox_relay.relay(bus.send) == Relayed()
    assert bus.calls == []


def test_all_is_sent_once_in_order_and_forgotten(db: psycopg.Connection) -> None:
    put(db, *((f"s{number % 7}", number) for number in range(50)))
    bus = Bus()
    assert outbox_relay.relay(bus.send).sent == 50
    for stream in range(7):
        assert bus.numbers(f"s{stream}") == list(range(stream, 50, 7))
    assert left(db) == []
    assert outbox_relay.relay(bus.send).sent == 0


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


def test_no_call_has_more_than_ten_entries_or_a_stream_twice(db: psycopg.Connection) -> None:
    put(db, *((f"s{number % 23}", number) for number in range(460)))
    bus = Bus()
    outbox_relay.relay(bus.send)
    assert len(bus.taken) == 460
    for call in bus.calls:
        assert 1 <= len(call) <= 10
        streams = [named(entry)[0] for entry in call]
        assert len(set(streams)) == len(streams)
    assert len(bus.calls) <= 60  # and they are well filled


def test_one_long_stream_holds_back_nobody(db: psycopg.Connection) -> None:
    put(db, *(("long", number) for number in range(30)), ("short", 0))
    bus = Bus()
    outbox_relay.relay(bus.send)
    assert ("short", 0) in map(named, bus.calls[0])
    assert bus.numbers("long") == list(range(30))


def test_a_refused_entry_is_tried_again_before_what_follows_it(db: psycopg.Connection) -> None:
    put(db, ("a", 1), ("b", 1), ("a", 2), ("b", 2))
    tries: list[tuple[str, int]] = []

    def refuse_a1_twice(entry: Entry) -> bool:
        tries.append(named(entry))
        return named(entry) == ("a", 1) and tries.count(("a", 1)) <= 2

    bus = Bus(refuse_a1_twice)
    assert outbox_relay.relay(bus.send) == Relayed(sent=4)
    assert tries.count(("a", 1)) == 3
    assert bus.numbers("a") == bus.numbers("b") == [1, 2]
    assert left(db) == []


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


def test_a_stream_that_is_refused_is_not_tried_more_often_because_there_is_more(
    db: psycopg.Connection, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr(outbox_reader, "EVENTS_PER_STREAM", 4)
    put(db, *((stream, number) for number in range(10) for stream in "ab"))
    bus = Bus(lambda entry: named(entry) == ("a", 1))
    assert outbox_relay.relay(bus.send).sent == 11
    assert [named(entry) for call in bus.calls for entry in call].count(("a", 1)) == outbox_relay.MAX_ATTEMPTS
    assert bus.numbers("b") == list(range(10))
    assert left(db) == [("a", number) for number in range(1, 10)]


def test_a_bus_that_refuses_everything_is_left_alone_soon(db: psycopg.Connection) -> None:
    put(db, *((f"s{number}", number) for number in range(25)))
    bus = Bus(lambda _: True)
    published = outbox_relay.relay(bus.send)
    assert (published.sent, published.refused) == (0, 25)
    assert sum(map(len, bus.calls)) == 25 * outbox_relay.MAX_ATTEMPTS
    assert len(left(db)) == 25


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


# ── What the bus will never take ──────────────────────────────────────────────────────────────────────────


def put_large(db: psycopg.Connection, stream: str, number: int, size: int) -> None:
    """An event to send of that many bytes and some."""
    detail = {"stream": stream, "number": number, "text": "ç" * (size // 2)}
    db.execute(
        "INSERT INTO outbox (stream, detail_type, detail) VALUES (%s, 'Numbered', %s)",
        [stream, json.dumps(detail, ensure_ascii=False)],
    )


def set_aside(db: psycopg.Connection) -> list[tuple[str, int, str]]:
    found = db.execute("SELECT detail, reason FROM outbox_refused ORDER BY outbox_id").fetchall()
    return [(detail["stream"], detail["number"], reason) for detail, reason in found]


def test_what_was_set_aside_two_weeks_ago_is_forgotten(db: psycopg.Connection) -> None:
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
    assert set_aside(db) == [("a", 13, "too large")]


def test_an_event_that_no_bus_takes_is_set_aside_and_its_stream_goes_on(
    db: psycopg.Connection, environment: pytest.MonkeyPatch
) -> None:
    lines = recorder.log(environment)
    put(db, ("a", 1))
    put_large(db, "a", 2, event_bridge.ENTRY_BYTES)
    put(db, ("a", 3), ("b", 1))
    bus = Bus()
    assert outbox_relay.relay(bus.send) == Relayed(sent=3, dead_letters=1)
    assert (bus.numbers("a"), bus.numbers("b")) == ([1, 3], [1])
    ((stream, number, reason),) = set_aside(db)
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


def test_an_event_of_a_client_who_is_gone_is_not_kept(
    db: psycopg.Connection, large_event_of_ana: Caller
) -> None:
    put_large(db, "a", 2, event_bridge.ENTRY_BYTES)
    put_large(db, f"client:{accounts.new_caller().client_id}", 3, event_bridge.ENTRY_BYTES)
    clients.remove(large_event_of_ana, "me")
    assert outbox_relay.relay(Bus().send).dead_letters == 3
    assert [number for _, number, _ in set_aside(db)] == [2, 3]


def test_that_a_client_was_removed_is_kept_until_the_bus_takes_it(
    db: psycopg.Connection, large_event_of_ana: Caller
) -> None:
    clients.remove(large_event_of_ana, "me")
    outbox_relay.relay(lambda entries: ["MalformedDetail"] * len(entries))
    assert db.execute("SELECT detail_type FROM outbox_refused").fetchall() == [("ClientRemoved",)]


@pytest.mark.usefixtures("connection_per_thread")
def test_a_removal_erases_what_is_set_aside_at_the_same_moment(
    db: psycopg.Connection, large_event_of_ana: Caller, environment: pytest.MonkeyPatch
) -> None:
    look_first = dead_letters.sort

    with ThreadPoolExecutor(1) as pool:
        removing = []

        def removed_then(*arguments: Any) -> Any:
            kept = look_first(*arguments)
            removing.append(pool.submit(clients.remove, large_event_of_ana, "me"))
            concurrency.wait_for_a_lock(db)
            return kept

        environment.setattr(dead_letters, "sort", removed_then)
        assert outbox_relay.relay(Bus().send).dead_letters == 1
        removing[0].result()
    assert set_aside(db) == []


def test_a_client_whose_row_is_locked_keeps_nobody_waiting(
    db: psycopg.Connection, large_event_of_ana: Caller
) -> None:
    put(db, ("a", 1))
    with psycopg.connect(database_url()) as other:
        other.execute("SELECT FROM clients WHERE client_id = %s FOR UPDATE", [large_event_of_ana.client_id])
        assert outbox_relay.relay(Bus().send) == Relayed(sent=1, refused=1, left=1)
    assert outbox_relay.relay(Bus().send) == Relayed(dead_letters=1)
    assert len(set_aside(db)) == 1


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


def test_a_bus_with_a_smaller_limit_gets_what_it_takes_and_the_rest_is_set_aside(
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
    ((stream, number, reason),) = set_aside(db)
    assert (stream, number) == ("s3", 1)
    assert "over the limit" in reason


def test_a_call_that_is_refused_for_another_reason_sets_nothing_aside(
    db: psycopg.Connection, environment: pytest.MonkeyPatch
) -> None:
    bus = SmallBus()
    bus.limit = 0
    environment.setattr(event_bridge, "_client", lambda: bus)
    put(db, ("a", 1))
    with pytest.raises(ClientError):
        outbox_relay.relay(event_bridge.sender())
    assert (left(db), set_aside(db)) == ([("a", 1)], [])


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException", "InternalFailure"])
def test_a_large_event_is_not_set_aside_when_the_call_is_refused_for_another_reason(
    db: psycopg.Connection, environment: pytest.MonkeyPatch, code: str
) -> None:
    class Refusing:
        def put_events(self, *, Entries: list[Entry]) -> dict[str, Any]:  # noqa: N803, ARG002 — as AWS has it
            raise ClientError({"Error": {"Code": code, "Message": "Not now."}}, "PutEvents")

    environment.setattr(event_bridge, "_client", Refusing)
    put_large(db, "a", 1, 300_000)
    with pytest.raises(ClientError):
        outbox_relay.relay(event_bridge.sender())
    assert set_aside(db) == []
    assert db.execute("SELECT FROM outbox").rowcount == 1


# ── Time ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_stops_before_its_time_is_over_and_says_how_much_is_left(
    db: psycopg.Connection, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr(outbox_relay, "BATCH_SECONDS", 0.5)
    put(db, *(("a", number) for number in range(100)))
    bus = Bus()

    def slow(entries: Sequence[Entry]) -> list[bool]:
        time.sleep(0.05)
        return bus.send(entries)

    started = time.monotonic()
    with deadlines.within(1):
        published = outbox_relay.relay(slow)
    assert time.monotonic() - started < 1
    assert 0 < published.sent < 15
    assert published == Relayed(sent=published.sent, left=100 - published.sent)
    assert outbox_relay.relay(bus.send).sent == 100 - published.sent
    assert bus.numbers("a") == list(range(100))


def test_a_run_without_time_begins_nothing(db: psycopg.Connection) -> None:
    put(db, ("a", 1))
    bus = Bus()
    with deadlines.within(outbox_relay.BATCH_SECONDS - 1):
        assert outbox_relay.relay(bus.send) == Relayed(left=1)
    assert bus.calls == []


def test_a_throttled_call_in_twenty_costs_no_event_its_run(db: psycopg.Connection) -> None:
    put(db, *((f"s{number % 400}", number) for number in range(4_000)))
    bus, calls, closing = Bus(), 0, threading.Lock()

    def throttle(entries: Sequence[Entry]) -> list[bool]:
        nonlocal calls
        with closing:
            calls += 1
            if calls % 20 == 0:
                raise ClientError({"Error": {"Code": "ThrottlingException"}}, "PutEvents")
            return bus.send(entries)

    assert outbox_relay.relay(throttle) == Relayed(sent=4_000)
    assert len(bus.taken) == 4_000
    for stream in range(400):
        assert bus.numbers(f"s{stream}") == list(range(stream, 4_000, 400))


def test_a_bus_that_fails_once_is_tried_again(db: psycopg.Connection) -> None:
    put(db, ("a", 1))
    bus, calls = Bus(), 0

    def fail_once(entries: Sequence[Entry]) -> list[bool]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ConnectionError
        return bus.send(entries)

    assert outbox_relay.relay(fail_once) == Relayed(sent=1)


def test_a_call_that_does_not_end_holds_back_its_own_streams(
    db: psycopg.Connection, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr(outbox_relay, "SEND_TIMEOUT", 0.2)
    put(db, *((f"s{number}", 0) for number in range(20)))
    bus, go_on = Bus(), threading.Event()

    def hang(entries: Sequence[Entry]) -> list[bool]:
        if ("s0", 0) in map(named, entries):
            go_on.wait(10)
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

    def slow(entries: Sequence[Entry]) -> list[bool]:
        time.sleep(0.1)
        return bus.send(entries)

    for _ in range(2):
        with deadlines.within(outbox_relay.BATCH_SECONDS + 0.05):  # for one batch
            outbox_relay.relay(slow)
    assert {name for name, _ in map(named, bus.taken)} == {f"s{stream}" for stream in range(6)}


# ── Crashes, and two at once ──────────────────────────────────────────────────────────────────────────────


def test_what_send_raises_loses_nothing(db: psycopg.Connection) -> None:
    put(db, ("a", 1), ("a", 2), ("b", 1))

    def broken(_: Sequence[Entry]) -> list[bool]:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        outbox_relay.relay(broken)
    assert left(db) == [("a", 1), ("a", 2), ("b", 1)]
    bus = Bus()
    assert outbox_relay.relay(bus.send).sent == 3  # and no lock was left


def test_a_bus_that_leaves_an_entry_unanswered_ends_the_run(
    db: psycopg.Connection,
) -> None:
    put(db, ("a", 1), ("b", 1))
    with pytest.raises(ValueError, match="did not answer for each entry"):
        outbox_relay.relay(lambda _: [True])
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


def test_an_event_that_comes_meanwhile_is_sent_by_the_same_run_or_the_next(
    db: psycopg.Connection,
) -> None:
    put(db, ("a", 1))
    bus = Bus()

    def more(entries: Sequence[Entry]) -> list[bool]:
        if not bus.calls:
            put(db, ("a", 2))
        return bus.send(entries)

    outbox_relay.relay(more)
    outbox_relay.relay(bus.send)
    assert bus.numbers("a") == [1, 2]
    assert left(db) == []


KILLED = """
import json, os, time
from shared.events import dead_letters, event_bridge, outbox_reader, outbox_relay

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
    assert wait_until(lambda: outbox_relay.relay(bus.send).left == 0, 10)
    again = [named(entry) for entry in bus.taken]
    assert 300 <= len(sent) < 2_000
    assert len(sent) + len(again) - 2_000 <= outbox_relay.BATCH_SIZE
    for stream in range(100):
        numbers = [number for name, number in (*sent, *again) if name == f"s{stream}"]
        assert list(dict.fromkeys(numbers)) == list(range(20))


@pytest.mark.usefixtures("connection_per_thread")
def test_two_publishers_at_once_send_nothing_twice_and_all_in_order(
    db: psycopg.Connection, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr(outbox_reader, "EVENTS_PER_STREAM", 10)
    put(db, *((f"s{number % 5}", number) for number in range(200)))
    bus, sending = Bus(), threading.Lock()

    def send(entries: Sequence[Entry]) -> list[bool]:
        time.sleep(0.002)
        with sending:
            return bus.send(entries)

    def publish_for_a_while() -> None:
        for _ in range(40):
            outbox_relay.relay(send)

    workers = [threading.Thread(target=publish_for_a_while) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert left(db) == []
    assert len(bus.taken) == 200
    for stream in range(5):
        assert bus.numbers(f"s{stream}") == list(range(stream, 200, 5))


@pytest.mark.usefixtures("connection_per_thread")
def test_a_second_publisher_leaves_while_the_first_is_at_it(db: psycopg.Connection) -> None:
    put(db, ("a", 1))
    sending, go_on = threading.Event(), threading.Event()
    bus = Bus()

    def slow(entries: Sequence[Entry]) -> list[bool]:
        sending.set()
        assert go_on.wait(10)
        return bus.send(entries)

    first = threading.Thread(target=outbox_relay.relay, args=[slow])
    first.start()
    assert sending.wait(10)
    started = time.monotonic()
    assert outbox_relay.relay(bus.send) == Relayed(left=1)
    assert time.monotonic() - started < 1
    go_on.set()
    first.join()
    assert bus.numbers("a") == [1]


@pytest.fixture
def gate(db: psycopg.Connection) -> Iterator[str]:
    """The database's address for a publisher whose try for the turn's lock waits until lock 1 is free."""
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
def test_a_publisher_that_gets_the_lock_as_another_ends_sees_what_that_one_sent(
    db: psycopg.Connection, environment: pytest.MonkeyPatch, gate: str
) -> None:
    environment.setenv("DATABASE_URL", gate)
    at_once = outbox_relay.BATCH_SIZE
    put(db, *((f"s{number}", 0) for number in range(at_once + 5)))
    bus, closing = Bus(), threading.Lock()

    def send(entries: Sequence[Entry]) -> list[bool]:
        with closing:
            if not bus.calls:
                db.execute("SELECT pg_advisory_lock(1)")  # for the next batch
            return bus.send(entries)

    slow = threading.Thread(target=outbox_relay.relay, args=[send])
    slow.start()
    waits = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND NOT granted"
    assert wait_until(lambda: db.execute(waits).rowcount == 1, 10)
    with db.transaction():  # as another does with what is left
        db.execute("DELETE FROM outbox")
        db.execute("UPDATE outbox_turns SET turn = turn + 1")
    db.execute("SELECT pg_advisory_unlock(1)")
    slow.join()
    assert len(bus.taken) == at_once


# ── EventBridge ───────────────────────────────────────────────────────────────────────────────────────────


class Queue:
    """A queue behind the bus: what a service that listens would get."""

    def __init__(self) -> None:
        self._sqs = boto3.client("sqs")
        self._url = self._sqs.create_queue(QueueName="listener")["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        events = boto3.client("events")
        events.create_event_bus(Name=BUS)
        events.put_rule(
            Name="ours", EventBusName=BUS, EventPattern=json.dumps({"source": ["favorites"]}), State="ENABLED"
        )
        events.put_targets(Rule="ours", EventBusName=BUS, Targets=[{"Id": "1", "Arn": arn}])

    def received(self) -> list[dict[str, Any]]:
        """All that arrived, in EventBridge's envelope."""
        found: list[dict[str, Any]] = []
        while messages := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in messages:
                found.append(simplejson.loads(message["Body"], use_decimal=True))
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return found


@pytest.fixture
def queue(environment: pytest.MonkeyPatch) -> Iterator[Queue]:
    """EventBridge and SQS by moto, the bus with a rule to a queue."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        environment.setenv(name, "testing")
    event_bridge._client.cache_clear()  # one that an earlier test made has no credentials
    with mock_aws():
        yield Queue()
    event_bridge._client.cache_clear()


def _all_that_can_happen() -> None:
    change(T)
    caller = accounts.new_caller()
    items.add(caller, "7")
    change(T + 1, price=Decimal("19.90"))
    change(T + 2, price=Decimal("119.90"))
    remove(T + 3)
    change(T + 4, price=Decimal("119.90"))
    items.remove(caller, "7")
    clients.remove(caller, "me")


def test_all_that_is_sent_is_as_its_schema_says(queue: Queue) -> None:
    _all_that_can_happen()
    assert lambda_handler({}, None) == {"sent": 8, "refused": 0, "dead_letters": 0, "left": 0}
    events = queue.received()
    for event in events:
        schema = json.loads(
            (ROOT / "events" / "schemas" / f"favorites.{event['detail-type']}.json").read_text()
        )
        jsonschema.Draft202012Validator(
            schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        ).validate(event["detail"])
        assert event["source"] == "favorites"
        assert abs(datetime.fromisoformat(event["time"]).timestamp() - time.time()) < 60
    schemas = {path.stem for path in (ROOT / "events" / "schemas").glob("favorites.*.json")}
    assert {f"favorites.{event['detail-type']}" for event in events} == schemas
    ids = [event["detail"]["event_id"] for event in events]
    assert len(set(ids)) == len(ids) == 8
    raised = next(event for event in events if event["detail-type"].endswith("PriceRaised"))
    assert raised["detail"]["old_price"] == Decimal("19.90")


def test_an_event_of_another_shape_would_be_noticed() -> None:
    """What the schemas refuse: or the test above could not fail."""
    schema = json.loads((ROOT / "events/schemas/favorites.FavoriteRemoved.json").read_text())
    validator = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    good = {
        "event_id": "5f0c1d8e-6d1b-4e0e-9d57-2f6a7c1b9e10",
        "client_id": "5f0c1d8e-6d1b-4e0e-9d57-2f6a7c1b9e10",
        "product_id": "7",
        "removed_at": "2026-11-23T12:00:00.000000Z",
    }
    assert validator.is_valid(good)
    for bad in (
        {"event_id": None},
        {"event_id": "7"},
        {"client_id": 7},
        {"product_id": 7},
        {"email": "ana@example.com"},
    ):
        assert not validator.is_valid({**good, **bad})


def test_what_eventbridge_refuses_is_logged_with_its_reason(
    db: psycopg.Connection, environment: pytest.MonkeyPatch
) -> None:
    class Refusing:
        def put_events(self, *, Entries: list[Entry]) -> dict[str, Any]:  # noqa: N803 — named so by AWS
            refused = {"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"}
            return {
                "FailedEntryCount": 1,
                "Entries": [refused if named(entry) == ("a", 1) else {"EventId": "1"} for entry in Entries],
            }

    lines = recorder.log(environment)
    environment.setattr(event_bridge, "_client", Refusing)
    put(db, ("a", 1), ("b", 1))
    assert lambda_handler({}, None) == {"sent": 1, "refused": 1, "dead_letters": 0, "left": 1}
    assert left(db) == [("a", 1)]
    refusals = [line for line in lines if line.message == "event refused"]
    assert len(refusals) == outbox_relay.MAX_ATTEMPTS
    assert refusals[0].more == {"code": "ThrottlingException", "reason": "Rate exceeded"}


def test_a_cold_environment_makes_one_client_for_all_its_calls(
    db: psycopg.Connection, environment: pytest.MonkeyPatch
) -> None:
    class Taking:
        def put_events(self, *, Entries: list[Entry]) -> dict[str, Any]:  # noqa: N803 — named so by AWS
            return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in Entries]}

    made: list[str] = []

    def make(service: str, **_: Any) -> Taking:
        made.append(service)
        time.sleep(0.1)
        return Taking()

    environment.setattr(boto3, "client", make)
    event_bridge._client.cache_clear()
    put(db, *((f"s{number}", 0) for number in range(outbox_relay.BATCH_SIZE)))
    assert lambda_handler({}, None)["sent"] == outbox_relay.BATCH_SIZE
    event_bridge._client.cache_clear()
    assert made == ["events"]


def test_nobody_else_imports_the_aws_sdk() -> None:
    importing = [
        str(path.relative_to(ROOT))
        for folder in ("shared", "functions")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if re.search(r"^\s*(?:import|from) (?:boto3|botocore)\b", path.read_text(), re.MULTILINE)
    ]
    assert importing == ["shared/accounts/key_rotation.py", "shared/events/event_bridge.py"]
    for path in importing:
        text = (ROOT / path).read_text()
        assert not re.search(r"^(?:import|from) boto", text, re.MULTILINE)  # and only where it is needed
