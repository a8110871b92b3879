"""The list of products: filled from the catalog, paged from the copy, cached by page and list version."""

import itertools
import time
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import psycopg
import pytest
import redis
import simplejson

from local.servers.valkey import Valkey
from shared.errors import CatalogUnavailable, UnknownProduct
from shared.products import by_ids, list_pages, poll, product_cache, product_copy, read_through
from shared.products import catalog as catalog_client
from shared.products.product_cache import Answer, ListState
from shared.web import product_answers
from tests.hostile_catalog import Answer as Says
from tests.hostile_catalog import HostileCatalog, product
from tests.integration import concurrency, recorder
from tests.integration.catalog_messages import changed_product, deliver
from tests.integration.conftest import Age, cold_start

pytestmark = pytest.mark.usefixtures("environment", "patient_cache")

TTL = 300
LIST = {"/products": 1}  # one call to the catalog, for its list

SIX = [product(number, price=10 - number) for number in (3, 1, 2, 6, 5, 4)]


@pytest.fixture(autouse=True)
def six(catalog: HostileCatalog) -> None:
    catalog.answer("/products", Says.json(SIX))


def page(
    limit: int = 20, cursor: str | None = None, category: str | None = None, sort: str | None = None
) -> Answer:
    return list_pages.page(limit=limit, cursor=cursor, category=category, sort=sort)


def ids(answer: Answer) -> list[str]:
    return [item["product_id"] for item in simplejson.loads(answer.entry.body)["items"]]


SORTS: dict[str | None, Callable[[list[dict[str, Any]]], list[dict[str, Any]]]] = {
    None: lambda listed: listed,
    "price": lambda listed: sorted(listed, key=lambda each: (each["price"], str(each["id"]))),
    "-price": lambda listed: sorted(listed, key=lambda each: (each["price"], str(each["id"])), reverse=True),
    "title": lambda listed: sorted(listed, key=_by_title),
    "-title": lambda listed: sorted(listed, key=_by_title, reverse=True),
}


def _by_title(each: dict[str, Any]) -> tuple[str, str, str]:
    """Without case and marks, then as it is."""
    title = unicodedata.normalize("NFC", each["title"].strip())
    plain = "".join(one for one in unicodedata.normalize("NFKD", title) if not unicodedata.combining(one))
    return plain.casefold(), title, str(each["id"])


# ── Filling, and the states of the cache ──────────────────────────────────────────────────────────────────


def test_an_empty_copy_is_filled_in_the_catalogs_order(catalog: HostileCatalog) -> None:
    first = page()
    assert (first.state, ids(first)) == ("miss", ["3", "1", "2", "6", "5", "4"])
    assert catalog.calls == LIST


def test_a_page_has_items_and_a_cursor_that_is_null_at_the_end() -> None:
    body = simplejson.loads(page(limit=5).entry.body, use_decimal=True)
    assert list(body) == ["items", "next_cursor"]
    assert body["items"][0] == {
        "product_id": "3",
        "title": "Product 3",
        "price": 7,
        "currency": None,
        "description": "As good as any.",
        "category": "kitchen",
        "image": "https://images.example.com/3.jpg",
        "review": {"rate": Decimal("3.9"), "count": 120},
    }
    assert body["next_cursor"] == page(limit=5).entry.next_cursor
    rest = page(limit=5, cursor=body["next_cursor"])
    assert ids(rest) == ["4"]
    assert rest.entry.next_cursor is None
    assert simplejson.loads(rest.entry.body)["next_cursor"] is None


def test_a_cached_page_is_two_commands_and_nothing_else(valkey: Valkey, catalog: HostileCatalog) -> None:
    page()
    catalog.forget_calls()
    with concurrency.commands(valkey.url) as counted, concurrency.statements() as sent:
        assert page().state == "hit"
    assert counted == {"hmget": 1, "get": 1}
    with concurrency.commands(valkey.url) as counted:
        assert product_answers.cached_page({"queryStringParameters": None, "rawPath": "/products"})
    assert counted == {"hmget": 1, "get": 1}
    assert sent == []
    assert catalog.calls == {}


