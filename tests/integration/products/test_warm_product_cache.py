"""The poll: it finds changes that no event told, writes only what changed, and refuses nonsense."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import simplejson

from functions.warm_product_cache.handler import lambda_handler
from local.servers.postgres import Postgres
from local.servers.services import wait_until
from local.servers.valkey import Valkey
from shared.errors import DatabaseUnavailable, UnknownProduct
from shared.platform import database
from shared.platform import valkey as cache
from shared.platform.settings import database_url
from shared.products import catalog as catalog_client
from shared.products import demand, product_cache, product_copy
from shared.products import poll as catalog_poll
from shared.web import product_answers
from tests.calls import sample
from tests.hostile_catalog import MEGABYTE, Answer, HostileCatalog, product
from tests.integration import concurrency, recorder
from tests.integration.catalog_messages import changed_product, deliver, removed
from tests.integration.conftest import NO_DATABASE, Age, cold_start

pytestmark = pytest.mark.usefixtures("environment")

TTL = 300  # seconds


def lists(catalog: HostileCatalog, *listed: dict[str, Any]) -> None:
    """From now on the catalog has these products."""
    catalog.answer("/products", Answer.json(list(listed)))


def numbered(*numbers: int, **changes: Any) -> list[dict[str, Any]]:
    return [product(number, **changes) for number in numbers]


def poll() -> dict[str, Any]:
    """What the scheduled function tells, save for how long it took."""
    told = lambda_handler({}, None)
    told.pop("seconds", None)
    return told


def poll_twice() -> int:
    """How many products two polls in a row changed: what both of them miss is gone."""
    changed: int = poll()["changed"]
    time.sleep(0.002)  # a later version
    return changed + int(poll()["changed"])


def rows(db: psycopg.Connection) -> dict[str, tuple[Any, ...]]:
    """Every row with the transaction that wrote it: the same means that nothing was written."""
    found = db.execute("SELECT product_id, xmin, ctid, products.* FROM products").fetchall()
    return {row[0]: row for row in found}


def locked(db: psycopg.Connection) -> int:
    """How many rows were ever locked without being written."""
    row = db.execute("SELECT count(*) FROM products WHERE xmax <> 0").fetchone()
    return int(row[0]) if row else 0


def told(db: psycopg.Connection) -> list[Any]:
    """The outbox."""
    return db.execute("SELECT xmin, outbox.* FROM outbox ORDER BY outbox_id").fetchall()


def cached(valkey: Valkey) -> dict[bytes, Any]:
    """All that Valkey has, save for leases."""
    with redis.Redis.from_url(valkey.url) as client:
        return {
            key: client.hgetall(key) if client.type(key) == b"hash" else client.get(key)
            for key in client.scan_iter()
            if not key.startswith(b"lease:")
        }


def price_of(product_id: str) -> Decimal | None:
    """The price that GET /products/{product_id} shows; None for a 404."""
    try:
        answer = demand.detail(product_id)
    except UnknownProduct:
        return None
    price: Decimal = simplejson.loads(answer.entry.body, use_decimal=True)["price"]
    return price


def listed_ids() -> list[str]:
    """What the first page shows."""
    answer = demand.page(limit=20, cursor=None, category=None, sort=None)
    return [item["product_id"] for item in json.loads(answer.entry.body)["items"]]


# ── What changed, and only that ───────────────────────────────────────────────────────────────────────────


def test_the_first_poll_fills_the_copy_and_the_cache(catalog: HostileCatalog) -> None:
    lists(catalog, *numbered(3, 1, 2))
    assert poll() == {"products": 3, "changed": 3}
    assert listed_ids() == ["3", "1", "2"]
    assert [demand.detail(number).state for number in ("1", "2", "3")] == ["hit"] * 3
    assert catalog.calls == {"/products": 1}


def test_a_run_of_the_schedule_is_remembered_and_another_is_not(
    catalog: HostileCatalog, db: psycopg.Connection
) -> None:
    lists(catalog, *numbered(1))
    remembered = "SELECT scheduled_at IS NOT NULL FROM product_list"
    assert lambda_handler({}, None)["seconds"] >= 0
    assert db.execute(remembered).fetchall() == [(False,)]
    lambda_handler(sample("warm_product_cache"), None)
    assert db.execute(remembered).fetchall() == [(True,)]


def test_an_unchanged_catalog_writes_no_row(
    catalog: HostileCatalog, db: psycopg.Connection, age_everything: Age
) -> None:
    lists(catalog, *numbered(*range(1, 60)))
    poll()
    for _ in range(3):
        age_everything(240)
        before = rows(db), told(db)
        assert poll() == {"products": 59, "changed": 0}
        assert (rows(db), told(db)) == before
        assert locked(db) == 0


def test_an_unchanged_catalog_leaves_the_lists_pages_and_their_etags(catalog: HostileCatalog) -> None:
    lists(catalog, *numbered(1, 2))
    poll()
    before = demand.page(limit=20, cursor=None, category=None, sort=None).entry
    poll()
    after = demand.page(limit=20, cursor=None, category=None, sort=None).entry
    assert (after.body, after.etag) == (before.body, before.etag)
    assert after.fetched_at > before.fetched_at


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
def test_a_product_that_leaves_the_list_does_not_rewrite_the_others(
    catalog: HostileCatalog, db: psycopg.Connection, position: int
) -> None:
    all_of_them = numbered(*range(1, 11))
    lists(catalog, *all_of_them)
    poll()
    before = rows(db)
    gone = str(all_of_them.pop(position)["id"])
    lists(catalog, *all_of_them)
    assert poll()["changed"] == 0  # a list may lack a product by mistake
    assert rows(db) == before
    assert poll()["changed"] == 1
    after = rows(db)
    assert {number for number in after if after[number] != before[number]} == {gone}
    assert listed_ids() == [str(each["id"]) for each in all_of_them]


@pytest.mark.parametrize("position", [0, 5, 10])
def test_a_product_that_joins_the_list_is_shown_where_it_stands(
    catalog: HostileCatalog, db: psycopg.Connection, position: int
) -> None:
    all_of_them = numbered(*range(1, 11))
    lists(catalog, *all_of_them)
    poll()
    before = rows(db)
    all_of_them.insert(position, product(99))
    lists(catalog, *all_of_them)
    assert poll()["changed"] == 1
    after = rows(db)
    assert {number for number in after if after[number] != before.get(number)} == {"99"}
    assert listed_ids() == [str(each["id"]) for each in all_of_them]


def test_an_order_that_was_turned_around_is_shown_so(catalog: HostileCatalog) -> None:
    lists(catalog, *numbered(1, 2, 3, 4))
    poll()
    lists(catalog, *numbered(4, 3, 2, 1))
    poll()
    assert listed_ids() == ["4", "3", "2", "1"]


def test_a_product_that_is_gone_is_marked_as_removed_and_one_that_returns_is_restored(
    catalog: HostileCatalog, db: psycopg.Connection
) -> None:
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


def test_it_is_one_statement_for_a_thousand_products(catalog: HostileCatalog) -> None:
    lists(catalog, *numbered(*range(1, 2_501)))
    poll()
    lists(catalog, *numbered(*range(1, 1_251)), *numbered(*range(1_251, 2_501), price=1))
    with concurrency.statements() as sent:
        poll()
    assert sum("unnest" in statement for statement in sent) == 3
    assert len(sent) < 20  # the positions, the generation, the first pages


def test_products_that_fail_the_check_are_left_as_they_are(
    catalog: HostileCatalog, db: psycopg.Connection
) -> None:
    lists(catalog, *numbered(1, 2, 3, 4))
    poll()
    before = rows(db)
    lists(catalog, product(1), {**product(2), "price": "free"}, product(3, title=""), product(4))
    assert poll()["changed"] == 0
    assert rows(db) == before
    assert price_of("2") == Decimal("22.30")


def test_a_product_that_one_list_lacks_is_missed_and_not_removed(
    catalog: HostileCatalog, db: psycopg.Connection
) -> None:
    lists(catalog, *numbered(1, 2, 3))
    poll()
    before = rows(db)
    for _ in range(3):  # never in two lists in a row
        lists(catalog, *numbered(1, 3))
        poll()
        time.sleep(0.002)
        lists(catalog, *numbered(1, 2, 3))
        poll()
        time.sleep(0.002)
    assert price_of("2") == Decimal("22.30")
    assert rows(db).keys() == before.keys()


def test_an_answer_by_id_does_not_bring_back_what_the_list_dropped(
    catalog: HostileCatalog, db: psycopg.Connection, age_everything: Age
) -> None:
    """Each poll removed it and each request restored it, with events to all who hold it."""
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


# ── What is not believed ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def known(catalog: HostileCatalog, db: psycopg.Connection) -> dict[str, tuple[Any, ...]]:
    """Ten products were polled; their rows."""
    lists(catalog, *numbered(*range(1, 11)))
    poll()
    return rows(db)


@pytest.mark.parametrize("left", [0, 1, 4])
def test_a_list_of_less_than_half_is_refused_whole(
    catalog: HostileCatalog,
    db: psycopg.Connection,
    valkey: Valkey,
    known: dict[str, tuple[Any, ...]],
    environment: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    left: int,
) -> None:
    lists(catalog, *numbered(*range(1, left + 1), price=1))
    before = cached(valkey), told(db)
    lines = recorder.log(environment)
    recorder.metrics(capsys)
    assert "failed" in poll()
    assert rows(db) == known
    assert (cached(valkey), told(db)) == before
    assert [(line.level, line.message) for line in lines] == [("error", "catalog refused")]
    assert f"{10 - left} of the 10 known products are missing" in str(lines[0].more)
    raised = recorder.metrics(capsys)
    assert {"CatalogRefused": 1} in raised
    assert {"CatalogPollsFailed": 1} in raised
    assert not any("Refreshes" in metric for metric in raised)


def test_a_list_of_half_is_believed(catalog: HostileCatalog, known: dict[str, tuple[Any, ...]]) -> None:
    lists(catalog, *numbered(*range(1, 6)))
    assert poll() == {"products": 5, "changed": 0}
    assert poll() == {"products": len(known), "changed": 5}
    assert listed_ids() == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("by", ["a request", "an event"])
@pytest.mark.parametrize("shown", [0, 10])
def test_products_that_no_list_has_shown_do_not_keep_a_list_out(
    catalog: HostileCatalog, shown: int, by: str
) -> None:
    if shown:
        lists(catalog, *numbered(*range(1, shown + 1)))
        poll()
    for number in range(50, 61):
        if by == "a request":
            catalog.answer(f"/products/{number}", Answer.json(product(number)))
            assert price_of(str(number))
        else:
            assert deliver(changed_product(catalog_client.now_version(), number)) == []
    lists(catalog, *numbered(*range(1, 21)))
    assert poll() == {"products": 20, "changed": 20 - shown}
    assert listed_ids()[:20] == [str(number) for number in range(1, 21)]


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("left", [0, 2])
def test_mass_removal_is_believed_where_it_is_allowed(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch, left: int
) -> None:
    environment.setenv("ALLOW_MASS_REMOVAL", "true")
    lists(catalog, *numbered(*range(1, left + 1)))
    assert poll_twice() == 10 - left
    assert listed_ids() == [str(number) for number in range(1, left + 1)]


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("value", ["", "false", "1", "yes"])
def test_nothing_but_true_allows_mass_removal(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch, value: str
) -> None:
    environment.setenv("ALLOW_MASS_REMOVAL", value)
    lists(catalog)
    assert "failed" in poll()


def test_products_that_fail_the_check_count_as_there(
    catalog: HostileCatalog, db: psycopg.Connection, known: dict[str, tuple[Any, ...]]
) -> None:
    lists(catalog, *numbered(1, 2, 3), *({**product(number), "price": None} for number in (4, 5, 6)))
    assert poll_twice() == 4
    after = rows(db)
    assert {number for number in after if after[number] != known[number]} == {"7", "8", "9", "10"}


WHOLE = simplejson.dumps(numbered(*range(1, 11), price=1), use_decimal=True).encode()
FLOOD = 200 * MEGABYTE

NONSENSE: dict[str, Answer] = {
    "it resets the connection": Answer.reset(),
    "it hangs": Answer.hang(),
    "it hangs in the middle": Answer.hang_in_body(WHOLE),
    "it drips": Answer.drip(WHOLE),
    "the body ends early": Answer.truncated_body(WHOLE),
    "the JSON ends early": Answer.truncated_json(WHOLE),
    "status 500": Answer.status(500),
    "status 404": Answer.status(404),
    "status 204": Answer.status(204),
    "it redirects": Answer.redirect("/elsewhere"),
    "a page for people": Answer.html(),
    "nothing": Answer.empty(),
    "null": Answer.null(),
    "an object": Answer.json({"products": numbered(1)}),
    "something behind the array": Answer.raw(WHOLE + b"x"),
    "two arrays": Answer.raw(WHOLE + WHOLE),
    "a comma too much": Answer.raw(WHOLE[:-1] + b",]"),
    "no UTF-8": Answer.raw(WHOLE.replace(b"Product 9", b"Product \xff")),
    "NaN among the prices": Answer.raw(WHOLE[:-1].replace(b'"price": 1,', b'"price": NaN,') + b"]"),
    "nested too deep": Answer.raw(b"[" * 100_000 + b"]" * 100_000),
    "mostly bad products": Answer.json([*numbered(1, 2), *({"id": number} for number in range(3, 11))]),
    "a gzip that nobody asked for": Answer.gzip_bomb(MEGABYTE),
    "200 MB of one product": Answer.flood(FLOOD, with_length=False),
}


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_after_nonsense_all_is_as_it_was(
    catalog: HostileCatalog,
    db: psycopg.Connection,
    valkey: Valkey,
    known: dict[str, tuple[Any, ...]],
    environment: pytest.MonkeyPatch,
    nonsense: str,
) -> None:
    environment.setattr(catalog_poll, "TIMEOUT", 5.0 if "200 MB" in nonsense else 0.4)
    environment.setattr(catalog_poll, "LIST_BYTES", 4 * MEGABYTE)
    catalog.answer("/products", NONSENSE[nonsense])
    before = cached(valkey)
    assert "failed" in poll()
    assert rows(db) == known
    assert cached(valkey) == before
    lists(catalog, *numbered(*range(1, 11), price=1))
    catalog_client.reset()
    assert poll()["changed"] == 10  # and no lease is in the way


def test_a_poll_gives_up_before_its_function_is_ended() -> None:
    assert catalog_poll.TIMEOUT <= 30
    assert catalog_poll.LEASE >= 120  # the function's timeout in template.yaml


# ── Two at once ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("connection_per_thread")
def test_of_two_polls_at_once_the_second_sees_the_lease_and_ends(catalog: HostileCatalog) -> None:
    catalog.answer("/products", Answer.json(numbered(1, 2)).after(0.3))
    done = concurrency.at_once([poll, poll])
    assert sorted(map(str, done)) == ["{'products': 2, 'changed': 2}", "{'skipped': True}"]
    assert catalog.calls == {"/products": 1}


def test_a_reader_who_reads_the_list_does_not_stop_a_poll(catalog: HostileCatalog) -> None:
    lists(catalog, *numbered(1))
    product_cache.acquire_lease("products", 10)
    assert poll()["products"] == 1


POLLING = """
from functions.warm_product_cache.handler import lambda_handler
lambda_handler({}, None)
"""


def test_when_a_poll_is_killed_the_next_one_runs_after_the_lease(
    catalog: HostileCatalog, valkey: Valkey
) -> None:
    catalog.answer("/products", Answer.hang())
    process = subprocess.Popen(  # noqa: S603 — our own function
        [sys.executable, "-c", POLLING], cwd=Path(__file__).parents[3], stdout=subprocess.DEVNULL
    )
    assert wait_until(lambda: catalog.calls["/products"] == 1, 10)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    lists(catalog, *numbered(1, 2))
    assert poll() == {"skipped": True}
    with redis.Redis.from_url(valkey.url) as client:
        assert 0 < client.pttl("lease:poll") <= catalog_poll.LEASE * 1000
        client.pexpire("lease:poll", 50)  # so much later
    time.sleep(0.1)
    assert poll() == {"products": 2, "changed": 2}


def test_a_poll_that_failed_does_not_stop_the_next_one(catalog: HostileCatalog) -> None:
    catalog.answer("/products", Answer.status(500))
    assert "failed" in poll()
    lists(catalog, *numbered(1))
    assert poll()["changed"] == 1


def test_with_the_database_down_the_poll_fails_and_the_next_one_succeeds(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch
) -> None:
    lists(catalog, *numbered(1))
    with environment.context() as down:
        down.setenv("DATABASE_URL", NO_DATABASE)
        database.close()
        with pytest.raises(DatabaseUnavailable):
            poll()
    assert poll()["changed"] == 1


def test_a_poll_that_dies_between_two_chunks_is_finished_by_the_next(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr(product_copy, "CHUNK", 2)
    lists(catalog, *numbered(1, 2, 3, 4))
    poll()
    assert listed_ids() == ["1", "2", "3", "4"]
    lists(catalog, *numbered(4, 3, 2, 1, price=1))
    real, chunks = product_cache.put_all, []

    def die_at_the_second(entries: Any) -> None:
        chunks.append(entries)
        if len(chunks) == 2:
            raise KeyboardInterrupt
        real(entries)

    with environment.context() as dying:
        dying.setattr(product_cache, "put_all", die_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            poll()
    assert poll()["products"] == 4
    assert listed_ids() == ["4", "3", "2", "1"]
    assert {price_of(number) for number in "1234"} == {1}


@pytest.mark.parametrize("dies_at", ["the second chunk", "the end"])
def test_a_poll_that_dies_midway_leaves_no_page_of_what_was_before(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch, dies_at: str
) -> None:
    environment.setattr(product_copy, "CHUNK", 2)
    lists(catalog, *numbered(1, 2, 3, 4))
    poll()
    lists(catalog, *numbered(1, 2, 3, 4, price=1))
    real = product_copy._write
    died: list[str] = []

    def write_once(*arguments: Any, **more: Any) -> list[product_copy.CopiedProduct]:
        if died:
            raise DatabaseUnavailable("down")
        died.append(dies_at)
        return real(*arguments, **more)

    def no_end(_: float) -> int:
        raise DatabaseUnavailable("down")

    with environment.context() as dying:
        if dies_at == "the end":
            dying.setattr(product_copy, "note_sync", no_end)
        else:
            dying.setattr(product_copy, "_write", write_once)
        with pytest.raises(DatabaseUnavailable):
            poll()
    assert request_page() is None
    answer = demand.page(limit=20, cursor=None, category=None, sort=None)
    assert simplejson.loads(answer.entry.body)["items"][0]["price"] == 1


def test_with_the_cache_down_the_copy_is_kept_up_to_date_and_the_poll_counts_as_failed(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lists(catalog, *numbered(1, 2))
    environment.setenv("REDIS_URL", "redis://127.0.0.1:9")
    environment.setattr(cache, "HOLD_OFF", 0.01)  # the poll tries again for a while, and then does without
    cache.close()
    recorder.metrics(capsys)
    assert poll() == {"products": 2, "changed": 2, "cache": "not renewed"}
    told = recorder.metrics(capsys)
    assert {"CatalogPollsFailed": 1} in told
    assert {"CatalogPolls": 1} not in told
    assert product_copy.find("2")


@pytest.mark.parametrize("seconds", [0.15, 0.5])
def test_a_cache_that_does_not_answer_once_is_filled_all_the_same(
    catalog: HostileCatalog, valkey: Valkey, environment: pytest.MonkeyPatch, seconds: float
) -> None:
    lists(catalog, *numbered(*range(1, 2_001)))
    real = product_copy.sync

    def hesitate(listed: catalog_client.CatalogList) -> Iterator[Any]:
        chunks = real(listed)
        first = next(chunks)
        with concurrency.later(seconds, concurrency.freeze(valkey)):
            yield first
            yield from chunks

    environment.setattr(product_copy, "sync", hesitate)
    poll()
    cache.close()
    missing = [number for number in range(1, 2_001) if product_cache.get(str(number)) is None]
    assert missing == []


# ── Hot ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def polled(catalog: HostileCatalog) -> HostileCatalog:
    """Forty products in three categories were polled; since then the catalog counts its calls."""
    lists(
        catalog,
        *(
            product(number, price=100 - number, category=["kitchen", "garden", "tools"][number % 3])
            for number in range(1, 41)
        ),
    )
    poll()
    catalog.forget_calls()
    return catalog


def request_product(product_id: str) -> str | None:
    """X-Cache, where the short way knows the product; None where the catalog may have to be asked."""
    found = product_answers.cached_detail({"pathParameters": {"product_id": product_id}})
    return found[1] if found else None


def request_page(**parameters: str) -> str | None:
    found = product_answers.cached_page({"queryStringParameters": parameters})
    return found[1] if found else None


@pytest.mark.usefixtures("polled")
def test_products_are_renewed_before_they_are_stale(age_everything: Age) -> None:
    for _ in range(4):  # a quarter of an hour, at the schedule's pace
        age_everything(240)
        assert request_product("7") == "hit"
        poll()
        assert demand.detail("7").entry.age < 5
        assert request_product("7") == "hit"


@pytest.mark.usefixtures("polled")
def test_without_another_poll_they_are_stale(age_everything: Age) -> None:
    age_everything(TTL + 1)
    assert request_product("7") is None


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"limit": "20"},
        *({"sort": order} for order in product_copy.ORDERS if order != "catalog"),
        *({"category": category} for category in ("kitchen", "garden", "tools")),
    ],
    ids=str,
)
def test_the_first_pages_are_hits_without_a_call(polled: HostileCatalog, parameters: dict[str, str]) -> None:
    assert request_page(**parameters) == "hit"
    assert polled.calls == {}


def test_the_first_pages_are_hits_again_after_a_change_that_the_poll_saw(polled: HostileCatalog) -> None:
    lists(polled, *numbered(*range(1, 41), category="garden"))
    poll()
    polled.forget_calls()
    assert request_page() == request_page(category="garden") == request_page(sort="price") == "hit"
    assert polled.calls == {}


def test_a_page_that_was_not_filled_is_made_of_the_copy(polled: HostileCatalog) -> None:
    answer = demand.page(limit=7, cursor=None, category="tools", sort="price")
    assert answer.state == "miss"
    assert polled.calls == {}


@pytest.mark.usefixtures("polled")
def test_another_environment_finds_it_hot() -> None:
    cold_start()
    assert request_product("7") == "hit"
    assert request_page() == "hit"


# ── Push and pull together ────────────────────────────────────────────────────────────────────────────────


def answer_after(event: Callable[[], object], *listed: dict[str, Any]) -> Answer:
    """The list as it is now, which arrives only after the event was taken."""
    body = Answer.json(list(listed))

    def play(handler: Any) -> None:
        event()
        body.play(handler)

    return Answer(play)


def now() -> int:
    return time.time_ns() // 1_000_000


@pytest.mark.usefixtures("connection_per_thread")
@pytest.mark.parametrize("what", ["changed", "removed", "new"])
def test_an_event_that_is_newer_than_the_list_wins_over_it(
    catalog: HostileCatalog, db: psycopg.Connection, what: str
) -> None:
    lists(catalog, *numbered(7, 8))
    poll()
    time.sleep(0.002)
    pushed = {
        "changed": lambda: deliver(changed_product(now() + 50, 7, price=1)),
        "removed": lambda: deliver(removed(now() + 50, "7")),
        "new": lambda: deliver(changed_product(now() + 50, 9, price=1)),
    }[what]
    old = [product(7, price=50), product(8, price=50)]
    catalog.answer("/products", answer_after(pushed, *old))
    poll()
    number, price = ("9" if what == "new" else "7"), (None if what == "removed" else 1)
    copied = product_copy.find(number)
    assert copied
    assert (None if copied.removed_at else copied.price) == price
    assert price_of(number) == price
    assert price_of("8") == 50
    assert set(listed_ids()) == {"changed": {"7", "8"}, "removed": {"8"}, "new": {"7", "8", "9"}}[what]
    assert rows(db).keys() == {"7", "8"} | {number}


def test_an_event_that_is_older_than_the_list_changes_nothing(catalog: HostileCatalog) -> None:
    lists(catalog, *numbered(7, 8))
    poll()
    older = now() - 1_000
    time.sleep(0.002)
    lists(catalog, product(7, price=50), product(8))
    poll()
    deliver(changed_product(older, 7, price=1), removed(older, "8"))
    assert price_of("7") == 50
    assert price_of("8") == Decimal("22.30")


def test_a_product_that_was_pushed_is_confirmed_by_the_list(
    catalog: HostileCatalog, age_everything: Age
) -> None:
    deliver(changed_product(now(), 7))
    age_everything(200)
    lists(catalog, product(7))
    poll()
    age_everything(200)
    assert request_product("7") == "hit"  # 400 s after the event, 200 s after the list


def test_a_product_that_the_copy_knows_as_newer_than_the_list_is_fresh_after_it(
    catalog: HostileCatalog, age_everything: Age, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("PRODUCT_CACHE_TTL_SECONDS", "100")
    deliver(changed_product(now() + 200_000, 7, price=1))
    age_everything(150)
    assert request_product("7") is None
    lists(catalog, product(7))
    poll()
    assert request_product("7") == "hit"
    assert price_of("7") == 1


def test_a_product_that_was_pushed_and_is_not_in_the_list_is_gone(catalog: HostileCatalog) -> None:
    lists(catalog, *numbered(7, 8))
    poll()
    deliver(changed_product(now(), 9))
    time.sleep(0.002)
    poll_twice()
    assert price_of("9") is None


def test_polls_and_the_database_agree_after_a_restart(
    catalog: HostileCatalog, migrated_postgres: Postgres
) -> None:
    lists(catalog, *numbered(1, 2))
    poll()
    with psycopg.connect(migrated_postgres.url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'favorites'"
        )
    assert poll() == {"products": 2, "changed": 0}


def test_a_request_for_many_large_products_does_not_wait_for_a_slow_cache(
    catalog: HostileCatalog, valkey: Valkey, environment: pytest.MonkeyPatch
) -> None:
    lists(catalog, *numbered(*range(1, 101), description="x" * 50_000))
    poll()
    with redis.Redis.from_url(valkey.url) as client:
        client.flushdb()
    round_trips, ask = [], cache.ask

    def slow(*commands: Sequence[str], **how: float) -> list[Any]:
        round_trips.append(len(commands))
        time.sleep(cache.TIMEOUT / 2)
        return ask(*commands, **how)

    environment.setattr(cache, "ask", slow)
    answer = demand.several([str(number) for number in range(1, 101)])
    assert len(json.loads(answer.entry.body)["items"]) == 100
    assert len(round_trips) <= 4  # the look for all of them, and what fits the time of one command
