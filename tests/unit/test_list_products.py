import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.formats.headers import etag_of
from shared.products import demand, product_cache
from shared.products.product_cache import Entry, ListState
from tests.calls import call
from tests.unit import fakes
from tests.unit.fakes import NOON, Backends, FakeAnswer, lease_of_another, list_was_read, product_row
from tests.unit.test_get_product import TEAPOT

backends = pytest.fixture(fakes.backends)

NOW = NOON.timestamp() + 0.25
BODY = '{"items":[],"next_cursor":null}'
ETAG = etag_of(BODY)
CATALOG = FakeAnswer(b'[{"id":7,"title":"Teapot","price":22.30},{"id":8,"title":"Kettle","price":60}]')
_KNOWN = "SELECT product_id, position FROM products"
_LISTING = "SELECT generation, synced_at"
_SYNCED = "UPDATE product_list SET synced_at"
_WRITE = "WITH seen AS"
_PAGE = "WHERE removed_at IS NULL AND (%(category)s::text"


@pytest.fixture(autouse=True)
def _product_function(monkeypatch: pytest.MonkeyPatch, backends: Backends) -> None:
    """Time stands still, there are no keys for access tokens, and a list that is read is written."""
    monkeypatch.setattr(time, "time", lambda: NOW)
    monkeypatch.setattr(time, "time_ns", lambda: int(NOW * 1_000) * 1_000_000)
    monkeypatch.delenv("ACCESS_TOKEN_KEYS")
    backends.postgres.on(_KNOWN, [])
    backends.postgres.on(_LISTING, [listing()])
    backends.postgres.on(_SYNCED, [{"generation": 1}])
    backends.postgres.on(_WRITE, [product_row(changed=True), product_row(product_id="8", changed=True)])
    backends.postgres.on(_PAGE, [product_row(), product_row(product_id="8", title="Kettle")])


def listing(*, age: float | None = None, is_scheduled: bool = False) -> fakes.Row:
    """The state of a list that was read `age` seconds ago, or never."""
    synced_at = None if age is None else datetime.fromtimestamp(NOW - age, UTC)
    return {"generation": 1, "synced_at": synced_at, "is_scheduled": is_scheduled}


def keep_list(backends: Backends, *, age: float) -> ListState:
    """Let the list have been read `age` seconds ago."""
    list_was_read(backends.valkey, at=NOW - age)
    backends.postgres.on(_LISTING, [listing(age=age)])
    state = product_cache.list_state()
    assert state is not None
    return state


def keep_page(backends: Backends, *, age: float, **parameters: str | None) -> None:
    """Let the cache have a page of the list as it was `age` seconds ago; the default one, if not said."""
    wanted: dict[str, str | None] = {"limit": "20", "cursor": None, "category": None, "sort": None}
    place = product_cache.place_of(**(wanted | parameters))  # type: ignore[arg-type]
    assert place is not None
    product_cache.put_page(
        keep_list(backends, age=age), place, Entry(200, 0, 0, BODY, ETAG, next_cursor="abc")
    )
    backends.valkey.commands.clear()


# ── The cache has it ──────────────────────────────────────────────────────────────────────────────────────


def test_a_fresh_page_is_sent_as_it_lies_in_the_cache(backends: Backends) -> None:
    keep_page(backends, age=100.5, sort="price")
    answer = call("list_products")
    assert (answer.status, answer.body) == (200, BODY)
    assert answer.headers == {
        "Content-Type": "application/json",
        "Cache-Control": "public, max-age=300, stale-while-revalidate=60, stale-if-error=86400",
        "Age": "100",
        "ETag": ETAG,
        "X-Cache": "hit",
        "Link": '</products?limit=20&sort=price&cursor=abc>; rel="next"',
    }
    assert backends.valkey.commands == ["HMGET", "GET"]
    assert backends.postgres.asked == []
    assert backends.catalog.asked == []


