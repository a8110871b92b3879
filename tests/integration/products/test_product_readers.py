"""Many readers of one product at once: one asks the catalog, the others wait for its answer alone."""

import threading
from collections import Counter
from typing import Any

import pytest

from local.servers.valkey import Valkey
from shared.errors import DomainError
from shared.products import catalog as catalog_client
from shared.products import list_pages, poll, product_cache, read_through, single_flight
from tests.hostile_catalog import Answer, HostileCatalog, product
from tests.integration import concurrency, readers
from tests.integration.conftest import Age

pytestmark = pytest.mark.usefixtures("environment", "connection_per_thread", "patient_cache")

PATH = "/products/7"
CALL = 0.3  # seconds that the catalog takes


@pytest.fixture(autouse=True)
def seven(catalog: HostileCatalog) -> None:
    catalog.answer(PATH, Answer.json(product(7)).after(CALL))


def read() -> str:
    """The state of the answer, or the name of the refusal."""
    try:
        return read_through.detail("7").state
    except DomainError as error:
        return type(error).__name__


def read_at_once(number: int = 8) -> set[str]:
    return {str(outcome) for outcome in concurrency.at_once([read] * number)}


def lose_a_lease(seconds: float) -> None:
    """Somebody got the lease and was never heard of again."""
    assert isinstance(product_cache.acquire_lease("product:7", seconds), product_cache.Lease)


# ── A crowd, each a process of its own ────────────────────────────────────────────────────────────────────


@pytest.mark.alone
def test_a_hundred_readers_of_a_cold_product_make_one_call_and_wait_for_nothing_else(
    catalog: HostileCatalog,
) -> None:
    readings = readers.read_at_once(100, "7")
    assert len(readings) == 100
    assert {reading.outcome for reading in readings} <= {"miss", "hit"}  # a hit where one began late
    assert catalog.calls == {PATH: 1}
    assert max(readings).seconds < readers.LEASE / 2


@pytest.mark.alone
def test_readers_of_a_stale_product_make_one_call_and_the_others_do_not_wait_for_it(
    catalog: HostileCatalog, age_everything: Age
) -> None:
    read()
    age_everything(301)
    catalog.forget_calls()
    outcomes = Counter(reading.outcome for reading in readers.read_at_once(40, "7"))
    assert catalog.calls == {PATH: 1}
    assert outcomes["miss"] == 1  # the one who fetched it
    assert outcomes["stale"] >= 1
    assert outcomes.keys() <= {"miss", "stale", "hit"}


def test_threads_of_one_process_make_one_call_too(catalog: HostileCatalog) -> None:
    # No environment has them, but local tools and tests do; once they ran out of connections to Valkey.
    assert read_at_once(40) <= {"miss", "hit"}
    assert catalog.calls == {PATH: 1}


# ── The holder of the lease is gone, or fails ─────────────────────────────────────────────────────────────


def test_one_of_those_who_wait_takes_over_from_a_dead_holder(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr(single_flight, "WAIT", 60)
    lose_a_lease(0.3)
    assert read_at_once() == {"miss"}
    assert catalog.calls == {PATH: 1}


def test_readers_are_patient_for_a_dead_holders_lease_and_the_next_ones_call() -> None:
    assert catalog_client.TIMEOUT < single_flight.LEASE
    assert single_flight.WAIT >= single_flight.LEASE + catalog_client.TIMEOUT


@pytest.mark.parametrize("up", [True, False], ids=["catalog up", "catalog down"])
def test_behind_a_dead_holder_the_copy_is_served_before_its_lease_ends(
    catalog: HostileCatalog, valkey: Valkey, age_everything: Age, environment: pytest.MonkeyPatch, *, up: bool
) -> None:
    read()
    age_everything(301)
    valkey.flush()
    catalog.forget_calls()
    if not up:
        catalog.answer(PATH, Answer.status(500))
    environment.setattr(single_flight, "WAIT", 60)
    environment.setattr(read_through, "COPY_AFTER", 6)
    lose_a_lease(60)
    assert read_at_once() == {"stale"}
    assert catalog.calls == {}


def test_a_stale_product_is_served_while_a_dead_holder_has_the_lease(
    catalog: HostileCatalog, age_everything: Age
) -> None:
    read()
    age_everything(300)
    catalog.forget_calls()
    lose_a_lease(60)
    assert read_at_once() == {"stale"}
    assert catalog.calls == {}


@pytest.mark.parametrize(("has_copy", "outcome"), [(True, "stale"), (False, "CatalogUnavailable")])
def test_when_the_one_call_fails_all_have_the_copy_or_a_refusal(
    catalog: HostileCatalog, valkey: Valkey, age_everything: Age, has_copy: bool, outcome: str
) -> None:
    if has_copy:
        read()
        age_everything(301)
        valkey.flush()
        catalog.forget_calls()
    catalog.answer(PATH, Answer.status(500).after(CALL))
    assert read_at_once() == {outcome}
    assert catalog.calls == {PATH: 1}


def test_one_who_waited_and_gets_the_lease_of_a_holder_that_is_done_uses_its_answer(
    catalog: HostileCatalog, valkey: Valkey, environment: pytest.MonkeyPatch
) -> None:
    read()
    entry = product_cache.get("7")
    assert entry
    valkey.flush()
    catalog.forget_calls()
    lease_products = product_cache.lease_products
    holders: list[Any] = []

    def lease_when_the_holder_is_done(*arguments: Any) -> Any:
        if holders:
            product_cache.put("7", entry)
            holders.pop().release()
            return lease_products(*arguments)
        ((lease, _),) = lease_products(*arguments)
        holders.append(lease)
        return lease_products(*arguments)

    environment.setattr(product_cache, "lease_products", lease_when_the_holder_is_done)
    assert read() == "miss"  # it waited, whoever asked
    assert catalog.calls == {}


# ── While a poll runs ─────────────────────────────────────────────────────────────────────────────────────


def test_while_a_poll_runs_no_reader_waits_for_the_catalog(catalog: HostileCatalog) -> None:
    def lists(price: int, seconds: float) -> None:
        listed = [product(number, price=price) for number in range(1, 41)]
        catalog.answer("/products", Answer.json(listed).after(seconds))

    lists(100, 0)
    poll.run()
    catalog.forget_calls()
    lists(1, 2.0)
    details, pages = Counter[str](), Counter[str]()
    polling = threading.Thread(target=poll.run)
    polling.start()
    while polling.is_alive():
        details[read_through.detail(str(details.total() % 40 + 1)).state] += 1
        pages[list_pages.page(limit=20, cursor=None, category=None, sort=None).state] += 1
    assert details.keys() == {"hit"}
    assert pages.keys() <= {"hit", "miss"}  # made anew of the copy, where a price changed
    assert pages.total() > 10  # in the two seconds of the one call
    assert catalog.calls == {"/products": 1}
