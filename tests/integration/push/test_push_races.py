"""Pushes beside other writers, after a crash, and beside pages that are kept."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from types import ModuleType
from typing import LiteralString

import psycopg
import pytest
import simplejson

from shared.favorites import items
from shared.platform import valkey as cache
from shared.platform.settings import database_url
from shared.products import (
    list_pages,
    poll,
    product_cache,
    product_copy,
    push,
    push_batch,
    read_through,
    write_through,
)
from shared.products.product_cache import pages
from tests.hostile_catalog import Answer, HostileCatalog, product
from tests.integration import accounts, concurrency
from tests.integration.catalog_messages import (
    Event,
    changed_product,
    deliver,
    removed,
)
from tests.integration.push.test_catalog_histories import OLDER, T, now

pytestmark = pytest.mark.usefixtures("environment")


def while_uncommitted(db: psycopg.Connection, statement: LiteralString, then: Event) -> None:
    """Take the event while another's statement on product 7 is done but not committed; that commits later."""
    with ThreadPoolExecutor(1) as pool:
        with db.transaction(), psycopg.connect(database_url(), autocommit=True) as other:
            db.execute(statement)
            late = pool.submit(push.take, then)
            concurrency.wait_for_a_lock(other)
        late.result()


NEW_ROW: LiteralString = """
INSERT INTO products (product_id, title, price, description, category, image, version, fetched_at)
VALUES ('7', 'Newer', 5, '', '', '', 1795000000005, now())
"""
CHANGED_ROW: LiteralString = (
    "UPDATE products SET title = 'Newer', price = 5, version = 1795000000005 WHERE product_id = '7'"
)


@pytest.mark.usefixtures("connection_per_thread")
@pytest.mark.parametrize("older", OLDER)
@pytest.mark.parametrize("statement", [NEW_ROW, CHANGED_ROW], ids=["a new row", "a changed row"])
def test_what_is_older_gives_way_to_what_is_being_written(
    db: psycopg.Connection, statement: LiteralString, older: str
) -> None:
    if statement == CHANGED_ROW:
        deliver(changed_product(T))
    while_uncommitted(db, statement, then=OLDER[older])
    copied = product_copy.find("7")
    assert copied
    assert (copied.version, copied.title, copied.removed_at) == (T + 5, "Newer", None)


LISTED_ROW: LiteralString = """
INSERT INTO products (product_id, title, price, description, category, image, version, fetched_at, position)
VALUES ('7', 'Listed', 5, '', '', '', 1795000000005, now(), 1024)
"""


@pytest.mark.usefixtures("connection_per_thread")
def test_an_event_that_comes_while_the_list_is_written_leaves_the_product_its_place(
    db: psycopg.Connection,
) -> None:
    while_uncommitted(db, LISTED_ROW, then=changed_product(T + 6))
    copied = product_copy.find("7")
    assert copied
    assert (copied.version, copied.position) == (T + 6, 1024)


@pytest.mark.usefixtures("connection_per_thread")
def test_what_is_told_begins_where_the_one_before_it_ended(db: psycopg.Connection) -> None:
    deliver(changed_product(T))
    items.add(accounts.new_caller(), "7")
    while_uncommitted(db, CHANGED_ROW, then=changed_product(T + 6, price=10))
    told = db.execute("SELECT detail_type, detail FROM outbox WHERE stream = 'product:7'").fetchall()
    assert [(kind, detail["old_price"], detail["new_price"]) for kind, detail in told] == [
        ("FavoriteProductPriceRaised", 5, 10)  # dropped, it would be, from what the statement saw at first
    ]


# ── What a crash leaves undone ────────────────────────────────────────────────────────────────────────────


class Crash(Exception):
    """Ends the environment between PostgreSQL and Valkey."""


def crash(*_: object) -> None:
    raise Crash


