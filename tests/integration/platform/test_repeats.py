"""Every idempotent statement is repeated when the connection breaks under it."""

import time
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from shared.accounts import profiles
from shared.accounts.access_tokens import Caller
from shared.accounts.sessions import expired, rotation
from shared.events import dead_letters, outbox_relay
from shared.favorites import bulk, ids, items, listing
from shared.favorites.models import FavoriteChanges, Mark
from shared.platform import database
from shared.products import catalog as catalog_client
from shared.products import product_copy
from shared.products.catalog import CatalogProduct
from shared.products.product_copy import Source
from tests.hostile_catalog import Answer, HostileCatalog, product
from tests.integration import accounts

Work = Callable[[database.Connection], Any]


@pytest.fixture
def broken(environment: pytest.MonkeyPatch, db: psycopg.Connection) -> list[Work]:
    """From now on the connection breaks under each idempotent work, the first time; that work."""
    works: list[Work] = []
    run = database.run

    def breaking(work: Work, *, idempotent: bool) -> Any:
        def work_that_breaks(current: database.Connection) -> Any:
            if idempotent and work not in works:
                works.append(work)
                db.execute("SELECT pg_terminate_backend(%s, 5000)", [current.info.backend_pid])
            return work(current)

        return run(work_that_breaks, idempotent=idempotent)

    environment.setattr(database, "run", breaking)
    environment.setenv("EVENT_BUS_NAME", "bus")
    return works


@pytest.fixture
def admin(catalog: HostileCatalog, db: psycopg.Connection) -> Caller:
    """An admin with product 7 as favorite, on an environment whose copy has products 7 and 8."""
    catalog.answer("/products", Answer.json([product(7), product(8)]))
    assert sync()
    admin = accounts.new_admin(db)
    items.add(admin, "7")
    return admin


def now() -> int:
    return int(time.time() * 1000)


def a_product(**changes: Any) -> CatalogProduct:
    return CatalogProduct.model_validate(product(7, **changes))


def sync() -> bool:
    with closing(catalog_client.fetch_all(at_most=10_000)) as listed:
        return bool(list(product_copy.sync(listed)))


def schedule() -> bool:
    product_copy.note_schedule()
    return product_copy.listing().is_scheduled


def refresh(admin: Caller) -> object:
    return rotation.refresh(accounts.log_in(profiles.get(admin, "me").email).refresh_token)


# What is asked, and how many statements of it may be repeated.
ASKED: dict[str, tuple[int, Callable[[Caller], object]]] = {
    "a client": (1, lambda admin: profiles.get(admin, "me")),
    "the clients": (2, lambda admin: profiles.list_all(admin, limit=1, cursor=None, email=None)),
    "log-in and refreshing": (3, refresh),
    "a favorite": (1, lambda admin: items.get(admin, "7")),
    "marking": (1, lambda admin: items.add(admin, "8")),
    "merging": (1, lambda admin: bulk.change(admin, FavoriteChanges(add=[Mark(product_id="8")], remove=[]))),
    "a page of favorites": (1, lambda admin: listing.list_page(admin, limit=1)),
    "the ids of favorites": (1, lambda admin: ids.list_page(admin, limit=1, cursor=None)),
    "which of these": (1, lambda admin: ids.of_products(admin, ["7", "8"])),
    "the same ids again": (
        2,
        lambda admin: ids.of_products(admin, ["7"], if_none_match=ids.of_products(admin, ["7"]).etag),
    ),
    "a product": (1, lambda _: product_copy.find("7")),
    "products": (1, lambda _: product_copy.find_all(["7", "8"])),
    "a page of products": (1, lambda _: product_copy.page("price", category=None, after=None, limit=1)),
    "the categories": (1, lambda _: product_copy.largest_categories(1)),
    "the listing": (1, lambda _: product_copy.listing()),
    "a change": (1, lambda _: product_copy.save(a_product(price=Decimal(1)), now(), Source.EVENT)),
    "a removal": (1, lambda _: product_copy.mark_removed("7", now(), Source.EVENT)),
    "the list": (2, lambda _: sync()),
    "what was read": (1, lambda _: product_copy.note_sync(time.time())),
    "the schedule": (2, lambda _: schedule()),
    "purging": (1, lambda _: expired.purge_expired_sessions() == 0),
    "tidying up": (1, lambda _: dead_letters.forget_expired() == 0),
    "the relay": (1, lambda _: outbox_relay.relay(lambda entries: [True] * len(entries)).sent),
}


@pytest.mark.parametrize("what", ASKED)
def test_idempotent_statements_are_repeated_when_the_connection_breaks(
    admin: Caller, broken: list[Work], what: str
) -> None:
    repeated, ask = ASKED[what]
    assert ask(admin)
    assert len(broken) == repeated