def test_without_parameters_it_is_the_page_of_20_in_the_order_of_the_catalog(backends: Backends) -> None:
    keep_page(backends, age=0)
    answer = call("list_products", query={})
    assert answer.headers["X-Cache"] == "hit"
    assert answer.headers["Link"] == '</products?cursor=abc>; rel="next"'


def test_the_link_repeats_the_parameters_of_the_request(backends: Backends) -> None:
    parameters = {"limit": "5", "category": 'men\'s "best" & more,ça', "sort": "-title"}
    keep_page(backends, age=0, **parameters)
    target, relation = call("list_products", query=parameters).headers["Link"].split("; ")
    assert relation == 'rel="next"'
    address = urlsplit(target.strip("<>"))
    assert parse_qs(address.query) == {name: [value] for name, value in parameters.items()} | {
        "cursor": ["abc"]
    }
    target.encode("ascii")  # a header's value


def test_a_stale_page_is_sent_at_once_while_another_reads_the_list(backends: Backends) -> None:
    keep_page(backends, age=301)
    lease_of_another(backends.valkey, "products")
    answer = call("list_products", query={})
    assert (answer.status, answer.body) == (200, BODY)
    assert answer.headers["X-Cache"] == "stale"
    assert answer.headers["Age"] == "301"
    assert answer.headers["Cache-Control"].startswith("public, max-age=300,")


@pytest.mark.parametrize("if_none_match", [ETAG, f"W/{ETAG}", "*", f'"other", {ETAG}'])
def test_who_has_it_already_gets_a_304_without_a_body(backends: Backends, if_none_match: str) -> None:
    keep_page(backends, age=0)
    answer = call("list_products", query={}, headers={"if-none-match": if_none_match})
    assert (answer.status, answer.body) == (304, "")
    assert answer.headers["ETag"] == ETAG
    assert "Content-Type" not in answer.headers


# ── The cache does not have it ────────────────────────────────────────────────────────────────────────────


def test_the_first_request_reads_the_catalog_and_answers_from_the_copy(backends: Backends) -> None:
    backends.catalog.on("/products", CATALOG)
    answer = call("list_products", query={})
    assert answer.status == 200
    assert answer.json == {
        "items": [TEAPOT, TEAPOT | {"product_id": "8", "title": "Kettle"}],
        "next_cursor": None,
    }
    assert '"price":22.30' in answer.body
    assert answer.headers["X-Cache"] == "miss"
    (written,) = backends.postgres.asked_for(_WRITE)
    assert written["product_id"] == ["7", "8"]
    assert written["price"] == [Decimal("22.30"), Decimal(60)]


def test_the_second_request_is_a_hit_with_the_same_bytes(backends: Backends) -> None:
    backends.catalog.on("/products", CATALOG)
    miss, hit = call("list_products", query={}), call("list_products", query={})
    assert hit.headers["X-Cache"] == "hit"
    assert (miss.body, miss.headers["ETag"]) == (hit.body, hit.headers["ETag"])
    assert backends.catalog.asked == ["/products"]


def test_another_page_of_a_fresh_list_does_not_ask_the_catalog(backends: Backends) -> None:
    keep_list(backends, age=10)
    answer = call("list_products", query={"limit": "50"})
    assert answer.headers["X-Cache"] == "miss"
    assert answer.headers["Age"] == "10"
    assert backends.catalog.asked == []


def test_the_next_page_begins_where_this_one_ends(backends: Backends) -> None:
    keep_list(backends, age=0)
    first = call("list_products", query={"limit": "1", "sort": "price"})
    assert [item["product_id"] for item in first.json["items"]] == ["7"]
    assert f"cursor={first.json['next_cursor']}" in first.headers["Link"]
    call("list_products", query={"limit": "1", "sort": "price", "cursor": first.json["next_cursor"]})
    start, following = backends.postgres.asked_for(_PAGE)
    assert start == {"category": None, "value": None, "product_id": None, "limit": 2}
    assert following == {"category": None, "value": Decimal("22.30"), "product_id": "7", "limit": 2}


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        (None, "ORDER BY position ASC, product_id ASC"),
        ("price", "ORDER BY price ASC, product_id ASC"),
        ("-price", "ORDER BY price DESC, product_id DESC"),
        ("title", "ORDER BY title ASC, product_id ASC"),
        ("-title", "ORDER BY title DESC, product_id DESC"),
    ],
)
def test_each_order_has_its_statement(backends: Backends, sort: str | None, order: str) -> None:
    keep_list(backends, age=0)
    call("list_products", query={"sort": sort} if sort else {})
    assert order in backends.postgres.statements[-1]


