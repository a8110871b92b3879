"""The poll finds changes that no event told, and writes only what changed."""

import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from functions.warm_product_cache.handler import lambda_handler
from local.servers.services import wait_until
from shared.platform import valkey as cache
from shared.platform.settings import database_url
from shared.products import catalog as catalog_client
from shared.products import list_pages, product_cache, product_copy, read_through
from shared.products.product_cache import pages
from tests.calls import sample
from tests.hostile_catalog import Answer, HostileCatalog, product
from tests.integration import concurrency
from tests.integration.catalog_messages import changed_product, deliver
from tests.integration.conftest import Age
from tests.integration.poll.polling import (
    listed_ids,
    lists,
    locked,
    now,
    numbered,
    poll,
    poll_twice,
    price_of,
    rows,
    told,
)

pytestmark = pytest.mark.usefixtures("environment")


def test_the_first_poll_fills_the_copy_and_the_cache(catalog: HostileCatalog) -> None:
    lists(catalog, *numbered(3, 1, 2))
    assert poll() == {"products": 3, "changed": 3}
    assert listed_ids() == ["3", "1", "2"]
    assert [read_through.detail(number).state for number in ("1", "2", "3")] == ["hit"] * 3
    assert catalog.calls == {"/products": 1}


def test_only_a_run_of_the_schedule_is_remembered(catalog: HostileCatalog, db: psycopg.Connection) -> None:
    lists(catalog, *numbered(1))
    remembered = "SELECT scheduled_at IS NOT NULL FROM product_list"
    assert lambda_handler({}, None)["seconds"] >= 0
    assert db.execute(remembered).fetchall() == [(False,)]
    lambda_handler(sample("warm_product_cache"), None)
    assert db.execute(remembered).fetchall() == [(True,)]


def test_an_unchanged_catalog_writes_no_row_and_leaves_the_pages(
    catalog: HostileCatalog, db: psycopg.Connection, age_everything: Age
) -> None:
    def first_page() -> product_cache.Entry:
        return list_pages.page(limit=20, cursor=None, category=None, sort=None).entry

    lists(catalog, *numbered(*range(1, 60)))
    poll()
    for _ in range(3):
        age_everything(240)
        before, page = (rows(db), told(db)), first_page()
        assert poll() == {"products": 59, "changed": 0}
        assert (rows(db), told(db)) == before
        assert locked(db) == 0
        assert (first_page().body, first_page().etag) == (page.body, page.etag)
        assert first_page().fetched_at > page.fetched_at


def test_exactly_the_rows_that_differ_are_written(catalog: HostileCatalog, db: psycopg.Connection) -> None:
    lists(catalog, *numbered(*range(1, 11)))
    poll()
    before = rows(db)
    lists(catalog, *numbered(1, 2), product(3, price=1), *numbered(*range(4, 11)), product(11))
    assert poll() == {"products": 11, "changed": 2}
    after = rows(db)
    assert {number for number in after if after[number] != before.get(number)} == {"3", "11"}
    assert price_of("3") == 1


@pytest.mark.parametrize("position", [0, 4, 9])
def test_a_product_that_leaves_or_joins_the_list_rewrites_no_other(
    catalog: HostileCatalog, db: psycopg.Connection, environment: pytest.MonkeyPatch, position: int
) -> None:
    environment.setattr(pages, "INTERVAL", 0)

    def written(before: dict[str, Any]) -> set[str]:
        after = rows(db)
        return {number for number in after if after[number] != before.get(number)}

    listed = numbered(*range(1, 11))
    lists(catalog, *listed)
    poll()
    before = rows(db)
    gone = str(listed.pop(position)["id"])
    lists(catalog, *listed)
    assert (poll()["changed"], written(before)) == (0, set())  # a list may lack a product by mistake
    assert (poll()["changed"], written(before)) == (1, {gone})
    assert listed_ids() == [str(each["id"]) for each in listed]
    before = rows(db)
    listed.insert(position, product(99))
    lists(catalog, *listed)
    assert (poll()["changed"], written(before)) == (1, {"99"})
    assert listed_ids() == [str(each["id"]) for each in listed]


