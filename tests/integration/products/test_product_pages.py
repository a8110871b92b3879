"""Pages of products: the whole list in its order, by cursors that are good for it alone."""

from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.servers.valkey import Valkey
from shared.errors import InvalidCursor
from shared.formats import cursors
from shared.products import read_through
from tests.hostile_catalog import Answer as Says
from tests.hostile_catalog import HostileCatalog, product
from tests.integration.conftest import Age
from tests.integration.products.test_product_list import SIX, SORTS, TTL, ids, page, six

__all__ = ["six"]  # which programs the catalog for each test

pytestmark = pytest.mark.usefixtures("environment")


# Of spaces only plain ones: what else there is to trim, Python and pydantic see differently.
TITLES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp", "Zs")), min_size=1, max_size=6
)
CATALOGS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.builds(
        dict[str, Any],
        id=st.integers(0, 10**6),
        title=st.one_of(st.sampled_from(["A", "a", "Á", " a b ", "Z", "z"]), TITLES),
        price=st.one_of(
            st.sampled_from([0, 1, Decimal("1.0"), Decimal("1.00"), Decimal("9.99"), Decimal(10)]),
            st.decimals(0, 10**9, places=2),
        ),
        category=st.sampled_from(["", "kitchen", "garden", "jóias & relógios"]),
    ),
    unique_by=lambda each: each["id"],
    max_size=12,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    listed=CATALOGS,
    limit=st.integers(1, 5),
    sort=st.sampled_from(list(SORTS)),
    category=st.sampled_from([None, "", "kitchen", "garden", "jóias & relógios", "nothing like it"]),
)
def test_the_pages_together_are_the_whole_sorted_list(
    catalog: HostileCatalog,
    valkey: Valkey,
    db: psycopg.Connection,
    listed: list[dict[str, Any]],
    limit: int,
    sort: str | None,
    category: str | None,
) -> None:
    db.execute("DELETE FROM products")
    db.execute("UPDATE product_list SET synced_at = NULL")
    valkey.flush()
    catalog.answer("/products", Says.json(listed))
    expected = SORTS[sort]([each for each in listed if category is None or each["category"] == category])
    seen: list[str] = []
    cursor = None
    while True:
        answer = page(limit, cursor, category, sort)
        seen += ids(answer)
        cursor = answer.entry.next_cursor
        assert len(ids(answer)) == limit or cursor is None
        if cursor is None:
            break
    assert seen == [str(each["id"]) for each in expected]


@pytest.mark.parametrize("sort", SORTS)
def test_pages_go_on_where_they_ended_when_products_come_and_go(
    catalog: HostileCatalog, age_everything: Age, sort: str | None
) -> None:
    first = page(3, sort=sort)
    expected = [str(each["id"]) for each in SORTS[sort](SIX)]
    assert ids(first) == expected[:3]
    gone = int(expected[2])
    catalog.answer("/products", Says.json([each for each in SIX if each["id"] != gone]))
    age_everything(TTL)
    assert ids(page(3, first.entry.next_cursor, sort=sort)) == expected[3:]


def test_a_cursor_goes_on_with_a_page_of_any_length() -> None:
    assert len(ids(page(5, page(2, sort="price").entry.next_cursor, sort="price"))) == 4


@pytest.mark.parametrize(
    ("sort", "value"),
    [
        (None, "2147483648"),
        (None, "9" * 18),
        (None, "1.0"),
        (None, "\uff11\uff12"),
        ("price", "1E-20000"),
        ("price", "1" * 5_000),
        ("price", "NaN"),
        ("-title", "\0"),
    ],
)
def test_a_cursor_that_somebody_made_up_is_refused(sort: str | None, value: str) -> None:
    made_up = cursors.encode(f"products:{sort or 'catalog'}:", value, "7")
    with pytest.raises(InvalidCursor):
        page(2, made_up, sort=sort)


def test_a_cursor_has_the_smallest_price_without_an_exponent(catalog: HostileCatalog) -> None:
    tiny = [product(number, price=Decimal(f"0.{number:020}")) for number in range(1, 5)]
    catalog.answer("/products", Says.json(tiny))
    assert ids(page(2, page(2, sort="price").entry.next_cursor, sort="price")) == ["3", "4"]


@pytest.mark.parametrize("category", ["nothing like it", "", "Kitchen", "kitchen ", "%", "'; --"])
def test_a_category_that_no_product_has_is_an_empty_page(category: str) -> None:
    answer = page(category=category)
    assert (ids(answer), answer.entry.next_cursor) == ([], None)


def test_a_product_that_no_list_has_shown_comes_last(catalog: HostileCatalog) -> None:
    page()
    catalog.answer("/products/77", Says.json(product(77)))
    read_through.detail("77")
    assert ids(page()) == ["3", "1", "2", "6", "5", "4", "77"]