@pytest.mark.parametrize("category", ["kitchen", "Home, Garden", "", "men's clothing"])
def test_a_category_is_looked_for_as_it_is(backends: Backends, category: str) -> None:
    keep_list(backends, age=0)
    call("list_products", query={"category": category})
    assert backends.postgres.asked_for(_PAGE)[0]["category"] == category


def test_an_empty_category_is_not_all_products(backends: Backends) -> None:
    keep_page(backends, age=0)
    assert call("list_products", query={"category": ""}).headers["X-Cache"] == "miss"


def test_when_the_catalog_fails_the_stale_page_is_sent(backends: Backends) -> None:
    keep_page(backends, age=3_600)
    backends.catalog.on("/products", FakeAnswer(status=500))
    answer = call("list_products", query={})
    assert (answer.status, answer.body) == (200, BODY)
    assert answer.headers["X-Cache"] == "stale"
    assert answer.headers["Age"] == "3600"


def test_when_the_catalog_fails_and_the_cache_is_empty_the_copy_is_sent(backends: Backends) -> None:
    backends.postgres.on(_LISTING, [listing(age=301)])
    backends.catalog.on("/products", FakeAnswer(b"[", 200))
    answer = call("list_products", query={})
    assert [item["product_id"] for item in answer.json["items"]] == ["7", "8"]
    assert answer.headers["X-Cache"] == "stale"


def test_without_catalog_and_copy_it_is_503_with_retry_after(backends: Backends) -> None:
    backends.catalog.on("/products", TimeoutError())
    answer = call("list_products", query={})
    assert answer.status == 503
    assert answer.problem == "catalog-unavailable"
    assert int(answer.headers["Retry-After"]) > 0
    assert call("list_products", query={}).status == 503
    assert len(backends.catalog.asked) == 1  # the second one did not try at once


def test_a_list_that_lost_most_products_is_not_believed(backends: Backends) -> None:
    keep_page(backends, age=3_600)
    backends.postgres.on(_KNOWN, [{"product_id": f"p{i}", "position": i} for i in range(60)])
    backends.catalog.on("/products", CATALOG)
    answer = call("list_products", query={})
    assert answer.headers["X-Cache"] == "stale"
    assert backends.postgres.asked_for("INSERT INTO products") == []


def test_products_that_the_list_no_longer_has_are_removed_from_the_copy(backends: Backends) -> None:
    known = [{"product_id": name, "position": 1} for name in ("7", "gone")]
    backends.postgres.on(_KNOWN, known)
    backends.postgres.on("WITH gone AS", [product_row(product_id="gone", removed_at=NOON, changed=True)])
    backends.postgres.on("SELECT product_id FROM products_missed", [{"product_id": "gone"}])
    backends.postgres.on("INSERT INTO products_missed", 0)
    backends.catalog.on("/products", CATALOG)
    assert call("list_products", query={}).status == 200
    (removed,) = backends.postgres.asked_for("WITH gone AS")
    assert removed["product_ids"] == ["gone"]


def test_a_list_that_changed_makes_no_use_of_pages_of_the_one_before(backends: Backends) -> None:
    keep_page(backends, age=301)
    backends.postgres.on(_SYNCED, [{"generation": 2}])
    backends.catalog.on("/products", CATALOG)
    answer = call("list_products", query={})
    assert answer.headers["X-Cache"] == "miss"
    assert answer.body != BODY


