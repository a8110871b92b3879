"""One product while Valkey, PostgreSQL or the catalog is down, or slow."""

import socket
import time
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest
import simplejson

from local.servers.postgres import Postgres
from local.servers.valkey import Valkey
from shared.errors import CatalogUnavailable, DatabaseUnavailable, UnknownProduct
from shared.platform import database
from shared.platform import valkey as cache
from shared.products import catalog as catalog_client
from shared.products import product_cache, product_copy, read_through, write_through
from shared.products.catalog import availability
from tests.hostile_catalog import Answer as Says
from tests.hostile_catalog import HostileCatalog, product
from tests.integration import concurrency
from tests.integration.catalog_messages import changed_product, deliver
from tests.integration.conftest import NO_DATABASE, Age
from tests.integration.products.test_product_detail import AT_ONCE, NO_SUCH_PRODUCT, PATH, TTL, ask, seven

__all__ = ["seven"]  # which programs the catalog for each test

pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        yield f"redis://127.0.0.1:{silent.getsockname()[1]}/0"


@pytest.fixture(params=["stopped", "frozen", "silent", "not Valkey"])
def no_valkey(
    request: pytest.FixtureRequest,
    valkey: Valkey,
    catalog: HostileCatalog,
    silent_server: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[], None]]:
    """Take Valkey away; it cannot be asked in time any more."""
    resume: list[Callable[[], None]] = []

    def take_away() -> None:
        match request.param:
            case "stopped":
                valkey.stop()
            case "frozen":  # its connection is open, and it no longer answers
                resume.append(concurrency.freeze(valkey))
            case "silent":
                monkeypatch.setenv("REDIS_URL", silent_server)
                cache.close()
            case "not Valkey":
                monkeypatch.setenv("REDIS_URL", catalog.url.replace("http", "redis"))
                cache.close()

    yield take_away
    for each in resume:
        each()


def test_without_valkey_a_fresh_copy_answers_and_shields_the_catalog(
    catalog: HostileCatalog, no_valkey: Callable[[], None]
) -> None:
    ask()
    catalog.forget_calls()
    no_valkey()
    started = time.monotonic()
    for _ in range(5):
        assert ask() == ("miss", "Product 7 22.30")
    assert time.monotonic() - started < 0.2 + AT_ONCE  # only the first of them found out, in a tenth
    assert PATH not in catalog.calls


def test_without_valkey_an_old_copy_is_refreshed(
    catalog: HostileCatalog, no_valkey: Callable[[], None], age_everything: Age
) -> None:
    ask()
    age_everything(TTL)
    catalog.answer(PATH, Says.json(product(7, price=Decimal("9.90"))))
    no_valkey()
    assert ask() == ("miss", "Product 7 9.90")
    assert ask() == ("miss", "Product 7 9.90")
    assert catalog.calls[PATH] == 2


def test_without_valkey_and_catalog_an_old_copy_is_served(
    catalog: HostileCatalog, no_valkey: Callable[[], None], age_everything: Age
) -> None:
    ask()
    age_everything(TTL)
    catalog.answer_all(Says.reset())
    catalog.answer(PATH, Says.reset())
    no_valkey()
    assert ask() == ("stale", "Product 7 22.30")


def test_without_valkey_an_environment_asks_for_an_unknown_product_once_a_minute(
    catalog: HostileCatalog, no_valkey: Callable[[], None]
) -> None:
    """On a busy machine a Valkey that answers too late is as good as none."""
    catalog.answer("/products/999", Says.null())
    no_valkey()
    for _ in range(3):
        with pytest.raises(UnknownProduct):
            ask("999")
    assert catalog.calls == {"/products/999": 1}
    write_through._missing["999"] -= product_cache.NEGATIVE_TTL
    with pytest.raises(UnknownProduct):
        ask("999")
    assert catalog.calls == {"/products/999": 2}


def test_without_valkey_an_unknown_product_that_an_event_brought_is_there(
    catalog: HostileCatalog, no_valkey: Callable[[], None]
) -> None:
    catalog.answer("/products/999", Says.null())
    no_valkey()
    with pytest.raises(UnknownProduct):
        ask("999")
    deliver(changed_product(catalog_client.now_version(), 999))
    assert ask("999")[1] == "Product 999 22.30"
    assert catalog.calls == {"/products/999": 1}


