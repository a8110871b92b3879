"""One product while Valkey, PostgreSQL or the catalog is down, or slow."""

import socket
from collections.abc import Callable
from contextlib import ExitStack
from decimal import Decimal
from unittest.mock import Mock

import pytest
import simplejson

from local.servers.postgres import Postgres
from local.servers.valkey import Valkey
from shared.errors import CatalogUnavailable
from shared.platform import database
from shared.platform import valkey as cache
from shared.products import catalog as catalog_client
from shared.products import product_cache, product_copy, push_batch, read_through, write_through
from tests.hostile_catalog import Answer as Says
from tests.hostile_catalog import HostileCatalog, product
from tests.integration import concurrency
from tests.integration.catalog_messages import changed_product, deliver
from tests.integration.conftest import NO_DATABASE, Age
from tests.integration.products.test_product_detail import PATH, TTL, ask, seven, unknown

__all__ = ["seven"]  # which programs the catalog for each test

pytestmark = pytest.mark.usefixtures("environment")


@pytest.mark.parametrize("how", ["stopped", "frozen", "silent", "not Valkey"])
def test_without_valkey_a_fresh_copy_answers_and_valkey_is_left_alone_for_a_while(
    catalog: HostileCatalog, valkey: Valkey, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    ask()
    catalog.forget_calls()
    monkeypatch.setattr(cache, "COOLDOWN", 60)
    exchanges = Mock(wraps=cache._exchange)
    monkeypatch.setattr(cache, "_exchange", exchanges)
    with socket.create_server(("127.0.0.1", 0)) as silent, ExitStack() as undo:
        match how:
            case "stopped":
                valkey.stop()
            case "frozen":  # its connection is open, and it no longer answers
                undo.callback(concurrency.freeze(valkey))
            case "silent":
                monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
                cache.close()
            case "not Valkey":
                monkeypatch.setenv("REDIS_URL", catalog.url.replace("http", "redis"))
                cache.close()
        for _ in range(5):
            assert ask() == ("miss", "Product 7 22.30")
    assert exchanges.call_count <= 2  # a connection that broke, and a new one
    assert PATH not in catalog.calls


def test_without_valkey_an_old_copy_is_refreshed_or_served_when_the_catalog_is_down(
    catalog: HostileCatalog, valkey: Valkey, age_everything: Age
) -> None:
    ask()
    age_everything(TTL)
    valkey.stop()
    catalog.answer(PATH, Says.reset())
    assert ask() == ("stale", "Product 7 22.30")
    catalog.answer(PATH, Says.json(product(7, price=Decimal("9.90"))))
    catalog.forget_calls()
    assert ask() == ask() == ("miss", "Product 7 9.90")
    assert catalog.calls[PATH] == 1


def test_without_valkey_an_environment_asks_for_an_unknown_product_once_a_minute(
    catalog: HostileCatalog, valkey: Valkey
) -> None:
    catalog.answer("/products/999", Says.null())
    valkey.stop()
    for _ in range(3):
        unknown("999")
    assert catalog.calls == {"/products/999": 1}
    write_through._missing["999"] -= product_cache.NEGATIVE_TTL
    unknown("999")
    assert catalog.calls == {"/products/999": 2}


def test_without_valkey_an_unknown_product_that_an_event_brought_is_there(
    catalog: HostileCatalog, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_batch, "PAUSE", 0.01)
    catalog.answer("/products/999", Says.null())
    valkey.stop()
    unknown("999")
    deliver(changed_product(catalog_client.now_version(), 999))
    assert ask("999")[1] == "Product 999 22.30"
    assert catalog.calls == {"/products/999": 1}


def test_an_environment_remembers_few_unknown_products(
    catalog: HostileCatalog, monkeypatch: pytest.MonkeyPatch, valkey: Valkey
) -> None:
    monkeypatch.setattr(write_through, "REMEMBERED", 3)
    catalog.answer_all(Says.null())
    valkey.stop()
    for number in range(100, 110):
        unknown(str(number))
    assert list(write_through._missing) == ["107", "108", "109"]


def test_a_valkey_that_dies_during_the_call_of_the_catalog_costs_the_cache_alone(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = catalog_client.fetch_product

    def fetch_product(product_id: str) -> catalog_client.CatalogProduct | None:
        found = real(product_id)
        valkey.kill()
        return found

    monkeypatch.setattr(catalog_client, "fetch_product", fetch_product)
    assert ask() == ("miss", "Product 7 22.30")
    assert product_copy.find("7")


def test_valkey_is_used_again_when_it_is_back(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "COOLDOWN", 0)
    ask()
    valkey.stop()
    assert ask()[0] == "miss"
    valkey.start()
    assert ask()[0] == "miss"  # it came back empty
    assert ask()[0] == "hit"


# ── PostgreSQL down ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def no_postgres(migrated_postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Take PostgreSQL away from the environment."""
    assert migrated_postgres.url

    def take_away() -> None:
        monkeypatch.setenv("DATABASE_URL", NO_DATABASE)
        database.close()

    return take_away


def test_without_postgres_the_catalogs_answer_is_as_good_and_cached(
    no_postgres: Callable[[], None], catalog: HostileCatalog
) -> None:
    no_postgres()
    assert ask() == ("miss", "Product 7 22.30")
    assert ask() == ("hit", "Product 7 22.30")
    catalog.answer("/products/999", Says.null())
    unknown("999")


def test_the_body_is_the_same_with_and_without_postgres(
    no_postgres: Callable[[], None], valkey: Valkey, catalog: HostileCatalog
) -> None:
    catalog.answer(PATH, Says.text(simplejson.dumps({**product(7), "price": 1, "rating": {"rate": 4}})))
    with_it = read_through.detail("7").entry.body
    valkey.flush()
    no_postgres()
    assert read_through.detail("7").entry.body == with_it


def test_without_postgres_and_catalog_a_stale_product_is_served(
    no_postgres: Callable[[], None], catalog: HostileCatalog, age_everything: Age
) -> None:
    ask()
    no_postgres()
    catalog.answer(PATH, Says.status(500))
    age_everything(TTL)
    assert ask() == ("stale", "Product 7 22.30")


# ── The catalog down: see test_catalog_answers.py for what it may say ───────────────────────────────────


def test_a_catalog_that_is_down_is_asked_once_in_two_seconds(
    catalog: HostileCatalog, age_everything: Age
) -> None:
    ask()
    age_everything(TTL)
    catalog.answer(PATH, Says.status(500))
    catalog.forget_calls()
    assert [ask()[0] for _ in range(5)] == ["stale"] * 5
    assert catalog.calls == {PATH: 1}


def test_the_stale_product_is_refreshed_once_the_catalog_is_back(
    catalog: HostileCatalog, age_everything: Age
) -> None:
    ask()
    age_everything(TTL)
    catalog.stop()
    assert ask()[0] == "stale"
    catalog.start()
    cache.pipeline(("DEL", "lease:product:7"))  # as two seconds later
    assert ask()[0] == "miss"
    assert ask()[0] == "hit"


def test_a_copy_that_was_served_for_want_of_better_is_served_from_the_cache_next(
    catalog: HostileCatalog, valkey: Valkey, age_everything: Age
) -> None:
    ask()
    valkey.flush()
    age_everything(TTL)
    catalog.answer(PATH, Says.status(500))
    assert ask() == ("stale", "Product 7 22.30")
    entry = product_cache.get("7")
    assert entry
    assert not entry.is_fresh
    with concurrency.statements() as sent:
        assert ask() == ("stale", "Product 7 22.30")
    assert sent == []


# ── The circuit breaker ───────────────────────────────────────────────────────────────────────────────────


def refused(first: int, last: int) -> None:
    for number in range(first, last + 1):
        with pytest.raises(CatalogUnavailable):
            ask(str(number))


def test_after_five_failures_in_a_row_the_catalog_is_left_alone(catalog: HostileCatalog) -> None:
    catalog.answer_all(Says.status(500))
    refused(100, 109)
    assert sum(catalog.calls.values()) == catalog_client.FAILURES_TO_OPEN == 5


@pytest.mark.parametrize("says", [Says.null(), Says.status(404)], ids=["null", "404"])
def test_an_answer_in_between_keeps_the_breaker_closed(catalog: HostileCatalog, says: Says) -> None:
    catalog.answer_all(Says.status(500))
    catalog.answer("/products/99", says)
    refused(100, 103)
    unknown("99")
    refused(104, 107)
    assert sum(catalog.calls.values()) == 9


def test_an_open_breaker_still_serves_what_is_known(catalog: HostileCatalog, age_everything: Age) -> None:
    ask()
    age_everything(TTL)
    catalog.answer_all(Says.status(500))
    refused(100, 105)
    catalog.forget_calls()
    assert ask() == ("stale", "Product 7 22.30")
    assert catalog.calls == {}