def test_a_list_that_is_the_same_keeps_its_pages(backends: Backends) -> None:
    keep_page(backends, age=301)
    backends.catalog.on("/products", CATALOG)
    answer = call("list_products", query={})
    assert (answer.status, answer.body) == (200, BODY)
    assert answer.headers["Age"] == "0"


def test_without_the_cache_the_catalog_is_read_once_in_its_time(backends: Backends) -> None:
    backends.valkey.is_down = True
    backends.postgres.on(_LISTING, [listing()], [listing()], [listing(age=0)])
    backends.catalog.on("/products", CATALOG)
    for _ in range(3):
        answer = call("list_products", query={})
        assert answer.status == 200
        assert answer.headers["X-Cache"] == "miss"
    assert backends.catalog.asked == ["/products"]


def test_where_the_schedule_runs_the_list_is_left_to_it(backends: Backends) -> None:
    keep_page(backends, age=3_600)
    backends.postgres.on(_LISTING, [listing(age=3_600, is_scheduled=True)])
    backends.catalog.on("/products", CATALOG)
    answer = call("list_products", query={})
    assert (answer.body, answer.headers["X-Cache"]) == (BODY, "stale")
    assert backends.catalog.asked == []


def test_a_list_that_the_cache_forgot_is_read_from_the_copy(backends: Backends) -> None:
    backends.postgres.on(_LISTING, [listing(age=10)])
    answers = [call("list_products", query={}) for _ in range(2)]
    assert [answer.headers["X-Cache"] for answer in answers] == ["miss", "hit"]
    assert backends.catalog.asked == []


def test_a_list_too_long_for_a_request_is_told_once(
    backends: Backends, caplog: pytest.LogCaptureFixture
) -> None:
    keep_page(backends, age=301)
    backends.catalog.on("/products", FakeAnswer(b"[" + b" " * demand.LIST_BYTES))
    for _ in range(3):
        assert call("list_products", query={}).headers["X-Cache"] == "stale"
    assert caplog.messages.count("list too long for a request") == 1
    assert backends.catalog.asked == ["/products"]


