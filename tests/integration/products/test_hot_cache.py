"""Readers do not wait for the catalog: not for each other's calls, not for the dead, not while polls run.

What many processes at once see is in test_product_readers.py; here the moments are what counts.
"""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from local.servers.services import wait_until
from local.servers.valkey import Valkey
from shared.errors import DomainError
from shared.products import list_pages, poll, product_cache, read_through, single_flight
from tests.hostile_catalog import Answer, HostileCatalog, product
from tests.integration import concurrency
from tests.integration.catalog_messages import changed_product, deliver
from tests.integration.conftest import Age

pytestmark = pytest.mark.usefixtures("environment", "connection_per_thread")

PATH = "/products/7"
CALL = 0.3  # seconds that the catalog takes
NOISE = 0.25  # seconds that a busy machine may add to what was measured alone


class Reading(NamedTuple):
    """What a reader saw, and how long it waited for that."""

    outcome: str
    seconds: float


@pytest.fixture(autouse=True)
def seven(catalog: HostileCatalog) -> None:
    catalog.answer(PATH, Answer.json(product(7)).after(CALL))


def read() -> Reading:
    started = time.monotonic()
    try:
        outcome: str = read_through.detail("7").state
    except DomainError as error:
        outcome = type(error).__name__
    return Reading(outcome, time.monotonic() - started)


def read_at_once(readers: int) -> list[Reading]:
    found = concurrency.at_once([read] * readers)
    return [reading for reading in found if isinstance(reading, Reading)]


# ── One call ──────────────────────────────────────────────────────────────────────────────────────────────


def test_nobody_waits_longer_than_the_one_call_and_a_tenth_of_a_second(catalog: HostileCatalog) -> None:
    readings = read_at_once(8)
    assert Counter(reading.outcome for reading in readings) == {"miss": 8}
    assert catalog.calls == {PATH: 1}
    the_call = min(reading.seconds for reading in readings)
    assert the_call > CALL - 0.01
    assert max(reading.seconds for reading in readings) < CALL + 0.1 + NOISE


def test_who_comes_while_the_call_is_under_way_waits_for_the_rest_of_it(catalog: HostileCatalog) -> None:
    first = threading.Thread(target=read)
    first.start()
    assert wait_until(lambda: catalog.calls[PATH] == 1, 5)
    time.sleep(CALL / 2)
    late = read()
    first.join()
    assert late.outcome == "miss"
    assert late.seconds < CALL
    assert catalog.calls == {PATH: 1}


# ── The holder of the lease is killed ─────────────────────────────────────────────────────────────────────

READING = "from shared.products import read_through; read_through.detail('7')"


@pytest.fixture
def killed(catalog: HostileCatalog) -> Callable[[], None]:
    """Let another environment ask the catalog, and kill it before it has the answer."""

    def ask_and_be_killed() -> None:
        catalog.answer(PATH, Answer.hang())
        process = subprocess.Popen(  # noqa: S603 — our own module
            [sys.executable, "-c", READING], cwd=Path(__file__).parents[3], stdout=subprocess.DEVNULL
        )
        assert wait_until(lambda: catalog.calls[PATH] == 1, 10)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        catalog.answer(PATH, Answer.json(product(7)).after(CALL))
        catalog.forget_calls()

    return ask_and_be_killed


def test_when_the_holder_is_killed_the_next_takes_over_within_the_lease(
    catalog: HostileCatalog, killed: Callable[[], None]
) -> None:
    killed()
    readings = read_at_once(8)
    assert Counter(reading.outcome for reading in readings) == {"miss": 8}
    assert catalog.calls == {PATH: 1}
    assert max(reading.seconds for reading in readings) < single_flight.LEASE + CALL + 0.3 + NOISE


@pytest.mark.parametrize("call", [0.0, 1.0])
def test_who_waited_from_the_beginning_gets_the_product_of_the_next_holder(
    catalog: HostileCatalog, call: float
) -> None:
    """They are patient for the lease and the next holder's call: there is nothing else to give them."""
    catalog.answer(PATH, Answer.json(product(7)).after(call))
    product_cache.acquire_lease("product:7", single_flight.LEASE)  # and never heard of again
    readings = read_at_once(6)
    assert Counter(reading.outcome for reading in readings) == {"miss": 6}
    assert catalog.calls == {PATH: 1}
    assert max(reading.seconds for reading in readings) < single_flight.LEASE + call + 0.3 + NOISE


