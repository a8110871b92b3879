import time
from decimal import Decimal

import pytest
import urllib3

from shared.formats.headers import etag_of
from shared.products import product_cache
from shared.products.product_cache import Entry
from tests.calls import call
from tests.unit import fakes
from tests.unit.fakes import NOON, Backends, FakeAnswer, lease_of_another, list_was_read, product_row

backends = pytest.fixture(fakes.backends)

NOW = NOON.timestamp() + 0.25
NOW_VERSION = int(NOW * 1000)
BODY = '{"product_id":"7","title":"Teapot","price":22.30}'
ETAG = etag_of(BODY)
TEAPOT = {
    "product_id": "7",
    "title": "Teapot",
    "price": Decimal("22.30"),
    "description": "Holds a liter.",
    "category": "kitchen",
    "image": "https://images.test/7.png",
    "review": {"rate": Decimal("4.6"), "count": 120},
}
FROM_CATALOG = (
    b'{"id":7,"title":"Teapot ","price":22.30,"description":"Holds a liter.","category":"kitchen",'
    b'"image":"https://images.test/7.png","rating":{"rate":4.6,"count":120}}'
)
_COPY = "removed_at FROM products WHERE product_id"


@pytest.fixture(autouse=True)
def _product_function(monkeypatch: pytest.MonkeyPatch, backends: Backends) -> None:
    """Time stands still, and there are no keys for access tokens."""
    monkeypatch.setattr(time, "time", lambda: NOW)
    monkeypatch.setattr(time, "time_ns", lambda: NOW_VERSION * 1_000_000)
    monkeypatch.delenv("ACCESS_TOKEN_KEYS")
    backends.postgres.on(
        "SELECT generation, synced_at", [{"generation": 1, "synced_at": None, "is_scheduled": False}]
    )


def keep(backends: Backends, *, age: float, status: int = 200, body: str = BODY) -> None:
    """Let the cache have product 7 since `age` seconds."""
    product_cache.put("7", Entry(status, 1, NOW - age, body, ETAG))
    backends.valkey.commands.clear()


# ── The cache has it ──────────────────────────────────────────────────────────────────────────────────────


def test_a_fresh_product_is_sent_as_it_lies_in_the_cache(backends: Backends) -> None:
    keep(backends, age=100.5)
    answer = call("get_product")
    assert (answer.status, answer.body) == (200, BODY)
    assert answer.headers == {
        "Content-Type": "application/json",
        "Cache-Control": "public, max-age=300, stale-while-revalidate=60, stale-if-error=86400",
        "Age": "100",
        "ETag": ETAG,
        "X-Cache": "hit",
    }


def test_a_hit_is_one_command_and_nothing_else(backends: Backends) -> None:
    keep(backends, age=0)
    call("get_product")
    assert backends.valkey.commands == ["GET"]
    assert backends.postgres.asked == []
    assert backends.catalog.asked == []


@pytest.mark.parametrize(("age", "used_up"), [(0, "0"), (0.2, "0"), (299.9, "299")])
def test_max_age_is_the_whole_lifetime_and_age_what_is_used_up(
    backends: Backends, age: float, used_up: str
) -> None:
    keep(backends, age=age)
    answer = call("get_product")
    assert answer.headers["X-Cache"] == "hit"
    assert answer.headers["Cache-Control"].startswith("public, max-age=300,")
    assert answer.headers["Age"] == used_up


