"""Whatever the catalog tells, in whatever order and however often: the end is what it told last.

Random histories of a few products are shuffled, repeated, cut into batches and taken by several execution
environments at once, against real PostgreSQL and Valkey. A short run is part of `make test`; the long one:

    HISTORIES=2000 pytest tests/integration/push/test_catalog_histories.py
"""

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

import psycopg
import pytest
import simplejson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import UnknownProduct
from shared.favorites import items
from shared.formats.etags import etag_of
from shared.platform import database
from shared.platform import valkey as cache
from shared.products import catalog as catalog_client
from shared.products import product_cache, product_copy, push, read_through, write_through
from tests.hostile_catalog import Answer, HostileCatalog, product
from tests.integration import accounts
from tests.integration.catalog_messages import (
    Environments,
    Event,
    changed,
    changed_product,
    deliver,
    removed,
)

pytestmark = pytest.mark.usefixtures("environment", "patient_cache")

HISTORIES = int(os.environ.get("HISTORIES", "60"))
ENVIRONMENTS = 3
T = 1_795_000_000_000  # a version of today

histories_of = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def environments() -> Iterator[Environments]:
    started = Environments(ENVIRONMENTS)
    yield started
    started.stop()


# ── Histories ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Change:
    """What happened to a product: another content (number of CONTENTS), or its removal (None)."""

    product: int
    version: int
    content: int | None


CONTENTS: list[dict[str, Any]] = [
    {"price": Decimal("22.30")},
    {"price": Decimal("22.3")},  # the same amount, written otherwise
    {"price": Decimal("9.90"), "title": "Cheaper"},
    {"price": Decimal(30), "rating": None, "category": "garden"},
]


@dataclass(frozen=True)
class History:
    """All that happened, by product and in order, and how it arrives: batches of (environment, changes)."""

    happened: list[list[Change]]
    batches: list[tuple[int, list[Change]]]


@st.composite
def histories(draw: st.DrawFn, most_products: int = 4) -> History:
    happened = []
    for number in range(draw(st.integers(1, most_products))):
        contents = draw(
            st.lists(st.sampled_from([0, 1, 2, 3, None]), min_size=1, max_size=6), label=f"product {number}"
        )
        version = T
        changes = []
        for content in contents:
            version += draw(st.sampled_from([1, 2, 1_000]))
            changes.append(Change(number, version, content))
        happened.append(changes)
    every = [change for changes in happened for change in changes]
    repeated = draw(st.lists(st.sampled_from(every), max_size=6))
    waiting = draw(st.permutations(every + repeated))
    batches = []
    while waiting:
        size = draw(st.integers(1, 10))
        batches.append((draw(st.integers(0, ENVIRONMENTS - 1)), waiting[:size]))
        waiting = waiting[size:]
    return History(happened, batches)


_runs = itertools.count(1)


def now() -> int:
    return time.time_ns() // 1_000_000


def event_of(change: Change, run: int) -> Event:
    """The change as the catalog tells of it; every run has products of its own."""
    product_id = f"{run}-{change.product}"
    if change.content is None:
        return removed(change.version, product_id)
    return changed(change.version, content_of(change.content, product_id))


def content_of(content: int, product_id: str) -> dict[str, Any]:
    return {**product(1), "id": product_id, "title": "As before", **CONTENTS[content]}


def events_of(history: History, run: int) -> list[tuple[int, list[Event]]]:
    return [(number, [event_of(change, run) for change in changes]) for number, changes in history.batches]


def shown(content: int, product_id: str) -> dict[str, Any]:
    """The content as the API shows it."""
    told = content_of(content, product_id)
    rating = told.pop("rating")
    return {"product_id": told.pop("id"), **told, "currency": None, "review": rating}


def assert_is_the_newest(change: Change, product_id: str, db: psycopg.Connection) -> None:
    """PostgreSQL, Valkey and the answer to a request all have this change."""
    row = db.execute(
        "SELECT version, removed_at IS NULL, title, price, category, review_count FROM products"
        " WHERE product_id = %s",
        [product_id],
    ).fetchone()
    entry = product_cache.get(product_id)
    assert row is not None
    assert entry is not None
    assert (row[0], entry.version) == (change.version, change.version)
    if change.content is None:
        assert row[1] is False
        assert (entry.status, entry.body) == (404, "")
        with pytest.raises(UnknownProduct):
            read_through.detail(product_id)
        return
    expected = shown(change.content, product_id)
    count = expected["review"]["count"] if expected["review"] else None
    assert row[1:] == (True, expected["title"], expected["price"], expected["category"], count)
    answer = read_through.detail(product_id)
    assert answer.state == "hit"
    assert answer.entry == entry
    assert (entry.status, entry.etag) == (200, etag_of(entry.body))
    assert simplejson.loads(entry.body, use_decimal=True) == expected


# ── Any order, any number of times, by several at once ────────────────────────────────────────────────────


def test_every_history_ends_as_it_happened_however_it_arrives(
    environments: Environments, db: psycopg.Connection
) -> None:
    @settings(histories_of, max_examples=HISTORIES)
    @given(history=histories())
    def ends_as_it_happened(history: History) -> None:
        run = next(_runs)
        assert environments.deliver(events_of(history, run)) == []
        for changes in history.happened:
            assert_is_the_newest(changes[-1], f"{run}-{changes[-1].product}", db)

    ends_as_it_happened()


