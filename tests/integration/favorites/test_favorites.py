"""Favorites: never of a product that does not exist, one row however many ask, a page in one statement."""

from decimal import Decimal
from functools import partial
from typing import Any

import psycopg
import pytest
import simplejson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.servers.postgres import Postgres
from local.servers.valkey import Valkey
from shared.accounts.access_tokens import Caller
from shared.errors import AlreadyFavorite, UnknownProduct
from shared.favorites import items, listing
from shared.favorites.models import Favorite
from shared.products import product_copy, read_through
from shared.products.catalog import CatalogProduct, now_version
from shared.products.product_copy import Source
from tests.faults.proxy import Fault, FaultProxy, Mode
from tests.hostile_catalog import Answer as Says
from tests.hostile_catalog import HostileCatalog, product
from tests.integration import accounts, concurrency
from tests.integration.conftest import Age, cold_start

pytestmark = pytest.mark.usefixtures("catalog")

SORTS = ["-favorited_at", "favorited_at"]
TTL = 300


def add(caller: Caller, product_id: str = "7") -> tuple[dict[str, Any], bool]:
    favorite, created = items.add(caller, product_id)
    return simplejson.loads(favorite.text, use_decimal=True), created


def page(
    caller: Caller, limit: int = 20, cursor: str | None = None, sort: str = "-favorited_at"
) -> tuple[list[dict[str, Any]], str | None]:
    body, next_cursor = listing.list_page(caller, limit=limit, cursor=cursor, sort=sort)
    shown = simplejson.loads(body.text, use_decimal=True)
    assert shown["next_cursor"] == next_cursor
    return shown["items"], next_cursor


def ids(items: list[dict[str, Any]]) -> list[str]:
    return [item["product_id"] for item in items]


def count(db: psycopg.Connection) -> int:
    row = db.execute("SELECT count(*) FROM favorites").fetchone()
    assert row
    return int(row[0])


# ── Adding ────────────────────────────────────────────────────────────────────────────────────────────────


def test_favorite_that_is_sent_again_after_a_lost_answer_is_new(
    ana: Caller, migrated_postgres: Postgres, environment: pytest.MonkeyPatch, db: psycopg.Connection
) -> None:
    add(accounts.new_caller())  # the product is known
    with FaultProxy(migrated_postgres.port) as proxy:
        url = migrated_postgres.url.replace(f":{migrated_postgres.port}/", f":{proxy.port}/")
        environment.setenv("DATABASE_URL", url)
        cold_start()
        assert items.add(ana, "7")[1]
        items.remove(ana, "7")  # on the connection that is open now
        proxy.set(Fault(Mode.SWALLOW, answers=1))
        items.create(ana, "7")
        with pytest.raises(AlreadyFavorite):
            items.create(ana, "7")
    assert count(db) == 2


def test_new_favorite_shows_the_product_as_it_is_known(ana: Caller, catalog: HostileCatalog) -> None:
    catalog.answer("/products/7", Says.json(product(7, price=Decimal("109.950"))))
    favorite, created = add(ana)
    assert created
    favorited_at = favorite.pop("favorited_at")
    assert favorited_at.endswith("Z")
    assert favorite == {
        "product_id": "7",
        "title": "Product 7",
        "image": "https://images.example.com/7.jpg",
        "category": "kitchen",
        "price": Decimal("109.950"),
        "currency": None,
        "review": {"rate": Decimal("3.9"), "count": 120},
        "available": True,
        "price_when_favorited": Decimal("109.950"),
        "price_change": Decimal("0.000"),
        "alert": None,
    }


def test_what_postgres_renders_has_the_fields_of_the_model(ana: Caller, catalog: HostileCatalog) -> None:
    rated, unrated = product(7), product(8, rating=None)
    for each in (rated, unrated):
        catalog.answer(f"/products/{each['id']}", Says.json(each))
        favorite, _ = items.add(ana, str(each["id"]))
        model = Favorite.model_validate_json(favorite.text)
        assert list(simplejson.loads(favorite.text)) == list(Favorite.model_fields)
        assert (model.review is None) == (each is unrated)


def test_unknown_product_is_asked_for_once_and_then_known(ana: Caller, catalog: HostileCatalog) -> None:
    assert add(ana)[1]
    assert add(accounts.new_caller())[1]
    assert catalog.calls == {"/products/7": 1}


def test_known_products_are_added_while_the_catalog_and_valkey_are_down(
    ana: Caller, catalog: HostileCatalog, valkey: Valkey
) -> None:
    read_through.detail("7")
    catalog.stop()
    valkey.stop()
    cold_start()
    assert add(ana)[1]
    assert not add(ana)[1]
    assert ids(page(ana)[0]) == ["7"]
    items.remove(ana, "7")


def test_product_that_only_the_cache_has_is_copied(ana: Caller, db: psycopg.Connection) -> None:
    read_through.detail("7")
    db.execute("DELETE FROM products")  # a restored backup, say
    assert add(ana)[1]


def test_removed_product_cannot_become_a_favorite(
    ana: Caller, catalog: HostileCatalog, db: psycopg.Connection, age_everything: Age
) -> None:
    read_through.detail("7")
    age_everything(TTL)
    catalog.answer("/products/7", Says.null())
    with pytest.raises(UnknownProduct):
        read_through.detail("7")
    with pytest.raises(UnknownProduct):
        items.add(ana, "7")
    assert count(db) == 0