def test_an_environment_remembers_few_unknown_products(
    catalog: HostileCatalog, monkeypatch: pytest.MonkeyPatch, no_valkey: Callable[[], None]
) -> None:
    monkeypatch.setattr(write_through, "REMEMBERED", 3)
    catalog.answer_all(Says.null())
    no_valkey()
    for number in range(100, 110):
        with pytest.raises(UnknownProduct):
            ask(str(number))
    assert list(write_through._missing) == ["107", "108", "109"]


def test_valkey_is_used_again_soon_after_it_is_back(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "COOLDOWN", 0.1)
    ask()
    valkey.stop()
    assert ask()[0] == "miss"
    valkey.start()
    time.sleep(0.1)
    assert ask()[0] == "miss"  # it came back empty
    assert ask()[0] == "hit"


def test_a_valkey_that_dies_while_the_catalog_is_asked_costs_nothing_but_the_cache(
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


def test_a_restart_of_valkey_between_two_requests_is_not_noticed(valkey: Valkey) -> None:
    ask()
    valkey.restart()
    assert ask()[0] == "miss"
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


def test_without_postgres_a_hit_is_a_hit(no_postgres: Callable[[], None]) -> None:
    ask()
    no_postgres()
    assert ask() == ("hit", "Product 7 22.30")


def test_without_postgres_the_catalogs_answer_is_as_good_and_cached(
    no_postgres: Callable[[], None], catalog: HostileCatalog
) -> None:
    no_postgres()
    assert ask() == ("miss", "Product 7 22.30")
    assert ask() == ("hit", "Product 7 22.30")
    catalog.answer("/products/999", Says.null())
    with pytest.raises(UnknownProduct):
        ask("999")


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


def test_with_nothing_at_all_the_answer_is_a_refusal(
    no_postgres: Callable[[], None], catalog: HostileCatalog, valkey: Valkey
) -> None:
    no_postgres()
    catalog.stop()
    valkey.stop()
    with pytest.raises((CatalogUnavailable, DatabaseUnavailable)) as refused:
        ask()
    assert refused.value.retry_after


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
    catalog: HostileCatalog, age_everything: Age, valkey: Valkey
) -> None:
    ask()
    age_everything(TTL)
    catalog.stop()
    assert ask()[0] == "stale"
    catalog.start()
    valkey_forgets_the_failure(valkey)
    assert ask()[0] == "miss"
    assert ask()[0] == "hit"


def valkey_forgets_the_failure(valkey: Valkey) -> None:
    """Two seconds pass for the lease."""
    assert valkey.url
    cache.pipeline(("DEL", "lease:product:7"))


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


@pytest.mark.parametrize("how", NO_SUCH_PRODUCT)
def test_an_answer_in_between_keeps_the_breaker_closed(catalog: HostileCatalog, how: str) -> None:
    catalog.answer_all(Says.status(500))
    catalog.answer("/products/99", NO_SUCH_PRODUCT[how])
    refused(100, 103)
    with pytest.raises(UnknownProduct):
        ask("99")
    refused(104, 107)
    assert sum(catalog.calls.values()) == 9


def test_after_its_time_one_request_tries_again_and_closes_it(
    catalog: HostileCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(availability, "OPEN_SECONDS", 0.2)
    catalog.answer_all(Says.status(500))
    refused(100, 106)
    time.sleep(0.2)
    catalog.forget_calls()
    refused(107, 109)
    assert sum(catalog.calls.values()) == 1  # half open: one failure opens it again
    time.sleep(0.2)
    assert ask()[0] == "miss"
    refused(110, 113)
    assert sum(catalog.calls.values()) == 1 + 1 + 4  # closed: four failures are forgiven


def test_an_open_breaker_still_serves_what_is_known(catalog: HostileCatalog, age_everything: Age) -> None:
    ask()
    age_everything(TTL)
    catalog.answer_all(Says.status(500))
    refused(100, 105)
    catalog.forget_calls()
    assert ask() == ("stale", "Product 7 22.30")
    assert catalog.calls == {}
