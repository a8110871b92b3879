"""The list while it is not believed, or does not come, or Valkey is down."""

import psycopg
import pytest
import simplejson

from local.servers.valkey import Valkey
from shared.errors import CatalogUnavailable
from shared.products import catalog as catalog_client
from shared.products import product_cache
from shared.products.catalog import http_client
from tests.hostile_catalog import Answer as Says
from tests.hostile_catalog import HostileCatalog, product
from tests.integration.conftest import Age, cold_start
from tests.integration.products.test_product_list import LIST, SIX, TTL, ids, page, six

__all__ = ["six"]  # which programs the catalog for each test

pytestmark = pytest.mark.usefixtures("environment")


# What makes a list useless in test_poll_refusals.py does so here: one of each kind.
USELESS: dict[str, Says] = {
    "empty list": Says.json([]),
    "less than half": Says.json(SIX[:2]),
    "mostly bad": Says.json([*SIX[:3], *[{**each, "price": "free"} for each in SIX[:4]]]),
    "500": Says.status(500),
    "truncated JSON": Says.truncated_json(simplejson.dumps(SIX, use_decimal=True).encode()),
    "reset": Says.reset(),
    "50 MB": Says.flood(),
    "slow drip": Says.drip(simplejson.dumps(SIX, use_decimal=True).encode(), 0.05),
}


@pytest.fixture
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    for function in (catalog_client.fetch_all, http_client.get):
        defaults = function.__kwdefaults__
        assert defaults
        monkeypatch.setitem(defaults, "timeout", 0.3)


@pytest.mark.usefixtures("short_timeout")
@pytest.mark.parametrize("what", USELESS)
@pytest.mark.parametrize("known", ["stale list", "copy only", "nothing"])
def test_a_useless_list_leaves_what_is_known(
    catalog: HostileCatalog,
    age_everything: Age,
    valkey: Valkey,
    db: psycopg.Connection,
    known: str,
    what: str,
) -> None:
    if known != "nothing":
        page()
    if known == "copy only":
        valkey.flush()
    age_everything(TTL)
    before = db.execute("SELECT * FROM products").fetchall()
    catalog.answer("/products", USELESS[what])
    catalog.forget_calls()
    if known == "nothing" and what in {"empty list", "less than half"}:
        assert len(ids(page())) <= 2  # where nothing was known, there is nothing to doubt it by
    elif known == "nothing":
        with pytest.raises(CatalogUnavailable) as refused:
            page()
        assert refused.value.retry_after
    else:
        answer = page()
        assert (answer.state, ids(answer)) == ("stale", ["3", "1", "2", "6", "5", "4"])
        assert db.execute("SELECT * FROM products").fetchall() == before
        listed = product_cache.list_state()
        assert listed is None or not listed.is_fresh  # never cached as good
        assert page().state == "stale"
    # Not again by the second page; but a kept connection may have been closed by the other side.
    assert catalog.calls == ({"/products": 2} if what == "reset" and known != "nothing" else LIST)


def test_one_bad_product_among_good_ones_is_left_out(catalog: HostileCatalog, age_everything: Age) -> None:
    catalog.answer("/products", Says.json([*SIX, product(7, price="free"), None, "nonsense"]))
    assert ids(page()) == ["3", "1", "2", "6", "5", "4"]
    age_everything(TTL)
    catalog.answer("/products", Says.json([{**SIX[0], "title": None}, *SIX[1:]]))
    assert "3" in ids(page())  # spoiled is not gone


# ── Without Valkey ────────────────────────────────────────────────────────────────────────────────────────


def test_a_flushed_valkey_costs_no_call(catalog: HostileCatalog, valkey: Valkey) -> None:
    page()
    catalog.forget_calls()
    valkey.flush()
    assert page().state == "miss"
    assert page().state == "hit"
    assert catalog.calls == {}


def test_without_valkey_all_environments_make_one_call(
    catalog: HostileCatalog, valkey: Valkey, age_everything: Age
) -> None:
    valkey.stop()
    for limit in (20, 20, 3):
        assert page(limit).state == "miss"
        cold_start()
    assert catalog.calls == LIST
    valkey.start()
    age_everything(TTL)
    valkey.stop()
    cold_start()
    assert page().state == "stale"  # nobody could say who else reads the list
    assert catalog.calls == LIST


def test_without_valkey_and_catalog_the_copy_is_served(catalog: HostileCatalog, valkey: Valkey) -> None:
    page()
    valkey.stop()
    catalog.stop()
    cold_start()
    answer = page()
    assert (answer.state, ids(answer)) == ("miss", ["3", "1", "2", "6", "5", "4"])


def test_with_nothing_but_postgres_and_nothing_in_it_the_answer_is_a_refusal(
    catalog: HostileCatalog, valkey: Valkey
) -> None:
    valkey.stop()
    catalog.stop()
    with pytest.raises(CatalogUnavailable):
        page()