@pytest.mark.usefixtures("connection_per_thread")
@pytest.mark.parametrize("known", [True, False])
def test_of_many_who_create_it_at_once_one_does(
    ana: Caller, db: psycopg.Connection, catalog: HostileCatalog, known: bool
) -> None:
    if known:
        read_through.detail("7")
    else:
        catalog.answer("/products/7", Says.json(product(7)).after(0.05))
    outcomes = concurrency.at_once([partial(items.create, ana, "7")] * 20)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == [*["AlreadyFavorite"] * 19, "Rendered"]
    assert count(db) == 1


# ── What becomes of the product ───────────────────────────────────────────────────────────────────────────


def test_current_price_stands_beside_that_of_the_favoriting(
    ana: Caller, catalog: HostileCatalog, age_everything: Age
) -> None:
    catalog.answer("/products/7", Says.json(product(7)), Says.json(product(7, price=Decimal("9.90"))))
    add(ana)
    age_everything(TTL)
    read_through.detail("7")
    [item] = page(ana)[0]
    assert item["price"] == Decimal("9.90")
    assert item["price_when_favorited"] == Decimal("22.30")
    assert item["price_change"] == Decimal("-12.40")


def test_removed_product_stays_in_the_list_as_not_available_until_it_is_back(
    ana: Caller, catalog: HostileCatalog, age_everything: Age
) -> None:
    catalog.answer("/products/7", Says.json(product(7)))
    add(ana)
    add(ana, "8")
    age_everything(TTL)
    catalog.answer("/products/7", Says.null())
    with pytest.raises(UnknownProduct):
        read_through.detail("7")
    shown = {item["product_id"]: item for item in page(ana)[0]}
    assert (shown["7"]["available"], shown["8"]["available"]) == (False, True)
    assert shown["7"]["title"] == "Product 7"
    assert add(ana)[1] is False  # it is one still
    catalog.answer("/products/7", Says.json(product(7)))
    age_everything(TTL)
    read_through.detail("7")
    assert all(item["available"] for item in page(ana)[0])


def test_price_in_another_currency_is_not_compared(ana: Caller, catalog: HostileCatalog) -> None:
    catalog.answer("/products/7", Says.json(product(7, price=100, currency="BRL")))
    favorite, _ = add(ana)
    assert (favorite["currency"], favorite["price_change"]) == ("BRL", 0)
    product_copy.save(
        CatalogProduct.model_validate(product(7, price=20, currency="USD")), now_version(), Source.EVENT
    )
    changed, _ = add(ana)
    assert (changed["price"], changed["currency"], changed["price_change"]) == (20, "USD", None)
    cheaper, _ = listing.list_page(ana, limit=10, cursor=None, sort="price", price_dropped=True)
    assert '"items":[]' in cheaper.text


# ── Listing ───────────────────────────────────────────────────────────────────────────────────────────────


def many(db: psycopg.Connection, caller: Caller, number: int) -> None:
    """So many favorites, of products that the sample does not have."""
    db.execute(
        """
        INSERT INTO products (product_id, title, price, description, category, image, version, fetched_at)
        SELECT 'p' || n, 'P', 1, '', '', '', 1, now() FROM generate_series(1, %s) AS n
            ON CONFLICT DO NOTHING
        """,
        [number],
    )
    db.execute(
        """
        INSERT INTO favorites (client_id, product_id, favorited_at, price_when_favorited)
        SELECT %s, 'p' || n, now() - n * interval '1 second', 1 FROM generate_series(1, %s) AS n
        """,
        [caller.client_id, number],
    )


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    # Few moments and many products: most were favorited in the same microsecond as another.
    favorited=st.dictionaries(st.integers(1, 40), st.integers(0, 3), max_size=12),
    limit=st.integers(1, 5),
    sort=st.sampled_from(SORTS),
    removed=st.sets(st.integers(1, 40), max_size=5),
)
def test_pages_together_are_the_whole_list_while_favorites_are_removed(
    db: psycopg.Connection, favorited: dict[int, int], limit: int, sort: str, removed: set[int]
) -> None:
    db.execute("DELETE FROM favorites")
    caller = accounts.new_caller()
    many(db, caller, 40)
    db.execute("DELETE FROM favorites")
    with db.cursor() as cursor_:
        cursor_.executemany(
            "INSERT INTO favorites (client_id, product_id, favorited_at, price_when_favorited) "
            "VALUES (%s, %s, timestamptz '2026-11-23 12:00:00+00' + %s * interval '1 microsecond', 1)",
            [(caller.client_id, f"p{number}", moment) for number, moment in favorited.items()],
        )
    newest_first = sorted(favorited, key=lambda number: (-favorited[number], f"p{number}"))
    expected = newest_first if sort == "-favorited_at" else newest_first[::-1]
    seen: list[str] = []
    cursor = None
    first = True
    while first or cursor:
        items, cursor = page(caller, limit, cursor, sort)
        seen += ids(items)
        assert len(items) == limit or cursor is None
        if first:  # some go before the second page; also the one that the cursor was made of
            db.execute(
                "DELETE FROM favorites WHERE product_id = ANY(%s)", [[f"p{number}" for number in removed]]
            )
        first = False
    kept = [f"p{number}" for number in expected if number not in removed]
    assert len(seen) == len(set(seen))
    assert [each for each in seen if each in kept] == kept


@pytest.mark.parametrize("sort", SORTS)
def test_favorite_added_between_two_pages_moves_no_other(
    ana: Caller, db: psycopg.Connection, sort: str
) -> None:
    many(db, ana, 6)
    whole = ids(page(ana, sort=sort)[0])
    first, cursor = page(ana, 3, sort=sort)
    add(ana, "7")
    second, _ = page(ana, 3, cursor, sort)
    assert ids(first) + ids(second) == whole
