import pytest

from shared.formats.headers import etag_of
from shared.products import product_cache
from shared.products.product_cache import Entry
from tests.calls import call
from tests.unit.fakes import NOW, Backends, lease_of_another

pytestmark = pytest.mark.usefixtures("product_function")

BODY = '{"product_id":"7","title":"Teapot","price":22.30}'
ETAG = etag_of(BODY)


def keep(backends: Backends, *, age: float, status: int = 200, body: str = BODY) -> None:
    """Let the cache have product 7 since `age` seconds."""
    product_cache.put("7", Entry(status, 1, NOW - age, body, ETAG))
    backends.valkey.commands.clear()


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


# ── Ids ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("product_id", ["x" * 65, "a b", "7;", "é", "7\n", "\0", "..%2fclients", ""])
def test_an_id_that_no_product_can_have_is_404_without_asking_anybody(
    backends: Backends, product_id: str
) -> None:
    answer = call("get_product", path={"product_id": product_id})
    assert answer.status == 404
    assert answer.problem in ("unknown-product", "not-found")
    assert backends.valkey.commands == []
    assert backends.catalog.asked == []


def test_an_entry_that_cannot_be_read_counts_as_missing(backends: Backends) -> None:
    backends.valkey.values["product:7"] = b"garbage"
    assert product_cache.get("7") is None
