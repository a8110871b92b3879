"""After a poll requests are hits, and an event that is newer than the list wins over it."""

import json
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import psycopg
import pytest
import redis

from local.servers.valkey import Valkey
from shared.platform import valkey as cache
from shared.products import by_ids, list_pages, product_copy, read_through
from tests.hostile_catalog import Answer, HostileCatalog, product
from tests.integration.catalog_messages import changed_product, deliver, removed
from tests.integration.conftest import Age
from tests.integration.poll.polling import (
    TTL,
    listed_ids,
    lists,
    now,
    numbered,
    poll,
    poll_twice,
    price_of,
    request_page,
    request_product,
    rows,
)

pytestmark = pytest.mark.usefixtures("environment")


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


@pytest.mark.usefixtures("polled")
def test_products_are_renewed_before_they_are_stale(age_everything: Age) -> None:
    for _ in range(4):  # a quarter of an hour, at the schedule's pace
        age_everything(240)
        assert request_product("7") == "hit"
        poll()
    assert read_through.detail("7").entry.age < 60
    age_everything(TTL + 1)
    assert request_product("7") is None


@pytest.mark.parametrize("is_down", [False, True])
def test_what_the_last_poll_confirmed_costs_no_call_when_the_cache_is_lost(
    polled: HostileCatalog, age_everything: Age, environment: pytest.MonkeyPatch, is_down: bool
) -> None:
    age_everything(TTL - 60)
    poll()  # which writes no row: nothing has changed
    age_everything(TTL - 60)
    polled.forget_calls()
    if is_down:
        environment.setenv("REDIS_URL", "redis://127.0.0.1:9")
        cache.close()
    else:
        cache.pipeline(("FLUSHALL",))
    assert {read_through.detail(str(number)).state for number in range(1, 21)} == {"miss"}
    assert polled.calls == {}


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
    answer = list_pages.page(limit=7, cursor=None, category="tools", sort="price")
    assert answer.state == "miss"
    assert polled.calls == {}


def answer_after(event: Callable[[], object], *listed: dict[str, Any]) -> Answer:
    """The list as it is now, which arrives only after the event was taken."""
    body = Answer.json(list(listed))

    def play(handler: Any) -> None:
        event()
        body.play(handler)

    return Answer(play)


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


def test_a_request_for_many_large_products_does_not_wait_for_a_slow_cache(
    catalog: HostileCatalog, valkey: Valkey, environment: pytest.MonkeyPatch
) -> None:
    lists(catalog, *numbered(*range(1, 101), description="x" * 50_000))
    poll()
    with redis.Redis.from_url(valkey.url) as client:
        client.flushdb()
    round_trips, ask = [], cache.pipeline

    def slow(*commands: Sequence[str], **how: float) -> list[Any]:
        round_trips.append(len(commands))
        time.sleep(cache.TIMEOUT / 2)
        return ask(*commands, **how)

    environment.setattr(cache, "pipeline", slow)
    answer = by_ids.several([str(number) for number in range(1, 101)])
    assert len(json.loads(answer.entry.body)["items"]) == 100
    assert len(round_trips) <= 4  # the look for all of them, and what fits the time of one command