def test_who_waited_and_takes_over_from_a_holder_that_is_just_done_has_missed_as_the_others(
    catalog: HostileCatalog, valkey: Valkey, environment: pytest.MonkeyPatch
) -> None:
    read()
    entry = product_cache.get("7")
    assert entry
    valkey.flush()
    catalog.forget_calls()
    acquire = product_cache.acquire_lease
    holders: list[product_cache.Lease] = []

    def acquire_when_the_holder_is_done(
        name: str, seconds: float
    ) -> product_cache.Lease | product_cache.LeaseHeld:
        if holders:
            product_cache.put("7", entry)
            holders.pop().release()
            return acquire(name, seconds)
        lease = acquire(name, seconds)
        assert isinstance(lease, product_cache.Lease)
        holders.append(lease)
        return acquire(name, seconds)

    environment.setattr(product_cache, "acquire_lease", acquire_when_the_holder_is_done)
    assert read().outcome == "miss"
    assert catalog.calls == {}


@pytest.mark.parametrize("up", [True, False], ids=["catalog up", "catalog down"])
def test_when_the_holder_is_killed_nobody_is_refused_while_there_is_a_copy(
    catalog: HostileCatalog, valkey: Valkey, environment: pytest.MonkeyPatch, *, up: bool
) -> None:
    environment.setattr(single_flight, "LEASE", 1.0)
    read()
    valkey.flush()
    catalog.forget_calls()
    if not up:
        catalog.answer(PATH, Answer.status(500))
    product_cache.acquire_lease("product:7", single_flight.LEASE)
    readings = read_at_once(6)
    assert {reading.outcome for reading in readings} <= {"miss", "stale", "hit"}
    assert catalog.calls[PATH] <= 1
    assert max(reading.seconds for reading in readings) < single_flight.LEASE + CALL + 0.3 + NOISE


def test_a_stale_product_is_served_at_once_while_a_dead_holder_has_the_lease(
    environment: pytest.MonkeyPatch,
) -> None:
    read()
    environment.setenv("PRODUCT_CACHE_TTL_SECONDS", "0")
    product_cache.acquire_lease("product:7", single_flight.LEASE)
    readings = read_at_once(6)
    assert {reading.outcome for reading in readings} == {"stale"}
    assert max(reading.seconds for reading in readings) < CALL


# ── While polls run ───────────────────────────────────────────────────────────────────────────────────────


def test_under_a_running_schedule_no_reader_waits_for_the_catalog(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch
) -> None:
    """Fresh for 5 seconds, polled every three, and each time with other prices."""
    environment.setenv("PRODUCT_CACHE_TTL_SECONDS", "5")
    numbers, polls = range(1, 41), 3
    long_call = 2.0  # seconds: far more than a busy machine adds to a statement

    def lists(price: int) -> None:
        listed = [product(number, price=price) for number in numbers]
        catalog.answer("/products", Answer.json(listed).after(long_call))

    def poll_on_schedule() -> None:
        for price in range(polls):
            time.sleep(1.0)
            lists(price)
            poll.run()

    lists(100)
    poll.run()
    catalog.forget_calls()
    details, waits = Counter[str](), [0.0]
    poller = threading.Thread(target=poll_on_schedule)
    poller.start()
    for number in itertools.cycle(numbers):
        details[read_through.detail(str(number)).state] += 1
        started = time.monotonic()
        list_pages.page(limit=20, cursor=None, category=None, sort=None)  # made anew where a price changed
        waits.append(time.monotonic() - started)
        time.sleep(0.002)
        if not poller.is_alive():
            break
    assert details.total() > 200
    assert set(details) == {"hit"}
    assert max(waits) < long_call  # of the copy, without a call
    assert catalog.calls == {"/products": polls}


# ── A source whose clock is ahead ─────────────────────────────────────────────────────────────────────────


def test_a_product_of_a_version_ahead_of_our_clock_is_asked_for_once_in_a_ttl(
    catalog: HostileCatalog, age_everything: Age
) -> None:
    """`version` only has to rise (issue 3): nothing says that it is the time by this machine's clock."""
    deliver(changed_product(time.time_ns() // 1_000_000 + 86_400_000, 7, price=1))
    catalog.answer(PATH, Answer.json(product(7, price=1)))
    age_everything(301)
    assert [read().outcome for _ in range(3)] == ["miss", "hit", "hit"]
    assert catalog.calls == {PATH: 1}
    age_everything(200)
    catalog.answer("/products", Answer.json([product(7, price=1)]))
    poll.run()
    age_everything(200)
    assert read().outcome == "hit"