def test_a_product_that_is_gone_is_marked_as_removed_and_one_that_returns_is_restored(
    catalog: HostileCatalog, db: psycopg.Connection, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr(pages, "INTERVAL", 0)
    lists(catalog, *numbered(1, 2, 3))
    poll()
    lists(catalog, *numbered(1, 3))
    assert poll_twice() == 1
    copied = product_copy.find("2")
    assert copied
    assert copied.removed_at is not None
    assert copied.title == "Product 2"
    assert price_of("2") is None
    before = rows(db)
    assert poll()["changed"] == 0
    assert rows(db) == before  # a tombstone is written once
    lists(catalog, *numbered(1, 2, 3))
    assert poll()["changed"] == 1
    assert price_of("2") == Decimal("22.30")
    assert listed_ids() == ["1", "2", "3"]


def test_an_unchanged_poll_takes_ten_round_trips(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch
) -> None:
    lists(catalog, *numbered(*range(1, 121)))
    poll()
    poll()
    trips: list[object] = []
    pipeline = cache.pipeline

    def counted(*commands: Any, **more: Any) -> list[Any]:
        trips.append(commands)
        return pipeline(*commands, **more)

    environment.setattr(cache, "pipeline", counted)
    with concurrency.statements() as sent:
        assert poll()["changed"] == 0
    assert len(trips) + len(sent) <= 10


def test_it_is_one_statement_for_a_thousand_products(catalog: HostileCatalog) -> None:
    lists(catalog, *numbered(*range(1, 2_501)))
    poll()
    lists(catalog, *numbered(*range(1, 1_251)), *numbered(*range(1_251, 2_501), price=1))
    with concurrency.statements() as sent:
        poll()
    assert sum("unnest" in statement for statement in sent) == 3
    assert len(sent) < 20  # the positions, the list version, the first pages


def test_an_answer_by_id_does_not_bring_back_what_the_list_dropped(
    catalog: HostileCatalog, db: psycopg.Connection, age_everything: Age
) -> None:
    lists(catalog, *numbered(1, 2, 3))
    catalog.answer("/products/2", Answer.json(product(2)))
    poll()
    lists(catalog, *numbered(1, 3))
    poll_twice()
    before = rows(db), told(db)
    for _ in range(2):
        age_everything(1_000)
        assert price_of("2") is None
        assert poll()["changed"] == 0
    assert {row[0] for row in rows(db).values()} == {"1", "2", "3"}
    assert told(db) == before[1]


def test_a_product_that_lists_dropped_and_events_brought_back_keeps_no_list_out(
    catalog: HostileCatalog,
) -> None:
    for listed in (range(1, 11), range(1, 6), range(1, 6), range(1, 4), range(1, 4)):
        lists(catalog, *numbered(*listed))
        poll()
    for number in range(4, 11):
        assert deliver(changed_product(catalog_client.now_version(), number)) == []
    lists(catalog, *numbered(1, 2, 3, 11))
    assert poll() == {"products": 4, "changed": 1}


@pytest.mark.usefixtures("connection_per_thread")
def test_a_list_that_waits_for_a_newer_change_still_has_the_product(
    catalog: HostileCatalog, db: psycopg.Connection
) -> None:
    lists(catalog, *numbered(1, 2, 3))
    poll()
    lists(catalog, *numbered(1, 3))
    poll()
    lists(catalog, *numbered(1, 2, 3))
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database_url()) as other:
        other.execute("SELECT FROM products WHERE product_id = '2' FOR UPDATE")
        polling = pool.submit(poll)
        concurrency.wait_for_a_lock(db)
        other.execute(
            "UPDATE products SET version = %s WHERE product_id = '2'", [catalog_client.now_version()]
        )
        other.commit()
        polling.result()
    lists(catalog, *numbered(1, 3))
    poll()
    assert price_of("2") is not None


def test_an_event_from_before_its_removal_does_not_bring_a_product_back(
    catalog: HostileCatalog, age_everything: Age
) -> None:
    lists(catalog, *numbered(1, 2, 3))
    catalog.answer("/products/2", Answer.json(product(2)))
    poll()
    lists(catalog, *numbered(1, 3))
    poll()
    between = catalog_client.now_version()
    wait_until(lambda: catalog_client.now_version() > between, 1)
    assert poll()["changed"] == 1
    assert deliver(changed_product(between, 2)) == []
    age_everything(1_000)
    assert price_of("2") is None


def test_an_event_brings_back_what_the_list_dropped(catalog: HostileCatalog) -> None:
    lists(catalog, *numbered(1, 2, 3))
    poll()
    lists(catalog, *numbered(1, 3))
    poll_twice()
    assert deliver(changed_product(now() + 1, 2)) == []
    assert price_of("2") == Decimal("22.30")
    time.sleep(0.005)
    assert poll()["changed"] == 0  # missed for the first time since
    assert price_of("2") == Decimal("22.30")
    assert poll()["changed"] == 1
    assert price_of("2") is None