def test_what_favorites_are_told_is_one_unbroken_story(
    environments: Environments, db: psycopg.Connection
) -> None:
    caller = accounts.new_caller()

    @settings(histories_of, max_examples=max(15, HISTORIES // 10))
    @given(history=histories(most_products=2))
    def is_unbroken(history: History) -> None:
        run = next(_runs)
        for changes in history.happened:
            product_id = f"{run}-{changes[0].product}"
            deliver(changed(T, content_of(0, product_id)))
            items.add(caller, product_id)
        environments.deliver(events_of(history, run))
        for changes in history.happened:
            told = db.execute(
                "SELECT detail_type, detail FROM outbox WHERE stream = %s ORDER BY outbox_id",
                [f"product:{run}-{changes[0].product}"],
            ).fetchall()
            _assert_unbroken(told, changes[-1])

    is_unbroken()


def _assert_unbroken(told: list[tuple[str, dict[str, Any]]], last: Change) -> None:
    price, available, version = 22.3, True, T
    for detail_type, detail in told:
        assert detail["version"] > version
        assert detail["old_price"] == price
        new_price = detail["new_price"]
        match detail_type:
            case "FavoriteProductRemoved":
                assert available
                assert new_price is None
            case "FavoriteProductRestored":
                assert not available
            case "FavoriteProductPriceDropped":
                assert available
                assert new_price < price
            case _:
                assert detail_type == "FavoriteProductPriceRaised"
                assert available
                assert new_price > price
        available = new_price is not None
        price, version = (new_price if available else price), detail["version"]
    assert available == (last.content is not None)
    if last.content is not None:
        assert price == float(CONTENTS[last.content]["price"])


# ── With requests in between ──────────────────────────────────────────────────────────────────────────────


def test_events_and_requests_for_the_product_end_with_what_the_catalog_has(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch
) -> None:
    """A request's version is the moment when it asked; an event's, when the change happened."""
    numbers, clock = itertools.count(1_000), itertools.count(now())
    environment.setattr(catalog_client, "now_version", lambda: next(clock))

    @settings(histories_of, max_examples=max(30, HISTORIES // 20))
    @given(
        happens=st.lists(
            st.one_of(
                st.sampled_from([0, 2, 3, None]),  # the product becomes this, and an event is sent
                st.just("request"),  # somebody asks, and the cache has nothing fresh
                st.just("arrival"),  # some event of those on their way arrives, perhaps not for the last time
            ),
            min_size=1,
            max_size=12,
        ),
        data=st.data(),
    )
    def ends_as_the_catalog_is(happens: list[Any], data: st.DataObject) -> None:
        number = next(numbers)
        on_the_way: list[Event] = []
        has: int | None = None
        catalog.answer(f"/products/{number}", Answer.null())
        for what in [0, *happens]:
            if what == "request":
                cache.pipeline(("FLUSHDB",))
                write_through.forget_missing()
                database.execute("UPDATE products SET fetched_at = now() - interval '1 hour'", {})
                if has is None:
                    with pytest.raises(UnknownProduct):
                        read_through.detail(str(number))
                else:
                    read_through.detail(str(number))
            elif what == "arrival":
                deliver(data.draw(st.sampled_from(on_the_way)))
            else:
                has = what
                content = None if has is None else {**product(number), **CONTENTS[has]}
                catalog.answer(
                    f"/products/{number}", Answer.null() if content is None else Answer.json(content)
                )
                version = next(clock)
                on_the_way.append(
                    removed(version, str(number)) if content is None else changed(version, content)
                )
        deliver(*data.draw(st.permutations(on_the_way)))

        copied, entry = product_copy.find(str(number)), product_cache.get(str(number))
        assert copied
        assert entry
        if has is None:
            assert copied.removed_at is not None
            # A request that found nothing before the first event arrived is remembered by the cache alone.
            assert entry.version >= copied.version
            assert entry.status == 404
        else:
            assert copied.removed_at is None
            assert copied.version == entry.version
            assert copied.price == CONTENTS[has]["price"]
            assert simplejson.loads(entry.body, use_decimal=True)["price"] == CONTENTS[has]["price"]

    ends_as_the_catalog_is()


# ── The cache, where PostgreSQL cannot help ───────────────────────────────────────────────────────────────

OLDER = {"a change": changed_product(T + 1, price=1), "a removal": removed(T + 1)}
NEWER = {"a change": changed_product(T + 2, price=2), "a removal": removed(T + 2)}
LATE: dict[str, Callable[[], object]] = {
    "a request": lambda: read_through.detail("7"),
    **{name: partial(push.take, event) for name, event in OLDER.items()},
}


@pytest.mark.usefixtures("connection_per_thread")
@pytest.mark.parametrize("newer", NEWER)
@pytest.mark.parametrize("older", LATE)
def test_a_slow_writer_never_overwrites_the_newer_entry(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch, older: str, newer: str
) -> None:
    catalog.answer("/products/7", Answer.json(product(7)))
    environment.setattr(catalog_client, "now_version", lambda: T + 1)
    arrived, go_on = threading.Event(), threading.Event()
    put_all, written = product_cache.put_all, []

    def put_late(*arguments: Any, **how: Any) -> None:
        """The first one to write stands still before it does."""
        if not arrived.is_set():
            arrived.set()
            assert go_on.wait(60)
        put_all(*arguments, **how)
        written.append(arguments)

    environment.setattr(product_cache, "put_all", put_late)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(LATE[older])
        assert arrived.wait(30)
        push.take(NEWER[newer])
        go_on.set()
        late.exception()
    assert len(written) == 2
    entry = product_cache.get("7")
    assert entry
    assert (entry.version, entry.status) == (T + 2, 200 if newer == "a change" else 404)