def test_all_environments_share_one_call(catalog: HostileCatalog) -> None:
    for limit in (20, 20, 3):
        page(limit)
        cold_start()
    assert catalog.calls == LIST


def test_a_change_is_visible_after_the_ttl(catalog: HostileCatalog, age_everything: Age) -> None:
    page()
    catalog.answer("/products", Says.json([product(9), *SIX]))
    age_everything(TTL - 5)
    assert (page().state, ids(page())[0]) == ("hit", "3")
    age_everything(5)
    changed = page()
    assert (changed.state, ids(changed)[0]) == ("miss", "9")
    assert page().state == "hit"
    assert catalog.calls == {"/products": 2}


def test_an_unchanged_list_keeps_its_pages_and_writes_no_row(
    db: psycopg.Connection, age_everything: Age
) -> None:
    page()
    age_everything(TTL)
    rows = db.execute("SELECT xmin, ctid, xmax FROM products").fetchall()
    with concurrency.statements() as sent:
        assert page().entry.age < 5
    assert db.execute("SELECT xmin, ctid, xmax FROM products").fetchall() == rows
    assert not [text for text in sent if "ORDER BY position ASC" in text]  # the page was still there


def test_while_one_refreshes_a_stale_list_the_others_get_it_at_once(
    catalog: HostileCatalog, age_everything: Age
) -> None:
    page()
    catalog.forget_calls()
    age_everything(TTL)
    product_cache.acquire_lease("products", 60)  # the one who refreshes
    assert page().state == "stale"
    assert ids(page(limit=2)) == ["3", "1"]  # also a page that nobody made yet
    assert catalog.calls == {}


def test_without_a_list_the_holders_is_waited_for(catalog: HostileCatalog) -> None:
    product_cache.acquire_lease("products", 60)
    with concurrency.later(0.15, lambda: product_cache.keep_list(ListState(1, time.time()))):
        assert page().state == "miss"
    assert catalog.calls == {}


def test_a_waiting_one_takes_over_when_the_holder_is_gone(catalog: HostileCatalog) -> None:
    product_cache.acquire_lease("products", 0.2)  # and never released
    assert len(ids(page())) == 6
    assert catalog.calls == LIST


@pytest.mark.usefixtures("connection_per_thread")
def test_many_at_once_make_one_call(catalog: HostileCatalog) -> None:
    catalog.answer("/products", Says.json(SIX).after(0.2))
    outcomes = concurrency.at_once([partial(page, 20)] * 8)
    assert [ids(each) for each in outcomes if isinstance(each, Answer)] == [ids(page())] * 8
    assert catalog.calls == LIST


# ── Where the schedule runs ───────────────────────────────────────────────────────────────────────────────


def test_a_stale_list_is_left_to_the_schedule(catalog: HostileCatalog, age_everything: Age) -> None:
    page()
    product_copy.note_schedule()
    age_everything(TTL)
    catalog.forget_calls()
    assert (page().state, page(2).state, page(sort="title").state) == ("stale",) * 3
    assert not product_cache.is_leased("products")
    assert catalog.calls == {}


def test_an_empty_copy_is_filled_by_a_reader_all_the_same(catalog: HostileCatalog) -> None:
    product_copy.note_schedule()
    assert len(ids(page())) == 6
    assert catalog.calls == LIST


def test_when_the_schedule_stopped_readers_read_the_list_again(
    catalog: HostileCatalog, age_everything: Age
) -> None:
    page()
    product_copy.note_schedule()
    age_everything(2 * 60 * 60)
    assert page().state == "miss"
    assert catalog.calls == {"/products": 2}


def test_a_list_too_long_for_a_request_is_read_once_and_told_once(
    catalog: HostileCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_pages, "LIST_BYTES", 500)
    lines = recorder.log(monkeypatch)
    for _ in range(3):
        cold_start()
        with pytest.raises(CatalogUnavailable):
            page()
    assert catalog.calls == LIST
    assert [line.message for line in lines if line.level == "error"] == ["list too long for a request"]
    assert poll.run()["products"] == 6
    assert len(ids(page())) == 6


