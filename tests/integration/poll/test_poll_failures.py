"""Polls at once, polls that are killed, and polls without a database or a cache."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import simplejson

from local.servers.services import wait_until
from local.servers.valkey import Valkey
from shared.errors import DatabaseUnavailable
from shared.platform import database, deadlines
from shared.platform import valkey as cache
from shared.products import catalog as catalog_client
from shared.products import list_pages, product_cache, product_copy
from shared.products import poll as catalog_poll
from shared.products.product_cache import pages
from shared.products.product_copy import list_sync, writes
from tests.hostile_catalog import Answer, HostileCatalog
from tests.integration import concurrency, recorder
from tests.integration.conftest import NO_DATABASE
from tests.integration.poll.polling import listed_ids, lists, numbered, poll, price_of, request_page

pytestmark = pytest.mark.usefixtures("environment")


@pytest.mark.usefixtures("connection_per_thread")
def test_of_two_polls_at_once_the_second_sees_the_lease_and_ends(catalog: HostileCatalog) -> None:
    catalog.answer("/products", Answer.json(numbered(1, 2)).after(0.3))
    done = concurrency.at_once([poll, poll])
    assert sorted(map(str, done)) == ["{'products': 2, 'changed': 2}", "{'skipped': True}"]
    assert catalog.calls == {"/products": 1}


def test_a_reader_of_the_list_does_not_stop_a_poll(catalog: HostileCatalog) -> None:
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
    environment.setattr(list_sync, "CHUNK", 2)
    environment.setattr(pages, "INTERVAL", 0)
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
    environment.setattr(list_sync, "CHUNK", 2)
    environment.setattr(pages, "INTERVAL", 0)
    lists(catalog, *numbered(1, 2, 3, 4))
    poll()
    lists(catalog, *numbered(1, 2, 3, 4, price=1))
    real = writes.write
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
            dying.setattr(list_sync, "write", write_once)
        with pytest.raises(DatabaseUnavailable):
            poll()
    assert request_page() is None
    answer = list_pages.page(limit=20, cursor=None, category=None, sort=None)
    assert simplejson.loads(answer.entry.body)["items"][0]["price"] == 1


def test_with_the_cache_down_the_copy_is_kept_up_to_date_and_the_poll_counts_as_failed(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lists(catalog, *numbered(1, 2))
    environment.setenv("REDIS_URL", "redis://127.0.0.1:9")
    environment.setattr(cache, "COOLDOWN", 0.01)  # the poll tries again for a while, and then does without
    cache.close()
    recorder.metrics(capsys)
    assert poll() == {"products": 2, "changed": 2, "cache": "not renewed"}
    told = recorder.metrics(capsys)
    assert {"CatalogPollsFailed": 1} in told
    assert {"CatalogPolls": 1} not in told
    assert product_copy.find("2")


def test_a_cache_that_does_not_answer_once_is_filled_all_the_same(
    catalog: HostileCatalog, valkey: Valkey, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr(list_sync, "CHUNK", 20)
    lists(catalog, *numbered(*range(1, 101)))
    real = product_copy.sync

    def hesitate(listed: catalog_client.CatalogList) -> Iterator[Any]:
        chunks = real(listed)
        first = next(chunks)
        with concurrency.later(0.5, concurrency.freeze(valkey)):
            yield first
            yield from chunks

    environment.setattr(product_copy, "sync", hesitate)
    poll()
    cache.close()
    missing = [number for number in range(1, 101) if product_cache.get(str(number)) is None]
    assert missing == []


def test_a_poll_never_sleeps_beyond_its_deadline(
    catalog: HostileCatalog, valkey: Valkey, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr(cache, "COOLDOWN", 12)
    lists(catalog, *numbered(1, 2))
    valkey.stop()
    with deadlines.within(10):
        assert poll()["cache"] == "not renewed"
        assert deadlines.left(10) > 0


class Clock:
    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


def test_a_poll_that_takes_long_renews_its_lease_after_a_third_of_its_time(
    valkey: Valkey, environment: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    environment.setattr(catalog_poll, "time", clock)
    lease = product_cache.acquire_lease("poll", 20)
    assert isinstance(lease, product_cache.Lease)
    held = catalog_poll._RenewedLease(lease)
    with redis.Redis.from_url(valkey.url) as client:
        for seconds, is_renewed in ((catalog_poll.LEASE / 3 - 1, False), (2, True)):
            clock.now += seconds
            held.keep()
            assert (client.pttl("lease:poll") > 20_000) is is_renewed
