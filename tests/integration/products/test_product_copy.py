"""The durable copy of the catalog: newer wins, the same writes nothing, what is gone is a tombstone."""

import itertools
import time
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from functools import partial
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.favorites import items
from shared.formats import json_text
from shared.products import product_copy
from shared.products.catalog import CatalogList, CatalogProduct
from shared.products.product_copy import ShrunkCatalog, Source
from tests.hostile_catalog import product
from tests.integration import accounts, concurrency

pytestmark = pytest.mark.usefixtures("environment")

T = 1_795_000_000_000  # a version of today
_numbers = itertools.count(1_000)


def catalog_product(number: int = 7, **changes: Any) -> CatalogProduct:
    return CatalogProduct.model_validate(product(number, **changes))


def sync(version: int, *products: dict[str, Any] | str) -> list[str]:
    """The ids of what changed when the copy became what the list said at that version."""
    with closing(CatalogList(version)) as listed:
        for each in products:
            listed.add(each)
        listed.finish()
        return sorted(
            copied.product_id for chunk in product_copy.sync(listed) for copied in chunk if copied.changed
        )


def sync_twice(version: int, *products: dict[str, Any] | str) -> list[str]:
    """As `sync`, for two lists in a row: what both of them miss is gone."""
    return sorted(sync(version, *products) + sync(version + 1, *products))


def is_available(product_id: str) -> bool:
    held = product_copy.find(product_id)
    return held is not None and held.removed_at is None


def rows(db: psycopg.Connection) -> list[tuple[Any, ...]]:
    """Every row with the transaction that wrote it: the same means that nothing was written."""
    return db.execute("SELECT xmin, ctid, products.* FROM products ORDER BY product_id").fetchall()


any_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@given(
    title=any_text.filter(str.strip) | st.sampled_from(["NULL", '"', "\\", '{",', "a\u2028b"]),
    description=any_text,
    price=st.decimals(0, 10**6, places=4) | st.sampled_from([Decimal("1E+2"), Decimal("0.0000")]),
    rating=st.none() | st.fixed_dictionaries({"rate": st.decimals(0, 5, places=20), "count": st.just(0)}),
    currency=st.none() | st.just("BRL"),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_a_row_and_its_json_are_the_product(**fields: Any) -> None:
    seen = catalog_product(next(_numbers), **fields)
    kept = product_copy.save(seen, T, Source.REQUEST)
    assert kept.as_product() == product_copy.shown(seen)
    assert kept.as_json() == json_text.dumps(kept.as_product())


def price() -> Decimal | None:
    """The price of product 7 as it is known now; None where it is gone."""
    held = product_copy.find("7")
    return None if held is None or held.removed_at is not None else held.price


# ── One product ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_saved_product_is_found_with_every_digit() -> None:
    product_copy.save(catalog_product(price=Decimal("109.950")), T, Source.EVENT)
    held = product_copy.find("7")
    assert held
    assert str(held.price) == "109.950"
    assert (held.version, held.removed_at) == (T, None)
    assert held.fetched_at.timestamp() == pytest.approx(time.time(), abs=5)
    assert product_copy.find("8") is None


def test_the_newest_version_stays_and_is_what_every_write_returns() -> None:
    product_copy.save(catalog_product(price=1), T, Source.EVENT)
    assert product_copy.save(catalog_product(price=2), T + 2, Source.EVENT).price == 2
    assert product_copy.save(catalog_product(price=1), T + 1, Source.EVENT).price == 2
    held = product_copy.mark_removed("7", T + 1, Source.EVENT)
    assert held
    assert (held.version, held.removed_at) == (T + 2, None)


def test_the_same_content_moves_the_version_alone() -> None:
    """Or a change from between the two that arrives later would win."""
    assert product_copy.save(catalog_product(price=Decimal("11.20")), T, Source.EVENT).changed
    held = product_copy.save(catalog_product(price=Decimal("11.2")), T + 5_000, Source.EVENT)
    assert (held.version, held.changed, str(held.price)) == (T + 5_000, False, "11.20")
    assert product_copy.save(catalog_product(rating=None), T + 6_000, Source.EVENT).changed


def test_a_product_that_is_gone_becomes_a_tombstone() -> None:
    product_copy.save(catalog_product(), T, Source.EVENT)
    held = product_copy.mark_removed("7", T + 1, Source.REQUEST)
    assert held
    assert held.changed
    assert held.removed_at is not None
    assert held.title == "Product 7"  # for the favorites that point at it
    again = product_copy.mark_removed("7", T + 2, Source.REQUEST)
    assert again
    assert (again.changed, again.removed_at) == (False, held.removed_at)


def test_only_an_event_leaves_a_tombstone_of_an_unknown_product(db: psycopg.Connection) -> None:
    assert product_copy.mark_removed("7", T, Source.REQUEST) is None
    assert rows(db) == []
    held = product_copy.mark_removed("7", T, Source.EVENT)
    assert held
    assert (held.removed_at is not None, held.changed) == (True, False)
    product_copy.save(catalog_product(), T - 1, Source.EVENT)
    assert not is_available("7")
    product_copy.save(catalog_product(), T + 1, Source.EVENT)
    assert is_available("7")


# What was seen at which time, in the order in which it arrives; the last by time is how it is.
SEEN: dict[str, Callable[[int, int], object]] = {
    "save": lambda version, price: product_copy.save(catalog_product(price=price), version, Source.EVENT),
    "removed": lambda version, _: product_copy.mark_removed("7", version, Source.REQUEST),
    "list": lambda version, price: sync(version, product(7, price=price)),
}


@pytest.mark.parametrize("late", SEEN)
@pytest.mark.parametrize("confirmed_by", ["save", "list"])
def test_what_was_seen_before_the_last_confirmation_changes_nothing(late: str, confirmed_by: str) -> None:
    SEEN["save"](T, 1)
    SEEN[confirmed_by](T + 2_000, 1)  # the same as before, seen again
    SEEN[late](T + 1_000, 2)
    assert price() == 1


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    history=st.lists(st.tuples(st.sampled_from(["save", "removed"]), st.integers(1, 2)), max_size=5),
    data=st.data(),
)
def test_what_was_seen_ends_the_same_in_any_order(
    db: psycopg.Connection, history: list[tuple[str, int]], data: st.DataObject
) -> None:
    db.execute("DELETE FROM products")
    SEEN["save"](T, 9)
    timed = [(what, T + 1_000 * moment, price) for moment, (what, price) in enumerate(history, start=1)]
    for what, version, seen in data.draw(st.permutations(timed + timed[:2])):
        SEEN[what](version, seen)
    last = timed[-1] if timed else ("save", T, 9)
    assert price() == (None if last[0] == "removed" else last[2])


