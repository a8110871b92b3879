"""What a request costs when the cache has no answer: round trips to Valkey, statements and calls."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from local.servers.valkey import Valkey
from shared.accounts.access_tokens import Caller
from shared.favorites import bulk, items
from shared.favorites.models import FavoriteChanges, Mark
from shared.products import poll, push
from shared.products.catalog import now_version
from tests.calls import call
from tests.hostile_catalog import Answer, HostileCatalog, product
from tests.integration import concurrency
from tests.integration.catalog_messages import changed_product
from tests.integration.conftest import Age

pytestmark = pytest.mark.usefixtures("environment", "patient_cache")


@dataclass
class Cost:
    """What a request did: round trips to Valkey, SQL statements, calls of the catalog."""

    round_trips: int = 0
    statements: int = 0
    calls: int = 0


@contextmanager
def cost(catalog: HostileCatalog, environment: pytest.MonkeyPatch) -> Iterator[Cost]:
    """The cost of the block, filled in at its end."""
    counted = Cost()
    catalog.forget_calls()
    with concurrency.round_trips(environment) as sent, concurrency.statements() as statements:
        yield counted
    counted.round_trips, counted.statements = len(sent), len(statements)
    counted.calls = sum(catalog.calls.values())


@pytest.fixture(autouse=True)
def any_product(catalog: HostileCatalog) -> None:
    for number in range(1, 201):
        catalog.answer(f"/products/{number}", Answer.json(product(number)))
    catalog.answer("/products", Answer.json([product(number) for number in range(1, 8)]))


def test_a_miss_of_a_product_that_the_copy_has(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch, valkey: Valkey
) -> None:
    poll.run()
    valkey.flush()
    with cost(catalog, environment) as counted:
        assert call("get_product").headers["X-Cache"] == "miss"
    assert counted == Cost(round_trips=4, statements=1)


def test_a_miss_of_a_product_that_only_the_catalog_has(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch
) -> None:
    with cost(catalog, environment) as counted:
        assert call("get_product").headers["X-Cache"] == "miss"
    # A look at the copy, so that no listed product costs a call, and the write.
    assert counted == Cost(round_trips=4, statements=2, calls=1)


def test_a_refresh_of_a_stale_product(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch, age_everything: Age
) -> None:
    call("get_product")
    age_everything(301)
    with cost(catalog, environment) as counted:
        assert call("get_product").headers["X-Cache"] == "miss"
    assert counted == Cost(round_trips=5, statements=2, calls=1)  # one more: nobody else refreshes it


def test_a_miss_of_an_unknown_product(catalog: HostileCatalog, environment: pytest.MonkeyPatch) -> None:
    catalog.answer("/products/7", Answer.null())
    with cost(catalog, environment) as counted:
        assert call("get_product").status == 404
    assert counted == Cost(round_trips=4, statements=1, calls=1)
    with cost(catalog, environment) as counted:
        assert call("get_product").status == 404
    assert counted == Cost(round_trips=2)


def test_after_every_good_poll_known_products_cost_no_call(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch, valkey: Valkey, age_everything: Age
) -> None:
    for _ in range(3):  # the second and third find nothing changed
        age_everything(299)
        poll.run()
    valkey.flush()
    with cost(catalog, environment) as counted:
        assert [call("get_product").headers["X-Cache"] for _ in range(3)] == ["miss", "hit", "hit"]
    assert counted.calls == 0
    valkey.stop()
    with cost(catalog, environment) as counted:
        assert [call("get_product").headers["X-Cache"] for _ in range(3)] == ["miss"] * 3
    assert (counted.calls, counted.statements) == (0, 3)


def test_a_guests_merge_of_a_hundred_new_products(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch, ana: Caller
) -> None:
    marks = [Mark(product_id=str(number)) for number in range(101, 201)]
    with cost(catalog, environment) as counted:
        changed = bulk.change(ana, FavoriteChanges(add=marks, remove=[]))
    assert len(changed.added) == 100
    assert counted.calls == 100
    assert counted.round_trips <= 5
    assert counted.statements <= 6  # what is unknown, the copy, and a transaction of two


def test_a_guests_merge_of_a_hundred_unknown_products(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch, ana: Caller
) -> None:
    catalog.answer_all(Answer.null())
    marks = [Mark(product_id=str(number)) for number in range(1_001, 1_101)]
    with cost(catalog, environment) as counted:
        changed = bulk.change(ana, FavoriteChanges(add=marks, remove=[]))
    assert len(changed.refused) == 100
    assert counted.round_trips <= 5
    with cost(catalog, environment) as counted:
        bulk.change(ana, FavoriteChanges(add=marks, remove=[]))
    assert counted.calls == 0
    assert counted.round_trips <= 3


def test_marking_a_new_product(catalog: HostileCatalog, environment: pytest.MonkeyPatch, ana: Caller) -> None:
    with cost(catalog, environment) as counted:
        _, created = items.add(ana, "7")
    assert created
    assert counted.calls == 1
    assert counted.round_trips == 3


def test_an_event_of_the_catalog(catalog: HostileCatalog, environment: pytest.MonkeyPatch) -> None:
    with cost(catalog, environment) as counted:
        push.take(changed_product(now_version(), 7))
    assert counted == Cost(round_trips=1, statements=1)
