"""What happened is written to the outbox with the change itself, or neither happens."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from functions.warm_product_cache.handler import lambda_handler as poll
from shared.accounts import profile_changes, profiles, removal
from shared.accounts.access_tokens import Caller
from shared.accounts.models import ClientChanges
from shared.errors import AlreadyFavorite, EmailTaken, NotFavorite
from shared.favorites import items
from shared.platform import database
from shared.products import product_copy
from shared.products.catalog import CatalogProduct
from shared.products.product_copy import Source
from tests.hostile_catalog import Answer, HostileCatalog, product
from tests.integration import accounts
from tests.integration.catalog_messages import changed_product, deliver
from tests.integration.outbox.bus import Event, T, change, forget, remove, waiting

pytestmark = pytest.mark.usefixtures("environment")


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
        "currency": None,
        "version": version,
    }


@pytest.mark.usefixtures("held")
def test_every_change_of_a_favorite_product_is_an_event(db: psycopg.Connection) -> None:
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
def test_prices_in_events_have_their_exact_decimals(db: psycopg.Connection) -> None:
    change(T + 1, price=Decimal("0.1234"))
    row = db.execute("SELECT detail::text FROM outbox").fetchone()
    assert row
    assert '"old_price" : 22.30' in row[0]
    assert '"new_price" : 0.1234' in row[0]


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
def test_a_change_that_concerns_no_favorite_makes_no_event(db: psycopg.Connection, what: str) -> None:
    UNTOLD[what]()
    assert waiting(db) == []


@pytest.mark.usefixtures("held")
def test_a_product_that_is_gone_makes_no_event_until_it_is_back(db: psycopg.Connection) -> None:
    remove(T + 1)
    remove(T + 2)
    change(T + 3)
    assert [kind for kind, _ in waiting(db)] == ["FavoriteProductRemoved", "FavoriteProductRestored"]


def test_a_product_without_favorites_makes_no_event(db: psycopg.Connection) -> None:
    change(T)
    change(T + 1, price=1)
    remove(T + 2)
    change(T + 3)
    assert waiting(db) == []


def test_a_poll_makes_the_same_events(db: psycopg.Connection, catalog: HostileCatalog) -> None:
    def lists(*listed: dict[str, Any]) -> None:
        catalog.answer("/products", Answer.json(list(listed)))
        time.sleep(0.002)
        poll({}, None)

    lists(product(7), product(8), product(9))
    caller = accounts.new_caller()
    for product_id in ("7", "8"):
        items.add(caller, product_id)
    forget(db)
    for _ in range(2):
        lists(product(7, price=1), product(9, price=1))
    for _ in range(2):
        lists(product(7, price=2), product(8, price=2), product(9))
    assert [(kind, detail["product"]["product_id"]) for kind, detail in waiting(db)] == [
        ("FavoriteProductPriceDropped", "7"),
        ("FavoriteProductRemoved", "8"),
        *sorted([("FavoriteProductPriceRaised", "7"), ("FavoriteProductRestored", "8")]),
    ]


def test_the_events_of_a_client(db: psycopg.Connection) -> None:
    change(T)
    client = accounts.register("Ana Secreta", "secreta@example.com")
    caller = accounts.caller(client)
    items.add(caller, "7")
    items.remove(caller, "7")
    items.add(caller, "7")
    removal.remove(caller, "me")  # the favorite that is left goes without an event
    kinds, details = zip(*waiting(db, f"client:{client.client_id}"), strict=True)
    assert kinds == ("ClientRegistered", "FavoriteAdded", "FavoriteRemoved", "FavoriteAdded", "ClientRemoved")
    assert [detail["client_id"] for detail in details] == [str(client.client_id)] * 5
    assert datetime.fromisoformat(details[0]["registered_at"]) == client.created_at
    assert (details[1]["product_id"], details[1]["price"]) == ("7", Decimal("22.30"))
    assert details[2]["product_id"] == "7"
    names = ("registered_at", "favorited_at", "removed_at", "favorited_at", "removed_at")
    moments = [detail[name] for detail, name in zip(details, names, strict=True)]
    assert moments == sorted(moments)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", moment) for moment in moments)
    assert "secreta" not in str(waiting(db)).lower()


def test_a_refused_change_makes_no_event(db: psycopg.Connection, held: Caller) -> None:
    with pytest.raises(AlreadyFavorite):
        items.create(held, "7")
    items.add(held, "7")
    items.remove(held, "7")
    with pytest.raises(NotFavorite):
        items.remove(held, "7")
    client = profiles.get(held, "me")
    with pytest.raises(EmailTaken):
        accounts.register(email=client.email)
    profile_changes.update(held, "me", ClientChanges(name="Another"))
    assert [kind for kind, _ in waiting(db)] == ["FavoriteRemoved"]


DOING: dict[str, Callable[[Caller], object]] = {
    "a product's price": lambda _: product_copy.save(
        changed_as_product(price=Decimal(1)), T + 1, Source.EVENT),
    "a product's removal": lambda _: product_copy.mark_removed("7", T + 1, Source.REQUEST),
    "a favorite removed": lambda caller: items.remove(caller, "7"),
    "a favorite added": lambda caller: items.add(caller, "8"),
    "a client removed": lambda caller: removal.remove(caller, "me"),
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
def test_a_change_and_its_event_happen_together_or_not_at_all(
    db: psycopg.Connection, held: Caller, request: pytest.FixtureRequest, what: str
) -> None:
    deliver(changed_product(T, 8))
    before = _all_data(db)
    with database.connection().transaction(force_rollback=True):
        DOING[what](held)
        assert database.connection().execute("SELECT FROM outbox").rowcount == 1
    assert _all_data(db) == before
    request.getfixturevalue("full_outbox")
    with pytest.raises(psycopg.errors.CheckViolation):
        DOING[what](held)
    assert _all_data(db) == before
