"""One product through the cache protocol: every state of the cache, and every server's faults."""

import time
from decimal import Decimal
from typing import Any

import psycopg
import pytest
import simplejson

from local.servers.valkey import Valkey
from shared.errors import UnknownProduct
from shared.products import poll, product_cache, product_copy, read_through, write_through
from shared.products.product_cache import Answer
from shared.web import product_answers
from tests.hostile_catalog import Answer as Says
from tests.hostile_catalog import HostileCatalog, product
from tests.integration import concurrency
from tests.integration.catalog_messages import changed_product, deliver
from tests.integration.conftest import Age, cold_start

pytestmark = pytest.mark.usefixtures("environment", "patient_cache")

PATH = "/products/7"
TTL = 300


@pytest.fixture(autouse=True)
def seven(catalog: HostileCatalog) -> None:
    catalog.answer(PATH, Says.json(product(7)))


def ask(product_id: str = "7") -> tuple[str, str]:
    """The state, and the title and price."""
    answer: Answer = read_through.detail(product_id)
    shown = simplejson.loads(answer.entry.body, use_decimal=True)
    return answer.state, f"{shown['title']} {shown['price']}"


# ── The states of the cache ───────────────────────────────────────────────────────────────────────────────


def test_a_cold_product_is_fetched_once_and_then_a_hit_in_every_environment(catalog: HostileCatalog) -> None:
    assert ask() == ("miss", "Product 7 22.30")
    assert not product_cache.is_leased("product:7")
    assert ask() == ("hit", "Product 7 22.30")
    cold_start()
    assert ask() == ("hit", "Product 7 22.30")
    assert catalog.calls == {PATH: 1}


def test_the_body_has_the_products_fields_and_its_exact_decimals() -> None:
    assert read_through.detail("7").entry.body == (
        '{"product_id":"7","title":"Product 7","price":22.30,"currency":null,"description":"As good as any.",'
        '"category":"kitchen","image":"https://images.example.com/7.jpg","review":{"rate":3.9,"count":120}}'
    )


def test_a_hit_is_one_command_and_nothing_else(valkey: Valkey, catalog: HostileCatalog) -> None:
    ask()
    catalog.forget_calls()
    with concurrency.commands(valkey.url) as counted, concurrency.statements() as sent:
        read_through.detail("7")
        product_answers.cached_detail({"pathParameters": {"product_id": "7"}})
    assert counted == {"get": 1 + 2}  # the fast path needs no look at the negative cache
    assert sent == []
    assert catalog.calls == {}


def test_a_price_change_is_visible_after_the_ttl(catalog: HostileCatalog, age_everything: Age) -> None:
    ask()
    catalog.answer(PATH, Says.json(product(7, price=Decimal("9.90"))))
    age_everything(TTL - 5)
    assert ask() == ("hit", "Product 7 22.30")
    age_everything(5)
    assert ask() == ("miss", "Product 7 9.90")
    assert ask() == ("hit", "Product 7 9.90")


def test_while_one_refreshes_a_stale_product_the_others_get_it_at_once(
    catalog: HostileCatalog, age_everything: Age, environment: pytest.MonkeyPatch
) -> None:
    ask()
    catalog.forget_calls()
    age_everything(TTL)
    product_cache.acquire_lease("product:7", 60)  # the one who refreshes
    with concurrency.round_trips(environment) as sent:
        assert ask() == ("stale", "Product 7 22.30")
    assert len(sent) == 2
    assert catalog.calls == {}


