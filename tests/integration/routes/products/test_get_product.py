"""GET /products/{product_id}"""

from decimal import Decimal

import pytest

from local.servers.postgres import Postgres
from local.servers.valkey import Valkey
from tests.calls import call
from tests.hostile_catalog import Answer as Says
from tests.hostile_catalog import HostileCatalog, product
from tests.integration.conftest import Age, cold_start

CACHED = "public, max-age=300, stale-while-revalidate=60, stale-if-error=86400"


@pytest.fixture(autouse=True)
def _without_keys(catalog: HostileCatalog, environment: pytest.MonkeyPatch) -> None:
    """Functions of products have no keys for access tokens."""
    assert catalog
    environment.delenv("ACCESS_TOKEN_KEYS")


def test_miss_and_the_hit_after_it_have_the_same_bytes_and_headers(catalog: HostileCatalog) -> None:
    catalog.answer("/products/7", Says.json(product(7, title="Teapot ")))
    miss, hit = call("get_product"), call("get_product")
    assert (miss.status, miss.json["title"], miss.json["price"]) == (200, "Teapot", Decimal("22.30"))
    assert '"price":22.30' in miss.body
    assert [answer.headers["X-Cache"] for answer in (miss, hit)] == ["miss", "hit"]
    assert (miss.body, miss.headers["ETag"]) == (hit.body, hit.headers["ETag"])
    assert miss.headers.keys() == hit.headers.keys()
    assert miss.headers["Cache-Control"] == hit.headers["Cache-Control"] == CACHED
    assert catalog.calls == {"/products/7": 1}


@pytest.mark.parametrize(("age", "shown"), [(0, "0"), (100.5, "100"), (298.5, "298"), (-5, "0")])
def test_hit_tells_its_age_and_the_whole_lifetime(age: float, shown: str, age_everything: Age) -> None:
    first = call("get_product")
    age_everything(age)
    hit = call("get_product")
    assert (hit.status, hit.body) == (200, first.body)
    assert hit.headers == {
        "Content-Type": "application/json",
        "Cache-Control": CACHED,  # RFC 9111 §4.2
        "Age": shown,
        "ETag": first.headers["ETag"],
        "X-Cache": "hit",
    }


def test_freshness_is_a_setting(environment: pytest.MonkeyPatch, age_everything: Age) -> None:
    environment.setenv("PRODUCT_CACHE_TTL_SECONDS", "1000")
    call("get_product")
    age_everything(900)
    answer = call("get_product")
    assert answer.headers["X-Cache"] == "hit"
    assert "max-age=1000," in answer.headers["Cache-Control"]


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ("if-none-match", "{}"),
        ("If-None-Match", "W/{}"),
        ("if-none-match", " * "),
        ("if-none-match", '"other", {}'),
        ("if-none-match", 'W/"a,b" ,W/{}'),
    ],
)
def test_etag_is_304_without_a_body(valkey: Valkey, header: str, tags: str, cached: bool) -> None:
    first = call("get_product")
    if not cached:
        valkey.flush()
    answer = call("get_product", headers={header: tags.format(first.headers["ETag"])})
    assert (answer.status, answer.body) == (304, "")
    kept = {"Cache-Control", "Age", "ETag"}  # RFC 9110 §15.4.5
    state = {"X-Cache": "hit" if cached else "miss"}
    assert answer.headers == {name: first.headers[name] for name in kept} | state


@pytest.mark.parametrize("if_none_match", ['"other"', "", "no tag", 'x"', "**", '""'])
def test_another_etag_gets_the_body(if_none_match: str) -> None:
    first = call("get_product")
    answer = call("get_product", headers={"if-none-match": if_none_match})
    assert (answer.status, answer.body) == (200, first.body)


def test_parameter_is_refused_whether_or_not_the_cache_has_the_product() -> None:
    for _ in range(2):
        assert call("get_product", query={"fields": "title"}).wrong == ["query.fields"]
        assert call("get_product").status == 200


def test_stale_product_is_refreshed_or_sent_from_cache_or_copy_when_the_catalog_fails(
    catalog: HostileCatalog, valkey: Valkey, age_everything: Age
) -> None:
    first = call("get_product")
    age_everything(301)
    assert call("get_product").headers["X-Cache"] == "miss"
    age_everything(3_600)
    catalog.answer_all(Says.status(500))
    for _ in range(3):
        answer = call("get_product")
        assert (answer.status, answer.body, answer.headers["X-Cache"]) == (200, first.body, "stale")
        assert 3_600 <= int(answer.headers["Age"]) < 3_700
        assert answer.headers["Cache-Control"] == CACHED
    valkey.flush()
    answer = call("get_product")
    assert (answer.body, answer.headers["X-Cache"]) == (first.body, "stale")


@pytest.mark.parametrize(
    "nothing",
    [Says.null(), Says.raw(b""), Says.raw(b" \n"), Says.raw(b"x", 404)],
    ids=["null", "empty", "blank", "404"],
)
def test_product_that_the_catalog_does_not_have_is_404(catalog: HostileCatalog, nothing: Says) -> None:
    catalog.answer("/products/7", nothing)
    for _ in range(2):
        answer = call("get_product")
        assert (answer.status, answer.problem) == (404, "unknown-product")
    assert catalog.calls == {"/products/7": 1}


@pytest.mark.parametrize("everything", [False, True])
def test_unknown_product_is_503_with_retry_after_when_the_catalog_fails(
    catalog: HostileCatalog,
    environment: pytest.MonkeyPatch,
    valkey: Valkey,
    migrated_postgres: Postgres,
    everything: bool,
) -> None:
    catalog.answer_all(Says.html())
    if everything:
        valkey.stop()
        closed = migrated_postgres.url.replace(f":{migrated_postgres.port}/", ":9/")
        environment.setenv("DATABASE_URL", closed)
        cold_start()
    answer = call("get_product")
    assert (answer.status, answer.problem) == (503, "catalog-unavailable")
    assert int(answer.headers["Retry-After"]) > 0
