"""The durable copy of the catalogue: newer wins, the same writes nothing, what is gone is a tombstone."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared import product_copy
from shared.catalog import CatalogList, CatalogProduct
from shared.product_copy import ShrunkCatalog
from tests.hostile_catalog import product
from tests.integration import witness

pytestmark = pytest.mark.usefixtures("environment")

T = 1_795_000_000_000  # a version of today


def catalog_product(number: int = 7, **changes: Any) -> CatalogProduct:
    return CatalogProduct.model_validate(product(number, **changes))


def catalog_list(
    version: int, *products: CatalogProduct, refused: frozenset[str] = frozenset()
) -> CatalogList:
    return CatalogList(version, products, refused)


def rows(look: psycopg.Connection) -> list[tuple[Any, ...]]:
    """Every row with the transaction that wrote it: the same means that nothing was written."""
    return look.execute("SELECT xmin, ctid, products.* FROM products ORDER BY product_id").fetchall()


def price() -> Decimal | None:
    """The price of product 7 as it is known now; None where it is gone."""
    held = product_copy.find("7")
    return None if held is None or held.removed_at is not None else held.price


# ── One product ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_saved_product_is_found_with_every_digit() -> None:
    product_copy.save(catalog_product(price=Decimal("109.950")), T)
    held = product_copy.find("7")
    assert held
    assert str(held.price) == "109.950"
    assert (held.version, held.fetched_at.timestamp(), held.removed_at) == (T, T / 1000, None)
    assert product_copy.find("8") is None


def test_a_newer_answer_replaces_an_older_one() -> None:
    product_copy.save(catalog_product(price=1), T)
    assert product_copy.save(catalog_product(price=2), T + 1).price == 2
    assert price() == 2


def test_an_older_answer_that_comes_late_changes_nothing() -> None:
    product_copy.save(catalog_product(price=2), T + 1)
    assert product_copy.save(catalog_product(price=1), T).price == 2
    assert price() == 2


def test_the_same_content_is_confirmed_and_keeps_its_version() -> None:
    product_copy.save(catalog_product(), T)
    held = product_copy.save(catalog_product(), T + 5_000)
    assert (held.version, held.fetched_at.timestamp()) == (T, T / 1000 + 5)


def test_a_product_that_is_gone_becomes_a_tombstone_once() -> None:
    product_copy.save(catalog_product(), T)
    assert product_copy.mark_removed("7", T + 1)
    assert not product_copy.mark_removed("7", T + 2)
    held = product_copy.find("7")
    assert held
    assert held.removed_at is not None
    assert held.title == "Product 7"  # for the favourites that point at it


def test_a_product_that_comes_back_is_available_again() -> None:
    product_copy.save(catalog_product(), T)
    product_copy.mark_removed("7", T + 1)
    held = product_copy.save(catalog_product(), T + 2)
    assert (held.removed_at, held.version) == (None, T + 2)


def test_a_product_that_nobody_knew_leaves_no_tombstone(look: psycopg.Connection) -> None:
    assert not product_copy.mark_removed("7", T)
    assert rows(look) == []


def test_a_removal_that_was_seen_before_the_product_was_changes_nothing() -> None:
    product_copy.save(catalog_product(), T + 1)
    assert not product_copy.mark_removed("7", T)
    assert price() is not None


# What was seen at which time, in the order in which it arrives; the last by time is how it is.
SEEN: dict[str, Callable[[int, int], object]] = {
    "save": lambda version, price: product_copy.save(catalog_product(price=price), version),
    "removed": lambda version, _: product_copy.mark_removed("7", version),
    "list": lambda version, price: product_copy.sync(catalog_list(version, catalog_product(price=price))),
}


@pytest.mark.parametrize("late", SEEN)
@pytest.mark.parametrize("confirmed_by", ["save", "list"])
def test_what_was_seen_before_the_last_confirmation_changes_nothing(late: str, confirmed_by: str) -> None:
    SEEN["save"](T, 1)
    SEEN[confirmed_by](T + 2_000, 1)  # the same as before, seen again
    SEEN[late](T + 1_000, 2)
    assert price() == 1


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    history=st.lists(st.tuples(st.sampled_from(["save", "removed"]), st.integers(1, 2)), max_size=5),
    data=st.data(),
)
def test_what_was_seen_ends_the_same_in_any_order(
    look: psycopg.Connection, history: list[tuple[str, int]], data: st.DataObject
) -> None:
    look.execute("DELETE FROM products")
    SEEN["save"](T, 9)
    timed = [(what, T + 1_000 * moment, price) for moment, (what, price) in enumerate(history, start=1)]
    for what, version, seen in data.draw(st.permutations(timed + timed[:2])):
        SEEN[what](version, seen)
    last = timed[-1] if timed else ("save", T, 9)
    assert price() == (None if last[0] == "removed" else last[2])


# ── The whole catalogue ───────────────────────────────────────────────────────────────────────────────────


def test_the_first_list_fills_the_copy_in_its_order() -> None:
    changed = product_copy.sync(catalog_list(T, catalog_product(3), catalog_product(1), catalog_product(2)))
    assert sorted(changed) == ["1", "2", "3"]
    page = product_copy.page("catalog", category=None, after=None, limit=10)
    assert [row.product_id for row in page] == ["3", "1", "2"]


def test_an_unchanged_list_writes_no_row(look: psycopg.Connection) -> None:
    products = [catalog_product(number) for number in range(1, 60)]
    product_copy.sync(catalog_list(T, *products))
    before = rows(look)
    assert product_copy.sync(catalog_list(T + 5_000, *products)) == []
    assert rows(look) == before
    locked = look.execute("SELECT count(*) FROM products WHERE xmax <> 0").fetchone()
    assert locked == (0,)


def test_only_what_differs_is_written(look: psycopg.Connection) -> None:
    product_copy.sync(catalog_list(T, catalog_product(1), catalog_product(2), catalog_product(3)))
    before = {row[2]: row for row in rows(look)}
    changed = product_copy.sync(
        catalog_list(T + 1, catalog_product(1), catalog_product(2, price=9), catalog_product(3))
    )
    assert changed == ["2"]
    after = {row[2]: row for row in rows(look)}
    assert after["1"] == before["1"]
    assert after["3"] == before["3"]
    held = product_copy.find("2")
    assert held
    assert (held.price, held.version) == (Decimal(9), T + 1)


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
    product_copy.sync(catalog_list(T, catalog_product()))
    changed = catalog_product(**changes) if changes != {"rating": None} else _without_rating()
    assert product_copy.sync(catalog_list(T + 1, changed)) == ["7"]
    assert product_copy.sync(catalog_list(T + 2, changed)) == []


def _without_rating() -> CatalogProduct:
    return CatalogProduct.model_validate({key: value for key, value in product(7).items() if key != "rating"})


def test_what_the_list_no_longer_has_becomes_a_tombstone_and_comes_back() -> None:
    both = catalog_product(8), catalog_product(7)
    product_copy.sync(catalog_list(T, *both))
    assert product_copy.sync(catalog_list(T + 1, both[0])) == ["7"]
    assert price() is None
    assert product_copy.sync(catalog_list(T + 2, both[0])) == []
    assert product_copy.sync(catalog_list(T + 3, *both)) == ["7"]
    assert price() is not None


def test_a_product_that_the_list_has_but_spoiled_is_not_gone() -> None:
    product_copy.sync(catalog_list(T, catalog_product(8), catalog_product(7)))
    assert product_copy.sync(catalog_list(T + 1, catalog_product(8), refused=frozenset({"7"}))) == []
    assert price() is not None


@pytest.mark.parametrize("left", [0, 1, 4])
def test_a_list_of_less_than_half_is_not_believed(look: psycopg.Connection, left: int) -> None:
    products = [catalog_product(number) for number in range(10)]
    product_copy.sync(catalog_list(T, *products))
    before = rows(look)
    with pytest.raises(ShrunkCatalog):
        product_copy.sync(catalog_list(T + 1, *products[:left]))
    assert rows(look) == before


def test_a_list_of_half_is_believed() -> None:
    products = [catalog_product(number) for number in range(10)]
    product_copy.sync(catalog_list(T, *products))
    assert sorted(product_copy.sync(catalog_list(T + 1, *products[:5]))) == ["5", "6", "7", "8", "9"]


def test_an_empty_catalogue_is_believed_where_nothing_was_known(look: psycopg.Connection) -> None:
    assert product_copy.sync(catalog_list(T)) == []
    assert rows(look) == []


def test_the_tombstones_do_not_count_as_known() -> None:
    products = [catalog_product(number) for number in range(8)]
    product_copy.sync(catalog_list(T, *products))
    product_copy.sync(catalog_list(T + 1, *products[:4]))
    assert len(product_copy.sync(catalog_list(T + 2, *products[:2]))) == 2


def test_a_list_that_comes_late_changes_nothing() -> None:
    product_copy.sync(catalog_list(T + 5, catalog_product(7, price=2), catalog_product(8)))
    assert product_copy.sync(catalog_list(T, catalog_product(7, price=1), catalog_product(9))) == ["9"]
    assert price() == 2
    eight = product_copy.find("8")
    assert eight
    assert eight.removed_at is None


def test_it_is_one_statement_for_a_thousand_products() -> None:
    products = [catalog_product(number) for number in range(2_500)]
    with witness.statements() as sent:
        product_copy.sync(catalog_list(T, *products))
    assert sum("INSERT INTO products" in text for text in sent) == 3
    assert len(sent) <= 8  # BEGIN, lock, count, three chunks, tombstones, COMMIT
    assert len(product_copy.page("catalog", category=None, after=None, limit=3_000)) == 2_500


@pytest.mark.usefixtures("connection_per_thread")
def test_lists_that_arrive_at_once_end_with_the_newest() -> None:
    products = [catalog_product(number) for number in range(300)]

    def sync(version: int) -> list[str]:
        changed = [each.model_copy(update={"price": Decimal(version - T)}) for each in products]
        return product_copy.sync(CatalogList(version, changed if version % 2 else changed[::-1], frozenset()))

    outcomes = witness.at_once([partial(sync, T + number) for number in range(1, 9)])
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    page = product_copy.page("catalog", category=None, after=None, limit=1_000)
    assert {row.price for row in page} == {Decimal(8)}
