"""Batches with messages that no catalog should send: they alone are reported, the others are taken once."""

import json
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import simplejson

from functions.refresh_product_cache.handler import lambda_handler
from local.servers.postgres import Postgres
from local.servers.valkey import Valkey
from shared.errors import UnknownProduct
from shared.favorites import items
from shared.platform import database, valkey
from shared.products import product_cache, product_copy, push, push_batch, read_through
from tests.calls import call, sample
from tests.hostile_catalog import HostileCatalog, nonsense, product
from tests.integration import accounts, recorder
from tests.integration.catalog_messages import (
    batch,
    changed_product,
    deliver,
    deliver_texts,
    envelope,
    failed,
    removed,
    text,
)
from tests.integration.conftest import NO_DATABASE
from tests.integration.hindered import HinderedServer

pytestmark = pytest.mark.usefixtures("environment")

T = 1_795_000_000_000  # a version of today

GOOD = text(changed_product(T, 7))


def without(event: dict[str, Any], *path: str) -> str:
    """The event, one of its members left out."""
    copy = simplejson.loads(text(event), use_decimal=True)
    inside = copy
    for name in path[:-1]:
        inside = inside[name]
    del inside[path[-1]]
    return text(copy)


def versioned(raw: str) -> str:
    """A change of product 8 with this in the place of the version."""
    return text(changed_product(0, 8)).replace('"version": 0,', f'"version": {raw},')


def of_product(**changes: Any) -> str:
    return text(changed_product(T, 8, **changes))