def test_a_page_of_the_heaviest_products_is_one_that_lambda_lets_through(catalog: HostileCatalog) -> None:
    heavy = "é" * 25_000
    catalog.answer("/products", Says.json([product(number, description=heavy) for number in range(1, 101)]))
    poll.run()
    whole = list_pages.page(limit=100, cursor=None, category=None, sort=None)
    assert len(ids(whole)) == 100
    assert len(whole.entry.body.encode()) < 6_000_000
    assert len(by_ids.several(ids(whole)).entry.body.encode()) < 6_000_000


# ── How many pages are kept ───────────────────────────────────────────────────────────────────────────────


def test_however_many_pages_and_ids_are_asked_for_the_keys_are_few(
    catalog: HostileCatalog, valkey: Valkey
) -> None:
    page()
    catalog.answer_all(Says.null())
    with redis.Redis.from_url(valkey.url) as client:
        for list_version in range(2):
            cursor = page(1).entry.next_cursor
            for limit, sort in itertools.product((1, 20, 50, 100), SORTS):
                page(limit, sort=sort)
                for category in ("kitchen", "made up", f"{limit} {sort}"):
                    page(limit, category=category, sort=sort)
                page(limit, cursor)
            for number in range(1_000_000, 1_000_040):
                with pytest.raises(UnknownProduct):
                    read_through.detail(str(number))
            if list_version == 0:
                before = client.dbsize()
                deliver(changed_product(time.time_ns() // 1_000_000, 1, price=77))
        assert client.dbsize() <= before + 1  # an old list version is overwritten; and product 1


# ── What one change does to the cached pages ──────────────────────────────────────────────────────────────


def test_a_price_that_a_detail_saw_is_in_the_list_at_once(
    catalog: HostileCatalog, age_everything: Age
) -> None:
    page()
    age_everything(TTL)
    product_copy.note_schedule()  # which reads the list again; requests do not
    catalog.answer("/products/1", Says.json(product(1, price=5)))
    read_through.detail("1")
    [one] = [item for item in simplejson.loads(page().entry.body)["items"] if item["product_id"] == "1"]
    assert one["price"] == 5


@pytest.mark.parametrize("says", [Says.null(), Says.empty(), Says.status(404)])
def test_an_answer_by_id_removes_no_product_that_the_list_shows(
    catalog: HostileCatalog, age_everything: Age, says: Says
) -> None:
    page()
    age_everything(TTL)
    catalog.answer_all(says)
    assert read_through.detail("1").state == "stale"
    assert "1" in ids(page())
    held = product_copy.find("1")
    assert held
    assert held.removed_at is None


def test_a_change_that_comes_while_the_list_is_read_stays_visible(
    catalog: HostileCatalog, age_everything: Age, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list's reader must not bring back the pages from before the change."""
    page()
    age_everything(TTL)
    real = catalog_client.fetch_all
    changed = [{**each, "price": 1} if each["id"] == 1 else each for each in SIX]

    def fetch_all(**arguments: Any) -> catalog_client.CatalogList:
        with monkeypatch.context() as undone:
            undone.setattr(catalog_client, "fetch_all", real)
            catalog.answer("/products/1", Says.json(changed[1]))
            read_through.detail("1")
            catalog.answer("/products", Says.json(changed))
            return real(**arguments)

    monkeypatch.setattr(catalog_client, "fetch_all", fetch_all)
    page()
    [one] = [item for item in simplejson.loads(page().entry.body)["items"] if item["product_id"] == "1"]
    assert one["price"] == 1


def test_a_category_is_found_in_whatever_normal_form_it_is_written(catalog: HostileCatalog) -> None:
    catalog.answer("/products", Says.json([product(1, category="So\N{COMBINING ACUTE ACCENT}"), product(2)]))
    composed, decomposed = "S\N{LATIN SMALL LETTER O WITH ACUTE}", "So\N{COMBINING ACUTE ACCENT}"
    assert ids(page(category=composed)) == ids(page(category=decomposed)) == ["1"]