# ── The whole catalog ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def mass_removal(environment: pytest.MonkeyPatch) -> None:
    """A list is believed whatever it lacks."""
    environment.setenv("ALLOW_MASS_REMOVAL", "true")


def in_order() -> list[str]:
    page = product_copy.page("catalog", category=None, after=None, limit=10_000)
    return [row.product_id for row in page]


@pytest.mark.usefixtures("mass_removal")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lists=st.lists(st.lists(st.integers(1, 12), unique=True, min_size=6), min_size=1, max_size=6))
def test_the_copy_has_the_products_and_the_order_of_every_list(
    db: psycopg.Connection, lists: list[list[int]]
) -> None:
    db.execute("DELETE FROM products")
    db.execute("DELETE FROM products_missed")
    for number, numbers in enumerate(lists):
        sync_twice(T + 2 * number, *map(product, numbers))
        assert in_order() == [str(number) for number in numbers]


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "Another"},
        {"price": Decimal("22.31")},
        {"description": ""},
        {"category": "garden"},
        {"image": ""},
        {"rating": None},
        {"rating": {"rate": Decimal("4.0"), "count": 120}},
        {"rating": {"rate": Decimal("3.9"), "count": 121}},
    ],
    ids=str,
)
def test_whatever_changes_is_noticed(changes: dict[str, Any]) -> None:
    sync(T, product())
    assert sync(T + 1, product(7, **changes)) == ["7"]
    assert sync(T + 2, product(7, **changes)) == []


def test_a_list_that_shows_a_missed_product_ends_the_miss() -> None:
    sync(T, product(8), product(7))
    sync(T + 1_000, product(8))
    product_copy.save(catalog_product(), T + 2_500, Source.REQUEST)  # later than the list that shows it
    assert sync(T + 2_000, product(8), product(7)) == []
    assert sync(T + 3_000, product(8)) == []
    assert is_available("7")
    assert sync(T + 4_000, product(8)) == ["7"]


def test_of_two_products_with_one_id_the_first_counts() -> None:
    assert sync(T, product(7, price=1), product(7, price=2)) == ["7"]
    assert price() == 1
    assert sync(T + 1, product(7, price=1), product(7, price=2)) == []