def test_what_follows_a_cursor_is_made_of_the_copy_and_not_kept(
    backends: Backends, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_list(backends, age=0)
    cursor = call("list_products", query={"limit": "1"}).json["next_cursor"]
    kept = set(backends.valkey.values)
    for _ in range(2):
        answer = call("list_products", query={"limit": "1", "cursor": cursor})
        assert answer.headers["X-Cache"] == "miss"
    assert set(backends.valkey.values) == kept
    assert capsys.readouterr().out.count('"state": "copy"') == 2  # which is no miss of the cache


def test_a_category_that_no_product_has_is_not_kept(backends: Backends) -> None:
    keep_list(backends, age=0)
    backends.postgres.on(_PAGE, [])
    kept = set(backends.valkey.values)
    call("list_products", query={"category": "made up"})
    assert set(backends.valkey.values) == kept


# ── Products by their ids ─────────────────────────────────────────────────────────────────────────────────

_FIND_ALL = "WHERE product_id = ANY"


def keep_product(backends: Backends, product_id: str, *, age: float, status: int = 200) -> None:
    """Let the cache have the product, or that it is gone, since `age` seconds."""
    body = f'{{"product_id":"{product_id}"}}' if status == 200 else ""
    product_cache.put(product_id, Entry(status, int((NOW - age) * 1000), NOW - age, body, ETAG))
    backends.valkey.commands.clear()


def test_products_are_sent_in_the_order_asked_in_one_round_trip(backends: Backends) -> None:
    for number, age in (("7", 100.5), ("12", 10.0), ("40", 0.0)):
        keep_product(backends, number, age=age)
    keep_product(backends, "8", age=20, status=404)
    answer = call("list_products", query={"product_id": "40,7,8,12,7"})
    assert answer.body == (
        '{"items":[{"product_id":"40"},{"product_id":"7"},{"product_id":"12"}],"missing":["8"]}'
    )
    assert answer.headers["X-Cache"] == "hit"
    assert answer.headers["Age"] == "100"  # of the oldest
    # What is missing is so for 60 s, of which 20 are over.
    assert answer.headers["Cache-Control"].startswith("public, max-age=140,")
    assert not backends.postgres.asked
    assert not backends.catalog.asked
    again = call("list_products", query={"product_id": "40,7,8,12"}, headers={"if-none-match": "*"})
    assert (again.status, again.headers["ETag"]) == (304, answer.headers["ETag"])


def test_what_the_cache_lacks_is_taken_from_the_copy_in_one_statement(backends: Backends) -> None:
    keep_product(backends, "7", age=0)
    keep_product(backends, "9", age=301)
    copied = [product_row(product_id=number, fetched_at=NOON) for number in ("9", "8")]
    backends.postgres.on(_FIND_ALL, copied)
    answer = call("list_products", query={"product_id": "8,7,9"})
    assert [item["product_id"] for item in answer.json["items"]] == ["8", "7", "9"]
    assert answer.headers["X-Cache"] == "miss"
    (asked,) = backends.postgres.asked_for(_FIND_ALL)
    assert asked["product_ids"] == ["8", "9"]
    assert backends.catalog.asked == []
    assert call("list_products", query={"product_id": "8,7,9"}).headers["X-Cache"] == "hit"


def test_an_old_copy_is_sent_as_stale_and_the_catalog_left_alone(backends: Backends) -> None:
    backends.postgres.on(_FIND_ALL, [product_row(fetched_at=NOON - timedelta(hours=1))])
    answer = call("list_products", query={"product_id": "7"})
    assert answer.headers["X-Cache"] == "stale"
    assert int(answer.headers["Age"]) == 3_600
    assert backends.catalog.asked == []


def test_the_catalog_is_asked_for_what_neither_has(backends: Backends) -> None:
    backends.postgres.on(_FIND_ALL, [product_row(fetched_at=NOON)])
    backends.postgres.on("WHERE product_id = %(product_id)s", [])
    backends.postgres.on("WITH gone AS", [])
    backends.postgres.on(_WRITE, [product_row(product_id="9", fetched_at=NOON)])
    backends.catalog.on("/products/8", FakeAnswer(b"null"))
    backends.catalog.on("/products/9", FakeAnswer(b'{"id":9,"title":"Kettle","price":60}'))
    answer = call("list_products", query={"product_id": "8,7,9"})
    assert [item["product_id"] for item in answer.json["items"]] == ["7", "9"]
    assert answer.json["missing"] == ["8"]
    assert answer.headers["X-Cache"] == "miss"
    assert backends.catalog.asked == ["/products/8", "/products/9"]


def test_what_a_silent_catalog_does_not_confirm_is_missing_in_an_answer_not_to_be_kept(
    backends: Backends,
) -> None:
    backends.postgres.on(_FIND_ALL, [product_row(fetched_at=NOON)])
    backends.postgres.on("WHERE product_id = %(product_id)s", [])
    backends.catalog.on("/products/8", TimeoutError())
    answer = call("list_products", query={"product_id": "8,7,9"})
    assert answer.status == 200
    assert [item["product_id"] for item in answer.json["items"]] == ["7"]
    assert answer.json["missing"] == ["8", "9"]
    assert answer.headers["X-Cache"] == "stale"
    assert int(answer.headers["Age"]) >= int(
        answer.headers["Cache-Control"].split("max-age=")[1].partition(",")[0]
    )
    assert backends.catalog.asked == ["/products/8"]  # and it was not tried again


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        *(({"product_id": "7", name: "1"}, f"query.{name}") for name in ("limit", "cursor", "category")),
        ({"product_id": "7", "sort": "price"}, "query.sort"),
        ({"product_id": ",".join(map(str, range(101)))}, "query.product_id"),
        ({"product_id": ""}, "query.product_id.0"),
        ({"product_id": "7,"}, "query.product_id.1"),
        ({"product_id": "7,a b"}, "query.product_id.1"),
        ({"product_id": "x" * 65}, "query.product_id.0"),
        ({"product_id": "7", "colour": "red"}, "query.colour"),
    ],
)
def test_ids_that_cannot_be_and_what_does_not_go_with_them_are_422(
    backends: Backends, query: dict[str, str], wrong: str
) -> None:
    answer = call("list_products", query=query)
    assert (answer.status, answer.wrong) == (422, [wrong])
    assert not backends.postgres.asked
    assert not backends.catalog.asked