@pytest.fixture
def listed(catalog: HostileCatalog, environment: pytest.MonkeyPatch) -> HostileCatalog:
    """A catalog of two products, in the copy and, with the first page, in the cache."""
    environment.setattr(pages, "INTERVAL", 0)  # seconds between two changes of the pages
    catalog.answer("/products", Answer.json([product(7), product(8)]))
    list_pages.page(limit=20, cursor=None, category=None, sort=None)
    for number in (7, 8):
        catalog.answer(f"/products/{number}", Answer.json(product(number)))
        read_through.detail(str(number))
    return catalog


def in_list() -> dict[str, Decimal]:
    """The prices of the first page."""
    answer = list_pages.page(limit=20, cursor=None, category=None, sort=None)
    items = simplejson.loads(answer.entry.body, use_decimal=True)["items"]
    return {item["product_id"]: item["price"] for item in items}


CRASHES = [(write_through, "write_through"), (product_cache, "put_all")]


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(("module", "function"), CRASHES, ids=[name for _, name in CRASHES])
def test_a_crash_between_postgres_and_the_cache_is_healed_by_the_next_delivery(
    environment: pytest.MonkeyPatch, module: ModuleType, function: str
) -> None:
    event = changed_product(now() + 1, price=1)
    with environment.context() as crashing:
        crashing.setattr(module, function, crash)
        assert deliver(event) == ["m0"]
    assert deliver(event) == []
    assert simplejson.loads(read_through.detail("7").entry.body)["price"] == 1
    assert in_list() == {"7": 1, "8": Decimal("22.30")}


def test_an_event_that_came_while_the_cache_was_down_is_in_the_list_after_the_next_poll(
    environment: pytest.MonkeyPatch, listed: HostileCatalog
) -> None:
    with environment.context() as cut_off:
        cut_off.setattr(push_batch, "PAUSE", 0.01)
        cut_off.setenv("REDIS_URL", "redis://127.0.0.1:9")
        cache.close()
        deliver(changed_product(now() + 1, price=1))
    cache.close()
    listed.answer("/products", Answer.json([product(7, price=1), product(8)]))
    poll.run()
    assert in_list() == {"7": 1, "8": Decimal("22.30")}


# ── List pages ────────────────────────────────────────────────────────────────────────────────────────────


def list_version() -> object:
    state = product_cache.list_state()
    assert state
    return state.list_version


VISIBLE: dict[str, Callable[[], Event]] = {
    "another price": lambda: changed_product(now() + 1, price=1),
    "another title": lambda: changed_product(now() + 1, title="Another"),
    "another text": lambda: changed_product(now() + 1, description=""),
    "another category": lambda: changed_product(now() + 1, category="garden"),
    "another image": lambda: changed_product(now() + 1, image=""),
    "another rating": lambda: changed_product(now() + 1, rating=None),
    "a new product": lambda: changed_product(now() + 1, 9),
    "a removal": lambda: removed(now() + 1),
}
INVISIBLE: dict[str, Callable[[], Event]] = {
    "the same content, newer": lambda: changed_product(now() + 1),
    "the same price, written otherwise": lambda: changed_product(now() + 1, price=Decimal("22.300")),
    "an older change": lambda: changed_product(T - 10**9, price=1),
    "an older removal": lambda: removed(T - 10**9),
    "the removal of what nobody knew": lambda: removed(now() + 1, "999"),
}


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize("event", VISIBLE)
def test_a_visible_change_makes_the_lists_pages_unreachable_once(event: str) -> None:
    before, sent = list_version(), VISIBLE[event]()
    deliver(sent)
    after = list_version()
    assert after != before
    deliver(sent, sent)
    assert list_version() == after


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize("event", INVISIBLE)
def test_an_invisible_change_leaves_the_lists_pages(event: str) -> None:
    before = list_version()
    assert deliver(INVISIBLE[event]()) == []
    assert list_version() == before


def test_a_product_that_returns_is_in_the_list_again(listed: HostileCatalog) -> None:
    assert in_list().keys() == {"7", "8"}
    deliver(removed(now() + 1))
    assert in_list().keys() == {"8"}
    deliver(changed_product(now() + 2))
    assert in_list().keys() == {"7", "8"}
    assert listed.calls["/products"] == 1