def test_the_freshness_is_a_setting(backends: Backends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRODUCT_CACHE_TTL_SECONDS", "1000")
    keep(backends, age=900)
    answer = call("get_product")
    assert answer.headers["X-Cache"] == "hit"
    assert "max-age=1000," in answer.headers["Cache-Control"]


def test_a_clock_that_is_behind_makes_no_negative_age(backends: Backends) -> None:
    keep(backends, age=-5)
    answer = call("get_product")
    assert answer.headers["Age"] == "0"
    assert "max-age=300," in answer.headers["Cache-Control"]


def test_a_stale_product_is_sent_at_once_while_another_refreshes_it(backends: Backends) -> None:
    keep(backends, age=300)
    lease_of_another(backends.valkey, "product:7")
    answer = call("get_product")
    assert (answer.status, answer.body) == (200, BODY)
    assert answer.headers["X-Cache"] == "stale"
    assert answer.headers["Age"] == "300"
    assert answer.headers["Cache-Control"] == (
        "public, max-age=300, stale-while-revalidate=60, stale-if-error=86400"
    )
    assert backends.valkey.commands == ["GET", "EXISTS"]
    assert backends.catalog.asked == []


@pytest.mark.parametrize(
    "if_none_match",
    [ETAG, f"W/{ETAG}", "*", " * ", f'"other", {ETAG}', f'W/"a,b" ,W/{ETAG}', f'"x",{ETAG},"y"'],
)
@pytest.mark.parametrize("header", ["if-none-match", "If-None-Match"])
def test_who_has_it_already_gets_a_304_without_a_body(
    backends: Backends, if_none_match: str, header: str
) -> None:
    keep(backends, age=100.5)
    answer = call("get_product", headers={header: if_none_match})
    assert (answer.status, answer.body) == (304, "")
    assert answer.headers == {  # RFC 9110 §15.4.5
        "Cache-Control": "public, max-age=300, stale-while-revalidate=60, stale-if-error=86400",
        "Age": "100",
        "ETag": ETAG,
        "X-Cache": "hit",
    }


@pytest.mark.parametrize("if_none_match", ['"other"', "", ETAG.strip('"'), f"x{ETAG[:-2]}", "**"])
def test_who_has_something_else_gets_the_body(backends: Backends, if_none_match: str) -> None:
    keep(backends, age=0)
    answer = call("get_product", headers={"if-none-match": if_none_match})
    assert (answer.status, answer.body) == (200, BODY)


def test_a_product_that_is_known_to_be_unknown_is_404_without_asking(backends: Backends) -> None:
    keep(backends, age=59, status=404, body="")
    answer = call("get_product")
    assert answer.status == 404
    assert answer.problem == "unknown-product"
    assert backends.catalog.asked == []


# ── The cache does not have it ────────────────────────────────────────────────────────────────────────────


def test_a_missing_product_is_fetched_copied_and_kept(backends: Backends) -> None:
    backends.postgres.on("INSERT INTO products", [product_row()])
    backends.catalog.on("/products/7", FakeAnswer(FROM_CATALOG))
    answer = call("get_product")
    assert answer.status == 200
    assert answer.json == TEAPOT
    assert '"price":22.30' in answer.body
    assert answer.headers["X-Cache"] == "miss"
    assert answer.headers["Cache-Control"].startswith("public, max-age=")
    assert call("get_product").headers["X-Cache"] == "hit"
    assert backends.catalog.asked == ["/products/7"]
    (copied,) = backends.postgres.asked_for("INSERT INTO products")
    assert (copied["title"], copied["price"]) == (["Teapot"], [Decimal("22.30")])
    assert copied["version"] == [NOW_VERSION]


def test_a_hit_and_a_miss_answer_with_the_same_bytes_and_etag(backends: Backends) -> None:
    backends.postgres.on("INSERT INTO products", [product_row()])
    backends.catalog.on("/products/7", FakeAnswer(FROM_CATALOG))
    miss, hit = call("get_product"), call("get_product")
    assert (miss.body, miss.headers["ETag"]) == (hit.body, hit.headers["ETag"])
    assert miss.headers.keys() == hit.headers.keys()


def test_a_stale_product_that_nobody_refreshes_is_refreshed(backends: Backends) -> None:
    keep(backends, age=301)
    backends.postgres.on("INSERT INTO products", [product_row()])
    backends.catalog.on("/products/7", FakeAnswer(FROM_CATALOG))
    answer = call("get_product")
    assert answer.json == TEAPOT
    assert answer.headers["X-Cache"] == "miss"
    assert not product_cache.is_leased("product:7")


def test_a_miss_can_be_a_304_too(backends: Backends) -> None:
    backends.postgres.on("INSERT INTO products", [product_row()])
    backends.catalog.on("/products/7", FakeAnswer(FROM_CATALOG))
    etag = call("get_product").headers["ETag"]
    backends.valkey.values.clear()
    answer = call("get_product", headers={"if-none-match": etag})
    assert (answer.status, answer.body) == (304, "")
    assert answer.headers["X-Cache"] == "miss"


@pytest.mark.parametrize(
    "nothing", [FakeAnswer(b"null"), FakeAnswer(b""), FakeAnswer(b" \n"), FakeAnswer(b"x", 404)]
)
def test_a_product_that_the_catalog_does_not_have_is_404_for_a_minute(
    backends: Backends, monkeypatch: pytest.MonkeyPatch, nothing: FakeAnswer
) -> None:
    backends.postgres.on("WITH gone AS", [])
    backends.postgres.on(_COPY, [])
    backends.catalog.on("/products/7", nothing)
    for later, times_asked in ((0, 1), (59, 1), (61, 2)):
        monkeypatch.setattr(time, "time", lambda moment=NOW + later: moment)
        answer = call("get_product")
        assert answer.status == 404
        assert answer.problem == "unknown-product"
        assert len(backends.catalog.asked) == times_asked


def test_when_the_catalog_fails_the_stale_product_is_sent(backends: Backends) -> None:
    keep(backends, age=3_600)
    backends.catalog.on("/products/7", FakeAnswer(b"oops", 500))
    answer = call("get_product")
    assert (answer.status, answer.body) == (200, BODY)
    assert answer.headers["X-Cache"] == "stale"
    assert answer.headers["Age"] == "3600"


def test_after_a_failure_the_catalog_is_left_alone_for_a_moment(backends: Backends) -> None:
    keep(backends, age=3_600)
    backends.catalog.on("/products/7", FakeAnswer(b"oops", 500))
    for _ in range(3):
        assert call("get_product").headers["X-Cache"] == "stale"
    assert len(backends.catalog.asked) == 1
    assert backends.valkey.seconds_to_live["lease:product:7"] == 2


def test_when_the_catalog_fails_and_the_cache_is_empty_the_copy_is_sent(backends: Backends) -> None:
    backends.postgres.on(_COPY, [product_row(fetched_at=NOON)])
    backends.catalog.on("/products/7", urllib3.exceptions.ReadTimeoutError(None, "", ""))  # type: ignore[arg-type]
    answer = call("get_product")
    assert answer.json == TEAPOT
    assert answer.headers["X-Cache"] == "stale"


def test_a_tombstone_in_the_copy_is_404(backends: Backends) -> None:
    backends.postgres.on(_COPY, [product_row(removed_at=NOON)])
    backends.catalog.on("/products/7", OSError())
    assert call("get_product").problem == "unknown-product"


def test_when_nobody_has_it_and_the_catalog_fails_it_is_503_with_retry_after(backends: Backends) -> None:
    backends.postgres.on(_COPY, [])
    backends.catalog.on("/products/7", FakeAnswer(b"<html>", 502))
    answer = call("get_product")
    assert answer.status == 503
    assert answer.problem == "catalog-unavailable"
    assert int(answer.headers["Retry-After"]) > 0
    assert "product:7" not in backends.valkey.values


def test_without_the_database_the_answer_of_the_catalog_is_good_all_the_same(backends: Backends) -> None:
    backends.postgres.is_down = True
    backends.catalog.on("/products/7", FakeAnswer(FROM_CATALOG))
    answer = call("get_product")
    assert answer.json == TEAPOT
    assert answer.headers["X-Cache"] == "miss"


# ── There is no cache ─────────────────────────────────────────────────────────────────────────────────────


def test_without_the_cache_a_fresh_copy_shields_the_catalog(backends: Backends) -> None:
    backends.valkey.is_down = True
    backends.postgres.on(_COPY, [product_row()])
    answer = call("get_product")
    assert answer.json == TEAPOT
    assert answer.headers["X-Cache"] == "miss"
    assert backends.catalog.asked == []


def test_without_the_cache_an_old_copy_is_refreshed(backends: Backends) -> None:
    backends.valkey.is_down = True
    backends.postgres.on(_COPY, [product_row(title="Old", fetched_at=NOON.replace(year=2025))])
    backends.postgres.on("INSERT INTO products", [product_row()])
    backends.catalog.on("/products/7", FakeAnswer(FROM_CATALOG))
    assert call("get_product").json == TEAPOT


def test_without_cache_and_catalog_an_old_copy_is_sent(backends: Backends) -> None:
    backends.valkey.is_down = True
    backends.postgres.on(_COPY, [product_row(fetched_at=NOON.replace(year=2025))])
    backends.catalog.on("/products/7", FakeAnswer(status=500))
    answer = call("get_product")
    assert answer.json == TEAPOT
    assert answer.headers["X-Cache"] == "stale"


def test_a_cache_that_is_down_is_not_asked_again_for_a_second(backends: Backends) -> None:
    backends.valkey.is_down = True
    backends.postgres.on(_COPY, [product_row()])
    call("get_product")
    call("get_product")
    assert backends.valkey.commands == ["GET"]


def test_without_anything_it_is_503(backends: Backends) -> None:
    backends.valkey.is_down = True
    backends.postgres.is_down = True
    backends.catalog.on("/products/7", OSError())
    answer = call("get_product")
    assert answer.status == 503
    assert answer.problem == "catalog-unavailable"


# ── Ids ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("product_id", ["x" * 65, "a b", "7;", "é", "7\n", "\0", "..%2fclients", ""])
def test_an_id_that_no_product_can_have_is_404_without_asking_anybody(
    backends: Backends, product_id: str
) -> None:
    answer = call("get_product", path={"product_id": product_id})
    assert answer.status == 404
    assert answer.problem in ("unknown-product", "not-found")
    assert backends.valkey.commands == []
    assert backends.postgres.asked == []
    assert backends.catalog.asked == []


@pytest.mark.parametrize("product_id", ["abc", "007", "-1", "1.5", "sku-7~x_1"])
def test_the_catalog_is_not_asked_for_an_id_that_it_would_never_answer(
    backends: Backends, product_id: str
) -> None:
    list_was_read(backends.valkey, at=NOW)
    backends.postgres.on(_COPY, [])
    answer = call("get_product", path={"product_id": product_id})
    assert answer.problem == "unknown-product"
    assert backends.catalog.asked == []


def test_an_entry_that_cannot_be_read_counts_as_missing(backends: Backends) -> None:
    backends.valkey.values["product:7"] = b"garbage"
    assert product_cache.get("7") is None