def test_a_hundred_products_may_be_asked_for(backends: Backends) -> None:
    for number in range(100):
        keep_product(backends, str(number), age=0)
    answer = call("list_products", query={"product_id": ",".join(map(str, range(100)))})
    assert len(answer.json["items"]) == 100
    assert answer.headers["X-Cache"] == "hit"


# ── Parameters ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ({"limit": "0"}, ["query.limit"]),
        ({"limit": "101"}, ["query.limit"]),
        ({"limit": "abc"}, ["query.limit"]),
        ({"limit": "-5"}, ["query.limit"]),
        ({"limit": "1e1"}, ["query.limit"]),
        ({"limit": ""}, ["query.limit"]),
        ({"sort": "rating"}, ["query.sort"]),
        ({"sort": ""}, ["query.sort"]),
        ({"sort": "price,title"}, ["query.sort"]),
        ({"category": "x" * 201}, ["query.category"]),
        ({"cursor": ""}, ["query.cursor"]),
        ({"cursor": "x" * 2_001}, ["query.cursor"]),
        ({"cursor": "forged"}, ["query.cursor"]),
        ({"cursor": "Zm9yZ2VkIGJ1dCBiYXNlNjQ"}, ["query.cursor"]),
        ({"limit": "0", "sort": "x"}, ["query.limit", "query.sort"]),
    ],
)
def test_bad_input_is_422_and_named(backends: Backends, query: dict[str, str], wrong: list[str]) -> None:
    keep_page(backends, age=0)
    answer = call("list_products", query=query)
    assert answer.status == 422
    assert answer.wrong == wrong
    assert backends.postgres.asked == []
    assert backends.catalog.asked == []


@pytest.mark.parametrize(
    "other",
    [{"sort": "title"}, {"sort": "price", "category": "kitchen"}, {"sort": "price", "category": ""}, {}],
)
def test_a_cursor_is_good_for_its_own_order_and_category_only(
    backends: Backends, other: dict[str, str]
) -> None:
    keep_list(backends, age=0)
    cursor = call("list_products", query={"limit": "1", "sort": "price"}).json["next_cursor"]
    assert call("list_products", query=other | {"cursor": cursor}).wrong == ["query.cursor"]
    assert len(backends.postgres.asked_for(_PAGE)) == 1


@pytest.mark.parametrize("name", ["limit", "sort", "category", "cursor"])
def test_a_repeated_parameter_is_422_and_not_guessed(backends: Backends, name: str) -> None:
    keep_list(backends, age=0)
    answer = call("list_products", rawQueryString=f"{name}=1&{name}=2", queryStringParameters={name: "1,2"})
    assert answer.wrong == [f"query.{name}"]
    assert backends.postgres.asked == []


@pytest.mark.parametrize("name", ["limit", "sort", "cursor"])
def test_an_empty_parameter_is_422_whether_a_page_is_cached_or_not(backends: Backends, name: str) -> None:
    keep_page(backends, age=0)
    assert call("list_products", query={name: ""}).wrong == [f"query.{name}"]


def test_a_misspelt_parameter_is_422_though_the_page_is_cached(backends: Backends) -> None:
    keep_page(backends, age=0)
    assert call("list_products", query={"srot": "price"}).wrong == ["query.srot"]