def test_a_list_of_other_products_is_not_believed(db: psycopg.Connection) -> None:
    sync(T, *map(product, range(1, 11)))
    before = rows(db)
    with pytest.raises(ShrunkCatalog, match="10 of the 10 known products are missing"):
        sync(T + 1, *map(product, range(11, 21)))
    assert rows(db) == before


def test_products_are_numbered_anew_when_the_positions_come_to_their_end(db: psycopg.Connection) -> None:
    sync(T, *map(product, range(1, 6)))
    db.execute("UPDATE products SET position = 2147483646 WHERE product_id = '5'")
    sync(T + 1, *map(product, range(1, 8)))
    assert in_order() == [str(number) for number in range(1, 8)]
    row = db.execute("SELECT min(position), max(position) FROM products").fetchone()
    assert row == (1_024, 7 * 1_024)


def test_an_empty_catalog_is_believed_where_nothing_was_known(db: psycopg.Connection) -> None:
    assert sync(T) == []
    assert rows(db) == []


def test_the_tombstones_do_not_count_as_known() -> None:
    products = [product(number) for number in range(8)]
    sync(T, *products)
    sync_twice(T + 1, *products[:4])
    assert sync_twice(T + 3, *products[:2]) == ["2", "3"]


def test_a_list_that_comes_late_changes_nothing() -> None:
    sync(T + 5, product(7, price=2), product(8))
    assert sync(T, product(7, price=1), product(9)) == ["9"]
    assert price() == 2
    assert is_available("8")


@pytest.mark.usefixtures("connection_per_thread")
def test_lists_that_arrive_at_once_end_with_the_newest() -> None:
    products = [product(number) for number in range(300)]

    def arrive(version: int) -> list[str]:
        changed = [{**each, "price": version - T} for each in products]
        return sync(version, *(changed if version % 2 else changed[::-1]))

    outcomes = concurrency.at_once([partial(arrive, T + number) for number in range(1, 9)])
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    page = product_copy.page("catalog", category=None, after=None, limit=1_000)
    assert {row.price for row in page} == {Decimal(8)}


# ── Against the list ──────────────────────────────────────────────────────────────────────────────────────


def test_a_list_confirms_what_it_shows_unchanged() -> None:
    now = time.time_ns() // 1_000_000
    sync(now - 900_000, product(7), product(8))
    sync(now, product(7))
    product_copy.note_sync(now / 1000)
    confirmed, missed = product_copy.find("7"), product_copy.find("8")
    assert confirmed
    assert missed
    assert confirmed.version == now - 900_000
    assert confirmed.fetched_at.timestamp() == pytest.approx(now / 1000, abs=1)
    assert missed.fetched_at.timestamp() < now / 1000 + 1


def test_an_event_counts_only_if_it_is_newer_than_the_list_that_confirmed_the_row() -> None:
    sync(T, product(7, price=20))
    sync(T + 2_000, product(7, price=20))
    product_copy.note_sync((T + 2_000) / 1000)
    assert product_copy.save(catalog_product(price=5), T + 1_000, Source.EVENT).price == 20
    held = product_copy.mark_removed("7", T + 1_500, Source.EVENT)
    assert held
    assert held.removed_at is None
    assert product_copy.save(catalog_product(price=5), T + 3_000, Source.EVENT).price == 5


def test_a_request_removes_only_what_no_list_shows() -> None:
    sync(T, product(7))
    product_copy.save(catalog_product(8), T, Source.REQUEST)
    for number in ("7", "8"):
        product_copy.mark_removed(number, T + 1_000_000, Source.REQUEST)
    assert (is_available("7"), is_available("8")) == (True, False)


def test_one_product_that_moves_to_the_front_rewrites_one_row() -> None:
    products = [product(number) for number in range(1, 101)]
    sync(T, *products)
    assert len(sync(T + 1, products[-1], *products[:-1])) == 1
    assert in_order()[:3] == ["100", "1", "2"]


def test_another_currency_is_no_price_drop(db: psycopg.Connection) -> None:
    product_copy.save(catalog_product(price=100, currency="BRL"), T, Source.EVENT)
    items.add(accounts.new_caller(), "7")
    product_copy.save(catalog_product(price=20, currency="USD"), T + 1, Source.EVENT)
    told = db.execute("SELECT count(*) FROM outbox WHERE stream = 'product:7'").fetchone()
    assert told == (0,)
