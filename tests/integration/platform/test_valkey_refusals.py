"""A Valkey that refuses to write, because it is full or became a replica, is still read."""

import time
from collections.abc import Callable, Iterator

import pytest

from local.servers.valkey import Valkey
from shared.errors import UnknownProduct
from shared.platform import valkey as cache
from shared.platform.valkey import CacheRefused
from shared.products import poll, read_through, write_through
from shared.web import product_answers
from tests.hostile_catalog import Answer, HostileCatalog, product
from tests.integration.conftest import Age
from tests.integration.hindered import HinderedServer

KNOWN = range(1, 21)


@pytest.fixture
def hindered(valkey: Valkey, environment: pytest.MonkeyPatch) -> Iterator[HinderedServer]:
    """The environment's Valkey, behind a proxy that counts connections."""
    with HinderedServer(valkey.url) as proxy:
        environment.setenv("REDIS_URL", proxy.url)
        cache.close()
        yield proxy
        cache.close()


def is_cached(product_id: str) -> bool:
    """Whether the fast path has the product as a hit."""
    found = product_answers.cached_detail({"pathParameters": {"product_id": product_id}})
    return found is not None and found[1] == "hit"


def test_a_refused_write_is_no_reason_not_to_read_and_leaves_no_reply_behind(
    hindered: HinderedServer, refuse_writes: Callable[[], None], request: pytest.FixtureRequest
) -> None:
    cache.pipeline(("SET", "kept", "1"))
    refuse_writes()
    with pytest.raises(CacheRefused):
        cache.pipeline(("GET", "kept"), ("SET", "other", "2"), ("GET", "kept"), ("SET", "more", "3"))
    assert cache.pipeline(("GET", "kept"), ("GET", "other")) == [b"1", None]
    is_new = "replica" in request.node.name  # its name may lead to the new primary
    assert hindered.accepted == (2 if is_new else 1)


def test_cached_products_are_hits_while_writes_are_refused(
    catalog: HostileCatalog, refuse_writes: Callable[[], None]
) -> None:
    catalog.answer("/products", Answer.json([product(number) for number in KNOWN]))
    catalog.answer_all(Answer.null())
    poll.run()
    refuse_writes()
    catalog.forget_calls()
    for number in KNOWN:
        with pytest.raises(UnknownProduct):  # a miss, whose writes are refused
            read_through.detail(str(1_000 + number))
        assert is_cached(str(number))
    assert not set(catalog.calls) & {f"/products/{number}" for number in KNOWN}


def test_the_copy_shields_the_catalog_while_writes_are_refused(
    catalog: HostileCatalog, refuse_writes: Callable[[], None], age_everything: Age
) -> None:
    catalog.answer("/products", Answer.json([product(7)]))
    poll.run()
    age_everything(301)
    refuse_writes()
    write_through.list_synced(time.time())  # a poll confirms it, and cannot renew the cache
    catalog.forget_calls()
    assert [read_through.detail("7").state for _ in range(5)] == ["miss"] * 5
    assert catalog.calls == {}