POISON = {
    "nothing": "",
    "white space": " \n",
    "no JSON": "product 7 is cheaper now",
    "half of an event": GOOD[: len(GOOD) // 2],
    "two events": GOOD + GOOD,
    "XML": "<event/>",
    "null": "null",
    "a number": "7",
    "a list": f"[{GOOD}]",
    "text around it": json.dumps(GOOD),
    "an SNS notification": json.dumps({"Type": "Notification", "Message": GOOD}),
    "an empty object": "{}",
    "nested too deep": "[" * 100_000 + "]" * 100_000,
    "nested too deep inside": text(changed_product(T, 8)).replace(
        '"title"', '"x": ' + "[" * 50_000 + "]" * 50_000 + ', "title"'
    ),
    "half a surrogate in the message": GOOD.replace("Product 7", "\ud800"),
    "no source": without(changed_product(T, 8), "source"),
    "somebody else's": text(envelope("ProductChanged", {"version": T, "product": product(8)}, source="shop")),
    "our own": text(envelope("ProductChanged", {"version": T, "product": product(8)}, source="favorites")),
    "no detail type": without(changed_product(T, 8), "detail-type"),
    "an unknown detail type": text(envelope("ProductPainted", {"version": T, "product": product(8)})),
    "a detail type in another case": text(envelope("productchanged", {"version": T, "product": product(8)})),
    "a detail type that is a number": text(envelope("", {}, **{"detail-type": 7})),
    "no detail": without(changed_product(T, 8), "detail"),
    "detail is null": text(envelope("ProductChanged", None)),
    "detail is text": text(envelope("ProductChanged", json.dumps({"version": T}))),
    "detail is a list": text(envelope("ProductChanged", [T])),
    "the other type's detail": text(envelope("ProductRemoved", {"version": T, "product": product(8)})),
    "no version": without(changed_product(T, 8), "detail", "version"),
    "no version of a removal": without(removed(T, "8"), "detail", "version"),
    "version is null": versioned("null"),
    "version is text": versioned(f'"{T}"'),
    "version is a date": versioned('"2026-11-23T12:00:00Z"'),
    "version is true": versioned("true"),
    "version is negative": versioned("-1"),
    "version has decimals": versioned("1795000000000.5"),
    "version is a whole number with decimals": versioned("1795000000000.0"),
    "version is an exponent": versioned("1e12"),
    "version is 2^53": versioned(str(2**53)),
    "version is 2^63": versioned(str(2**63)),
    "version has a thousand digits": versioned("9" * 1_000),
    "version has a million digits": versioned("9" * 1_000_000),
    "version is NaN": versioned("NaN"),
    "no product": without(changed_product(T, 8), "detail", "product"),
    "product is null": text(envelope("ProductChanged", {"version": T, "product": None})),
    "product is a list": text(envelope("ProductChanged", {"version": T, "product": [product(8)]})),
    "price is missing": without(changed_product(T, 8), "detail", "product", "price"),
    "price is Infinity": of_product(price=0).replace('"price": 0', '"price": -Infinity'),
    "price is 1e400": of_product(price=0).replace('"price": 0', '"price": 1e400'),
    "price is 1e999999999999": of_product(price=0).replace('"price": 0', '"price": 1e999999999999'),
    "price has 21 decimals": of_product(price=Decimal("1." + "0" * 20 + "1")),
    "price is a trillion": of_product(price=10**12),
    "title is longer than a page": of_product(title="x" * 1_001),
    "description is longer than a book": of_product(description="x" * 50_001),
    "image is longer than any address": of_product(image="x" * 4_001),
    "category is longer than a shelf": of_product(category="x" * 201),
    "description holds NUL": of_product(description="a\0b"),
    "category holds NUL": of_product(category="\0"),
    "image holds NUL": of_product(image="\0"),
    "half a surrogate": of_product(title="x").replace('"x"', '"\\ud800"'),
    "id is true": of_product(id=True),
    "id has decimals": of_product(id=Decimal("8.0")),
    "id is longer than 64": of_product(id="8" * 65),
    "removed id is null": text(removed(T, None)),
    "removed id is empty": text(removed(T, "")),
    "removed id is longer than 64": text(removed(T, "8" * 65)),
    **{
        f"product: {what}": text(envelope("ProductChanged", {"version": T, "product": 0})).replace(
            '"product": 0', f'"product": {body or "null"}'
        )
        for what, body in nonsense(8).items()
        if what != "id is another product's"  # here there is none that was asked for
    },
}  # fmt: skip


def everything(db: psycopg.Connection) -> list[Any]:
    """Every product and every event to send, with the transactions that wrote them."""
    return [
        db.execute("SELECT xmin, products.* FROM products ORDER BY product_id").fetchall(),
        db.execute("SELECT xmin, outbox.* FROM outbox ORDER BY outbox_id").fetchall(),
    ]


def test_a_poisoned_message_alone_fails_and_its_reason_is_logged(
    environment: pytest.MonkeyPatch, db: psycopg.Connection
) -> None:
    lines = recorder.log(environment)
    reported, logged = {}, {}
    for version, (what, body) in enumerate(POISON.items(), start=T):
        lines.clear()
        reported[what] = deliver_texts(text(changed_product(version)), body, text(removed(version, "9")))
        logged[what] = [(line.level, line.message, line.more["message_id"]) for line in lines]
        assert 0 < len(lines[0].more["reason"]) <= 500
    assert reported == {what: ["m1"] for what in POISON}
    assert logged == {what: [("error", "event failed", "m1")] for what in POISON}
    kept = db.execute("SELECT product_id, version FROM products ORDER BY product_id").fetchall()
    assert kept == [("7", T + len(POISON) - 1), ("9", T + len(POISON) - 1)]


def test_the_good_ones_around_poison_are_applied_once(db: psycopg.Connection) -> None:
    deliver(changed_product(T, 7, price=20), changed_product(T, 8, price=20))
    caller = accounts.new_caller()
    items.add(caller, "7")
    items.add(caller, "8")
    mixed = [
        POISON["no JSON"],
        text(changed_product(T + 1, 7, price=10)),
        POISON["version is null"],
        text(changed_product(T + 1, 8, price=30)),
        POISON["price is Infinity"],
        text(removed(T + 2, "8")),
    ]
    assert deliver_texts(*mixed) == ["m0", "m2", "m4"]
    before = everything(db)
    told = db.execute("SELECT detail_type FROM outbox WHERE stream LIKE 'product:%' ORDER BY outbox_id")
    assert [detail_type for (detail_type,) in told] == [
        "FavoriteProductPriceDropped",
        "FavoriteProductPriceRaised",
        "FavoriteProductRemoved",
    ]
    # Lambda delivers the failed ones again, and only these; they fail again and repeat nothing.
    assert deliver_texts(*(mixed[number] for number in (0, 2, 4))) == ["m0", "m1", "m2"]
    assert everything(db) == before


Seen = Callable[[product_copy.CopiedProduct], object]
ODD_BUT_GOOD: dict[str, tuple[str, Seen, object]] = {
    "the smallest version": (versioned("0"), lambda row: row.version, 0),
    "a price of nothing": (of_product(price=0), lambda row: row.price, 0),
    "an exact price": (of_product(price=Decimal("109.950000")), lambda row: str(row.price), "109.95"),
    "no rating": (
        *(without(changed_product(T, 8), "detail", "product", "rating"), lambda row: row.review_rate, None),
    ),
    "spaces around the title": (of_product(title="  Lamp "), lambda row: row.title, "Lamp"),
    "unknown members": (of_product(color="red", extra={"deep": [1]}), lambda row: row.title, "Product 8"),
    "a text id": (of_product(id="8"), lambda row: row.product_id, "8"),
}


@pytest.mark.parametrize("what", ODD_BUT_GOOD)
def test_an_odd_message_that_is_valid_is_taken(what: str) -> None:
    body, seen, expected = ODD_BUT_GOOD[what]
    assert deliver_texts(body) == []
    copied = product_copy.find("8")
    assert copied
    assert seen(copied) == expected


@pytest.mark.parametrize(("ahead", "failing"), [(push.AHEAD, []), (push.AHEAD + 1, ["m0"]), (10**15, ["m0"])])
def test_a_version_far_ahead_of_the_clock_is_refused(
    environment: pytest.MonkeyPatch, db: psycopg.Connection, ahead: int, failing: list[str]
) -> None:
    environment.setattr(push, "now_version", lambda: T)
    assert deliver(changed_product(T + ahead)) == failing
    assert deliver(removed(T + ahead, "9")) == failing
    known = db.execute("SELECT product_id FROM products ORDER BY product_id").fetchall()
    assert known == ([] if failing else [("7",), ("9",)])


def test_the_sample_changes_one_product_and_removes_another(catalog: HostileCatalog) -> None:
    assert failed(lambda_handler(sample("refresh_product_cache"), None)) == []
    answer = call("get_product", path={"product_id": "7"})
    assert (answer.headers["X-Cache"], answer.json["price"]) == ("hit", Decimal("22.3"))
    assert call("get_product", path={"product_id": "8"}).problem == "unknown-product"
    assert catalog.calls == {}


# ── When the database is down ─────────────────────────────────────────────────────────────────────────────


def test_with_the_database_down_every_message_fails_and_the_next_delivery_takes_them(
    environment: pytest.MonkeyPatch,
) -> None:
    events = [changed_product(T, 7), removed(T, "9"), changed_product(T, 8)]
    database.close()
    with environment.context() as down:
        down.setenv("DATABASE_URL", NO_DATABASE)
        assert deliver(*events) == ["m0", "m1", "m2"]
        assert [product_cache.get(number) for number in ("7", "8", "9")] == [None, None, None]
    assert deliver(*events) == []
    assert read_through.detail("7").state == read_through.detail("8").state == "hit"
    with pytest.raises(UnknownProduct):
        read_through.detail("9")


def test_when_the_database_hangs_up_between_two_batches_nothing_fails(db: psycopg.Connection) -> None:
    deliver(changed_product(T, 7))
    db.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    assert deliver(changed_product(T + 1, 7)) == []


def test_a_cache_that_is_silent_for_a_moment_fails_no_event_of_the_batch(
    environment: pytest.MonkeyPatch, valkey_server: Valkey
) -> None:
    with HinderedServer(valkey_server.url) as hindered:
        environment.setenv("REDIS_URL", hindered.url)
        valkey.close()
        hindered.silent = True
        threading.Timer(0.15, lambda: setattr(hindered, "silent", False)).start()
        assert deliver(*(changed_product(T, number) for number in range(1, 11))) == []
        assert all(product_cache.get(str(number)) for number in range(1, 11))
    valkey.close()


def test_a_batch_with_the_cache_down_ends_before_lambda_ends_it(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("REDIS_URL", "redis://127.0.0.1:9")
    valkey.close()
    started = time.monotonic()
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 6_500)
    answer = lambda_handler(batch(text(changed_product(T)), text(changed_product(T, 8))), context)
    assert failed(answer) == ["m0", "m1"]
    assert 1 < time.monotonic() - started < 6.5


def test_with_the_cache_down_the_copy_is_kept_up_to_date(environment: pytest.MonkeyPatch) -> None:
    environment.setattr(push_batch, "PAUSE", 0.01)
    environment.setenv("REDIS_URL", "redis://127.0.0.1:9")
    valkey.close()
    assert deliver(changed_product(T, price=1)) == ["m0"]  # to be delivered again: the cache was not told
    copied = product_copy.find("7")
    assert copied
    assert copied.price == 1


def test_with_a_silent_database_the_function_ends_in_time_and_reports_the_rest(
    environment: pytest.MonkeyPatch, migrated_postgres: Postgres
) -> None:
    events = [changed_product(T, number) for number in range(1, 11)]
    with HinderedServer(migrated_postgres.url) as postgres, environment.context() as hindered:
        hindered.setenv("DATABASE_URL", postgres.url)
        database.close()
        assert deliver(changed_product(T, 11)) == []
        postgres.silent = True
        started = time.monotonic()
        context = SimpleNamespace(get_remaining_time_in_millis=lambda: 5_000)
        answer = lambda_handler(batch(*map(text, events)), context)
        assert time.monotonic() - started < 5
        database.close()
    assert failed(answer) == [f"m{number}" for number in range(10)]
    assert deliver(*events) == []