def test_lease_winner_reuses_the_entry_of_the_previous_holder(
    catalog: HostileCatalog, age_everything: Age, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask()
    age_everything(TTL)
    real = product_cache.lease_products

    def lease_products(*arguments: Any) -> Any:
        with monkeypatch.context() as undone:
            undone.setattr(product_cache, "lease_products", real)
            ask()  # another one, from beginning to end
        return real(*arguments)

    catalog.forget_calls()
    monkeypatch.setattr(product_cache, "lease_products", lease_products)
    assert ask()[0] == "hit"
    assert catalog.calls == {PATH: 1}
    assert not product_cache.is_leased("product:7")


def test_without_an_entry_the_result_of_another_environment_is_waited_for(catalog: HostileCatalog) -> None:
    product_cache.acquire_lease("product:7", 60)
    now = time.time()
    entry = product_cache.Entry(200, int(now * 1000), now, '{"title":"Theirs","price":1}', '"etag"')
    with concurrency.later(0.15, lambda: product_cache.put("7", entry)):
        assert ask() == ("miss", "Theirs 1")
    assert catalog.calls == {}


def test_when_the_holder_failed_the_copy_is_served_at_once(valkey: Valkey, catalog: HostileCatalog) -> None:
    ask()
    valkey.flush()
    lease = product_cache.acquire_lease("product:7", 5)
    assert isinstance(lease, product_cache.Lease)
    lease.release(60)
    catalog.forget_calls()
    with concurrency.commands(valkey.url) as counted:
        assert ask()[1] == "Product 7 22.30"
    assert sum(counted.values()) < 10  # no look for a result
    assert catalog.calls == {}


@pytest.mark.parametrize("forgets", [True, False])
def test_products_that_the_last_list_confirmed_cost_no_call_of_the_catalog(
    valkey: Valkey, catalog: HostileCatalog, age_everything: Age, forgets: bool
) -> None:
    listed = [product(number) for number in range(1, 21)]
    catalog.answer("/products", Says.json(listed))
    poll.run()
    age_everything(TTL)  # the rows and entries are old,
    write_through.list_synced(time.time())  # and a list has confirmed them since
    if forgets:
        valkey.flush()
    catalog.forget_calls()
    assert {read_through.detail(str(number)).state for number in range(1, 21)} == {"miss"}
    assert {read_through.detail(str(number)).state for number in range(1, 21)} == {"hit"}
    valkey.stop()
    answers = concurrency.at_once([lambda: read_through.detail("7")] * 30)
    assert [answer.state for answer in answers if isinstance(answer, Answer)] == ["miss"] * 30
    assert catalog.calls == {}


def test_a_version_ahead_of_our_clock_is_confirmed_once_in_a_ttl(
    catalog: HostileCatalog, age_everything: Age
) -> None:
    deliver(changed_product(time.time_ns() // 1_000_000 + 86_400_000, 7, price=1))
    catalog.answer(PATH, Says.json(product(7, price=1)))
    age_everything(TTL + 1)
    assert [ask()[0] for _ in range(3)] == ["miss", "hit", "hit"]
    assert catalog.calls == {PATH: 1}
    age_everything(200)
    catalog.answer("/products", Says.json([product(7, price=1)]))
    poll.run()
    age_everything(200)
    assert ask()[0] == "hit"


# ── Products that do not exist, or no longer ──────────────────────────────────────────────────────────────


def unknown(product_id: str = "7") -> None:
    with pytest.raises(UnknownProduct):
        ask(product_id)


def test_an_unknown_product_is_asked_for_once_a_minute(
    catalog: HostileCatalog, age_everything: Age, db: psycopg.Connection
) -> None:
    catalog.answer("/products/999", Says.null())
    unknown("999")
    unknown("999")
    age_everything(59)
    unknown("999")
    assert catalog.calls == {"/products/999": 1}
    age_everything(1)
    unknown("999")
    assert catalog.calls == {"/products/999": 2}
    assert db.execute("SELECT count(*) FROM products").fetchone() == (0,)


def test_a_product_that_returns_is_there_again_after_a_minute(
    catalog: HostileCatalog, age_everything: Age
) -> None:
    ask()
    age_everything(TTL)
    catalog.answer(PATH, Says.null())
    unknown()
    catalog.answer(PATH, Says.json(product(7)))
    age_everything(59)
    unknown()
    age_everything(1)
    assert ask() == ("miss", "Product 7 22.30")
    held = product_copy.find("7")
    assert held
    assert held.removed_at is None


def test_a_tombstone_is_a_404_also_when_the_catalog_is_down(
    catalog: HostileCatalog, age_everything: Age, valkey: Valkey
) -> None:
    ask()
    age_everything(TTL)
    catalog.answer(PATH, Says.null())
    unknown()
    valkey.flush()
    catalog.answer(PATH, Says.status(500))
    age_everything(TTL)
    unknown()


# ── Ids that are no numbers: the catalog never answers a request for them ───────────────────────────────


@pytest.mark.parametrize(
    "product_id", ["abc", "7a", "-7", "007", "7.0", "1e1", "~", "..", "_", "a" * 64, "9" * 64]
)
def test_an_id_that_is_no_number_never_reaches_the_detail_of_the_catalog(
    catalog: HostileCatalog, product_id: str
) -> None:
    unknown(product_id)
    unknown(product_id)
    assert set(catalog.calls) <= {"/products"}
    assert catalog.calls["/products"] <= 1  # its list was asked instead, once


def test_an_id_that_the_list_told_of_is_asked_for(catalog: HostileCatalog, age_everything: Age) -> None:
    catalog.answer("/products", Says.json([{**product(), "id": "mug-7", "title": "Mug"}]))
    catalog.answer("/products/mug-7", Says.json({**product(), "id": "mug-7", "title": "Mug", "price": 5}))
    assert ask("mug-7") == ("miss", "Mug 22.30")
    assert catalog.calls == {"/products": 1}
    age_everything(TTL)
    assert ask("mug-7") == ("miss", "Mug 5")
    assert catalog.calls == {"/products": 1, "/products/mug-7": 1}
