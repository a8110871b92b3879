"""Lists of favorites by price, title and price change, and parts of them: whole, in order, and bounded."""

import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import pytest
import simplejson

from shared.accounts.access_tokens import Caller
from shared.favorites import listing
from shared.favorites.limits import MAX_FAVORITES
from shared.formats.sort_keys import sort_key
from tests.integration import accounts, concurrency
from tests.integration.favorites.test_favorite_counts import holds, products

pytestmark = pytest.mark.usefixtures("catalog")

Item = dict[str, Any]

# How each order compares two favorites.
KEYS: dict[str, Callable[[Item], Any]] = {
    "price": lambda item: (item["price"], item["product_id"]),
    "title": lambda item: (sort_key(item["title"]).encode(), item["product_id"]),
    "price_change": lambda item: (item["price_change"], item["product_id"]),
}


@pytest.fixture
def ana(db: psycopg.Connection) -> Caller:
    """Somebody with thirty favorites: few prices, titles and categories, some products gone."""
    caller = accounts.new_caller()
    known = products(db, 30)
    holds(db, caller, known)
    holds(db, accounts.new_caller(), known)
    with db.cursor() as cursor:
        for product_id in known:
            title = random.choice(["Äpfel", "apple", "Zebra", "zebra", "Água", "abajur", "🫖"])
            cursor.execute(
                """
                UPDATE products
                   SET price = %s, title = %s, sort_key = %s, category = %s, removed_at = %s
                 WHERE product_id = %s
                """,
                [
                    random.choice([Decimal("0.10"), Decimal(1), Decimal("1.00"), Decimal("12.345")]),
                    title,
                    sort_key(title),
                    random.choice(["kitchen", "garden"]),
                    random.choice([None, None, "2026-01-01"]),
                    product_id,
                ],
            )
    return caller


def walk(caller: Caller, limit: int, **asked: Any) -> list[Item]:
    """The favorites of all pages; each page is one statement."""
    items: list[Item] = []
    cursor, first = None, True
    while first or cursor:
        first = False
        with concurrency.statements() as sent:
            body, cursor = listing.list_page(caller, limit=limit, cursor=cursor, **asked)
        assert len(sent) == 1
        page = simplejson.loads(body.text, use_decimal=True)
        assert page["count"] == 30
        assert page["next_cursor"] == cursor
        items += page["items"]
    return items


@pytest.mark.parametrize("limit", [1, 7, 100])
@pytest.mark.parametrize("sort", KEYS)
def test_pages_together_are_the_whole_list_in_its_order(ana: Caller, sort: str, limit: int) -> None:
    for direction in ("", "-"):
        items = walk(ana, limit, sort=f"{direction}{sort}")
        assert len(items) == 30
        assert items == sorted(items, key=KEYS[sort], reverse=direction == "-")


@pytest.mark.parametrize("sort", listing.ORDERS)
def test_filtered_list_has_the_order_of_the_whole_one(ana: Caller, sort: str) -> None:
    whole = walk(ana, 100, sort=sort)
    of_category = {item["product_id"] for item in walk(ana, 3, sort=sort, category="garden")}
    assert of_category
    parts: dict[str, tuple[dict[str, Any], Callable[[Item], bool]]] = {
        "available": ({"available": True}, lambda item: item["available"]),
        "gone": ({"available": False}, lambda item: not item["available"]),
        "cheaper": ({"price_dropped": True}, lambda item: item["price_change"] < 0),
        "not cheaper": ({"price_dropped": False}, lambda item: item["price_change"] >= 0),
        "garden": ({"category": "garden"}, lambda item: item["product_id"] in of_category),
        "nothing": ({"category": "Garden"}, lambda _: False),
        "all of it": (
            {"available": True, "price_dropped": True, "category": "garden"},
            lambda item: item["available"] and item["price_change"] < 0 and item["product_id"] in of_category,
        ),
    }
    for asked, belongs in parts.values():
        assert walk(ana, 4, sort=sort, **asked) == [item for item in whole if belongs(item)]


def test_price_that_changes_between_two_pages_moves_its_own_favorite_alone(
    ana: Caller, db: psycopg.Connection
) -> None:
    whole = [item["product_id"] for item in walk(ana, 100, sort="price")]
    body, cursor = listing.list_page(ana, limit=10, cursor=None, sort="price")
    first = [item["product_id"] for item in simplejson.loads(body.text)["items"]]
    moved = whole[20]
    db.execute("UPDATE products SET price = 0 WHERE product_id = %s", [moved])
    body, _ = listing.list_page(ana, limit=100, cursor=cursor, sort="price")
    rest = [item["product_id"] for item in simplejson.loads(body.text)["items"]]
    assert first + rest == [product_id for product_id in whole if product_id != moved]


# ── What it costs ─────────────────────────────────────────────────────────────────────────────────────────


def test_page_reads_the_favorites_of_one_client_at_most_and_sorts_them_in_memory(
    db: psycopg.Connection,
) -> None:
    known = products(db, MAX_FAVORITES)
    ana = accounts.new_caller()
    for caller in (ana, accounts.new_caller(), accounts.new_caller()):
        holds(db, caller, known)
    db.execute("ANALYZE")
    parameters = ana.as_parameters | {"limit": 21}
    parameters |= dict.fromkeys(
        ("value", "product_id", "available", "category", "price_dropped", "has_alert")
    )
    for sort, order in listing.ORDERS.items():
        plan = db.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {listing.statement(order)}", parameters).fetchone()
        assert plan
        executed = nodes(plan[0][0]["Plan"])
        read = sum(
            node["Actual Rows"] * node["Actual Loops"]
            for node in executed
            if node.get("Relation Name") == "favorites" or node.get("Index Name", "").startswith("favorites")
        )
        assert read <= (21 if sort.endswith("favorited_at") else MAX_FAVORITES), sort
        assert all(node.get("Sort Space Type", "Memory") == "Memory" for node in executed), sort


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]
