"""Two hundred readers of one product at once: one asks the catalog, the others get its answer."""

import pytest

from local.servers.valkey import Valkey
from shared.products import product_cache, read_through, single_flight
from tests.hostile_catalog import Answer, HostileCatalog, product
from tests.integration.concurrency import at_once
from tests.integration.conftest import Age
from tests.integration.readers import Reading, read_at_once

pytestmark = [pytest.mark.usefixtures("environment"), pytest.mark.alone]

PATH = "/products/7"
CALL = 0.3  # seconds that the catalog takes
# All these processes share the cores of one machine, with whatever else runs there. What is tested is that
# nobody waits for anything but the one call: a second call, or a lease that has to end, takes longer.
CROWD = 1.5  # seconds


@pytest.fixture(autouse=True)
def seven(catalog: HostileCatalog) -> None:
    catalog.answer(PATH, Answer.json(product(7)).after(CALL))


def outcomes(readings: list[Reading]) -> set[str]:
    return {reading.outcome for reading in readings}


@pytest.mark.parametrize(("readers", "longer"), [(10, 0.25), (200, CALL + CROWD)])
def test_readers_of_a_cold_product_make_one_call_and_wait_no_longer_than_it_takes(
    catalog: HostileCatalog, readers: int, longer: float
) -> None:
    readings = read_at_once(readers, "7")
    assert len(readings) == readers
    assert outcomes(readings) <= {"miss", "hit"}  # a hit for those whom the machine let begin late
    assert catalog.calls == {PATH: 1}
    assert max(readings).seconds < CALL + longer


def test_many_threads_of_one_process_make_one_call_too(catalog: HostileCatalog) -> None:
    # No environment has them, but local tools and tests do; once they ran out of connections to Valkey. Not
    # hundreds: a command has 100 ms for all of it, and so many threads that connect at once, with one lock
    # for all of Python, keep each other waiting for longer than that.
    answers = at_once([lambda: read_through.detail("7")] * 40)
    assert {getattr(answer, "state", answer) for answer in answers} <= {"miss", "hit"}
    assert catalog.calls == {PATH: 1}


def test_readers_of_a_stale_product_make_one_call_and_all_but_one_have_it_at_once(
    catalog: HostileCatalog, age_everything: Age
) -> None:
    read_through.detail("7")
    age_everything(301)
    catalog.forget_calls()
    readings = read_at_once(40, "7")
    assert catalog.calls == {PATH: 1}
    assert sorted(reading.outcome for reading in readings).count("miss") == 1  # the one who fetched it
    assert outcomes(readings) <= {"miss", "stale", "hit"}
    assert sorted(readings)[len(readings) // 2].seconds < CALL


def test_when_the_holder_of_the_lease_is_killed_the_next_takes_over(catalog: HostileCatalog) -> None:
    product_cache.acquire_lease("product:7", single_flight.LEASE)  # and never heard of again
    readings = read_at_once(30, "7")
    assert outcomes(readings) <= {"miss", "hit"}
    assert catalog.calls == {PATH: 1}
    assert max(readings).seconds < single_flight.LEASE + CALL + CROWD


@pytest.mark.parametrize("state", ["up", "down"])
def test_when_the_holder_is_killed_nobody_is_refused_while_there_is_a_copy(
    catalog: HostileCatalog, valkey: Valkey, age_everything: Age, state: str
) -> None:
    read_through.detail("7")
    age_everything(301)
    valkey.flush()
    catalog.forget_calls()
    if state == "down":
        catalog.answer(PATH, Answer.status(500))
    product_cache.acquire_lease("product:7", single_flight.LEASE)
    readings = read_at_once(30, "7")
    assert outcomes(readings) <= {"miss", "stale", "hit"}
    assert catalog.calls in ({}, {PATH: 1})  # the copy is served before the lease of the dead one ends
    assert max(readings).seconds < single_flight.LEASE + CALL + CROWD


def test_when_the_catalog_fails_the_one_who_asked_all_others_have_the_copy(
    catalog: HostileCatalog, valkey: Valkey, age_everything: Age
) -> None:
    read_through.detail("7")
    age_everything(301)
    valkey.flush()
    catalog.answer(PATH, Answer.status(500).after(CALL))
    catalog.forget_calls()
    readings = read_at_once(30, "7")
    assert outcomes(readings) <= {"miss", "stale", "hit"}
    assert catalog.calls == {PATH: 1}
    assert max(readings).seconds < CALL + CROWD


def test_when_the_catalog_fails_and_there_is_no_copy_all_are_refused_after_one_call(
    catalog: HostileCatalog,
) -> None:
    catalog.answer(PATH, Answer.status(500).after(CALL))
    readings = read_at_once(30, "7")
    assert outcomes(readings) == {"CatalogUnavailable"}
    assert catalog.calls == {PATH: 1}
    assert max(readings).seconds < CALL + CROWD
