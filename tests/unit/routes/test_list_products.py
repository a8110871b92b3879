from urllib.parse import parse_qs, urlsplit

import pytest

from shared.formats.headers import etag_of
from shared.products import product_cache
from shared.products.product_cache import Entry, ListState
from tests.calls import call
from tests.unit.fakes import NOW, Backends, list_was_read

pytestmark = pytest.mark.usefixtures("product_function")

BODY = '{"items":[],"next_cursor":null}'
ETAG = etag_of(BODY)


def keep_list(backends: Backends, *, age: float) -> ListState:
    """Let the list have been read `age` seconds ago."""
    list_was_read(backends.valkey, at=NOW - age)
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


@pytest.mark.parametrize("if_none_match", [ETAG, f"W/{ETAG}", "*", f'"other", {ETAG}'])
def test_who_has_it_already_gets_a_304_without_a_body(backends: Backends, if_none_match: str) -> None:
    keep_page(backends, age=0)
    answer = call("list_products", query={}, headers={"if-none-match": if_none_match})
    assert (answer.status, answer.body) == (304, "")
    assert answer.headers["ETag"] == ETAG
    assert "Content-Type" not in answer.headers


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
    assert not backends.catalog.asked
    again = call("list_products", query={"product_id": "40,7,8,12"}, headers={"if-none-match": "*"})
    assert (again.status, again.headers["ETag"]) == (304, answer.headers["ETag"])


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        *(({"product_id": "7", name: "1"}, f"query.{name}") for name in ("cursor", "category")),
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
    assert backends.catalog.asked == []


@pytest.mark.parametrize("name", ["limit", "sort", "category", "cursor"])
def test_a_repeated_parameter_is_422_and_not_guessed(backends: Backends, name: str) -> None:
    keep_list(backends, age=0)
    answer = call("list_products", rawQueryString=f"{name}=1&{name}=2", queryStringParameters={name: "1,2"})
    assert answer.wrong == [f"query.{name}"]


@pytest.mark.parametrize("name", ["limit", "sort", "cursor"])
def test_an_empty_parameter_is_422_whether_a_page_is_cached_or_not(backends: Backends, name: str) -> None:
    keep_page(backends, age=0)
    assert call("list_products", query={name: ""}).wrong == [f"query.{name}"]


def test_a_misspelled_parameter_is_422_though_the_page_is_cached(backends: Backends) -> None:
    keep_page(backends, age=0)
    assert call("list_products", query={"srot": "price"}).wrong == ["query.srot"]
