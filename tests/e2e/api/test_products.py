"""Products over HTTP: pages, details and what a cache in between may do with them."""

import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest
import simplejson

from tests.e2e.api.service import flat, next_page, problem, walk

PRODUCT_KEYS = {"product_id", "title", "price", "description", "category", "image", "review"}
CACHE_CONTROL = re.compile(r"public, max-age=(\d+), stale-while-revalidate=60, stale-if-error=86400")


@pytest.fixture(scope="module")
def products(visitor: httpx.Client) -> list[dict[str, Any]]:
    """All products, in the catalog's order."""
    return flat(walk(visitor, "/products?limit=100"))


# ── GET /products ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_page_of_products_has_20_of_them_and_leads_on(visitor: httpx.Client) -> None:
    answer = visitor.get("/products")
    assert answer.status_code == 200
    assert answer.json().keys() == {"items", "next_cursor"}
    assert len(answer.json()["items"]) == 20
    assert answer.json()["next_cursor"]
    assert next_page(answer)


def test_a_product_has_the_members_of_the_contract(products: list[dict[str, Any]]) -> None:
    assert len(products) >= 60
    for product in products:
        assert product.keys() == PRODUCT_KEYS
        assert isinstance(product["price"], float | int)
        if product["review"] is not None:
            assert product["review"].keys() == {"rate", "count"}


def test_a_product_that_nobody_reviewed_has_null_for_a_review(products: list[dict[str, Any]]) -> None:
    assert None in [product["review"] for product in products]


def test_titles_have_no_space_around_them(products: list[dict[str, Any]]) -> None:
    assert all(product["title"] == product["title"].strip() for product in products)


def test_prices_keep_the_decimals_of_the_catalog(visitor: httpx.Client) -> None:
    # A float would turn 38.90 into 38.9 on its way; some sample prices end in a zero.
    prices = re.findall(r'"price":\s*([0-9.]+)', visitor.get("/products", params={"limit": 100}).text)
    assert any(re.fullmatch(r"\d+\.\d0", price) for price in prices)


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_pages_of_any_size_show_every_product_once_in_the_same_order(
    visitor: httpx.Client, products: list[dict[str, Any]], limit: int
) -> None:
    pages = walk(visitor, f"/products?limit={limit}")
    assert flat(pages) == products
    assert all(len(page) == limit for page in pages[:-1])


def test_the_cursor_of_a_page_leads_where_its_link_leads(visitor: httpx.Client) -> None:
    first = visitor.get("/products", params={"limit": 3})
    link = next_page(first)
    assert link is not None
    by_cursor = visitor.get("/products", params={"limit": 3, "cursor": first.json()["next_cursor"]})
    assert visitor.get(link).json() == by_cursor.json()


def test_a_category_shows_exactly_its_products(visitor: httpx.Client, products: list[dict[str, Any]]) -> None:
    categories = {product["category"] for product in products}
    assert len(categories) >= 6
    for category in categories:
        query = httpx.QueryParams({"category": category, "limit": "4"})
        expected = [product for product in products if product["category"] == category]
        assert flat(walk(visitor, f"/products?{query}")) == expected


def test_a_category_without_products_is_an_empty_page(visitor: httpx.Client) -> None:
    answer = visitor.get("/products", params={"category": "no such category"})
    assert answer.status_code == 200
    assert answer.json() == {"items": [], "next_cursor": None}
    assert next_page(answer) is None


@pytest.mark.parametrize(
    ("sort", "key", "descending"),
    [
        ("price", lambda product: product["price"], False),
        ("-price", lambda product: product["price"], True),
        ("title", lambda product: product["title"].casefold(), False),
        ("-title", lambda product: product["title"].casefold(), True),
    ],
)
def test_sorted_pages_are_in_order_and_complete(
    visitor: httpx.Client,
    products: list[dict[str, Any]],
    sort: str,
    key: Callable[[dict[str, Any]], Any],
    descending: bool,
) -> None:
    found = flat(walk(visitor, f"/products?sort={sort}&limit=9"))
    keys = [key(product) for product in found]
    assert keys == sorted(keys, reverse=descending)
    assert sorted(product["product_id"] for product in found) == sorted(
        product["product_id"] for product in products
    )


def test_a_category_can_be_sorted(visitor: httpx.Client, products: list[dict[str, Any]]) -> None:
    category = products[0]["category"]
    query = httpx.QueryParams({"category": category, "sort": "-price", "limit": "3"})
    found = flat(walk(visitor, f"/products?{query}"))
    prices = [product["price"] for product in found]
    assert prices == sorted(prices, reverse=True)
    assert {product["category"] for product in found} == {category}


@pytest.mark.smoke
@pytest.mark.parametrize("sort", ["favorited_at", "PRICE", "price,title", "", "--price"])
def test_a_sort_that_is_not_offered_is_422(visitor: httpx.Client, sort: str) -> None:
    answer = visitor.get("/products", params={"sort": sort})
    assert problem(answer) == (422, "invalid-input")
    assert answer.json()["errors"][0]["location"] == "query.sort"


@pytest.mark.parametrize("other", [{"sort": "price"}, {"category": "kitchen"}, {"sort": "-title"}])
def test_a_cursor_of_another_order_or_category_is_422(visitor: httpx.Client, other: dict[str, str]) -> None:
    cursor = visitor.get("/products", params={"limit": 1}).json()["next_cursor"]
    answer = visitor.get("/products", params={**other, "cursor": cursor})
    assert problem(answer) == (422, "invalid-input")
    assert answer.json()["errors"][0]["location"] == "query.cursor"


# ── GET /products/{product_id} ────────────────────────────────────────────────────────────────────────────


def test_a_product_by_its_id_is_the_one_of_the_list(
    visitor: httpx.Client, products: list[dict[str, Any]]
) -> None:
    for product in products[::13]:
        answer = visitor.get(f"/products/{product['product_id']}")
        assert answer.status_code == 200
        assert answer.json() == product


def test_the_price_of_a_product_is_the_same_number_in_detail_and_list(visitor: httpx.Client) -> None:
    listed = simplejson.loads(visitor.get("/products").text, use_decimal=True)["items"][0]
    detail = simplejson.loads(visitor.get(f"/products/{listed['product_id']}").text, use_decimal=True)
    assert isinstance(detail["price"], Decimal | int)
    assert str(detail["price"]) == str(listed["price"])


@pytest.mark.parametrize("product_id", ["998", "999", "no-such-product", "~", "0", "-1", "9" * 64])
def test_a_product_that_the_catalog_does_not_have_is_404(visitor: httpx.Client, product_id: str) -> None:
    assert problem(visitor.get(f"/products/{product_id}")) == (404, "unknown-product")


@pytest.mark.smoke
@pytest.mark.parametrize("product_id", ["x" * 65, "a b", "ä", "1;2", "%25", "1'--", "*"])
def test_an_id_that_no_product_can_have_is_404(visitor: httpx.Client, product_id: str) -> None:
    assert problem(visitor.get(f"/products/{product_id}")) == (404, "unknown-product")


@pytest.mark.parametrize("product_id", ["01", "1.0", "1~"])
def test_an_id_that_is_almost_another_is_not_that_product(visitor: httpx.Client, product_id: str) -> None:
    assert problem(visitor.get(f"/products/{product_id}")) == (404, "unknown-product")


# ── Caching ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", ["/products", "/products?sort=price&limit=5", "/products/1"])
def test_an_answer_says_how_long_it_is_fresh_and_how_old_it_is(visitor: httpx.Client, path: str) -> None:
    answer = visitor.get(path)
    cache_control = CACHE_CONTROL.fullmatch(answer.headers["cache-control"])
    assert cache_control
    assert int(cache_control[1]) == 300  # the whole lifetime, whatever is used up of it (RFC 9111 §4.2)
    assert 0 <= int(answer.headers["age"]) < 300


@pytest.mark.parametrize("path", ["/products", "/products/1"])
def test_an_answer_that_the_caller_has_is_not_sent_again(visitor: httpx.Client, path: str) -> None:
    first = visitor.get(path)
    etag = first.headers["etag"]
    assert re.fullmatch(r'"[^"]+"', etag)
    again = visitor.get(path, headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == etag
    assert CACHE_CONTROL.fullmatch(again.headers["cache-control"])
    assert again.headers.get("link") == first.headers.get("link")


@pytest.mark.parametrize("tags", ['"other", {}', "W/{}", "*", '{}, "other"'])
def test_if_none_match_may_be_a_list_weak_or_anything(visitor: httpx.Client, tags: str) -> None:
    etag = visitor.get("/products/1").headers["etag"]
    answer = visitor.get("/products/1", headers={"If-None-Match": tags.format(etag)})
    assert answer.status_code == 304


@pytest.mark.parametrize("tag", ['"other"', "nonsense", '""', ""])
def test_an_answer_that_the_caller_does_not_have_is_sent(visitor: httpx.Client, tag: str) -> None:
    assert visitor.get("/products/1", headers={"If-None-Match": tag}).status_code == 200


def test_different_products_have_different_etags(visitor: httpx.Client) -> None:
    etags = {visitor.get(f"/products/{number}").headers["etag"] for number in (1, 2, 3)}
    assert len(etags) == 3


def test_a_page_is_made_for_the_first_caller_and_kept_for_the_next(visitor: httpx.Client) -> None:
    category = visitor.get("/products/1").json()["category"]
    unasked = {"category": category, "sort": "-title", "limit": 41}
    states = [visitor.get("/products", params=unasked).headers["x-cache"] for _ in range(3)]
    assert states == ["miss", "hit", "hit"]


def test_a_page_of_a_category_that_somebody_made_up_is_not_kept(visitor: httpx.Client) -> None:
    made_up = {"category": f"made up {uuid.uuid4()}"}
    states = [visitor.get("/products", params=made_up).headers["x-cache"] for _ in range(2)]
    assert states == ["miss", "miss"]


def test_products_by_their_ids_come_in_one_answer(visitor: httpx.Client) -> None:
    for query in ("product_id=3,99999,1", "product_id=3&product_id=99999&product_id=1"):
        answer = visitor.get(f"/products?{query}")
        assert [item["product_id"] for item in answer.json()["items"]] == ["3", "1"]
        assert answer.json()["missing"] == ["99999"]
    assert answer.json()["items"][1] == visitor.get("/products/1").json()
    again = visitor.get(f"/products?{query}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert visitor.get(f"/products?{query}&limit=20").json() == answer.json()  # a generated client sends it
    for name, value in (("limit", "0"), ("category", "x"), ("sort", "price"), ("cursor", "x")):
        assert visitor.get(f"/products?{query}&{name}={value}").status_code == 422


def test_a_product_is_kept_for_the_next_caller(visitor: httpx.Client) -> None:
    visitor.get("/products/2")
    assert visitor.get("/products/2").headers["x-cache"] == "hit"


def test_products_need_no_caller_and_ignore_a_bad_token(visitor: httpx.Client) -> None:
    answer = visitor.get("/products/1", headers={"Authorization": "Bearer nonsense"})
    assert answer.status_code == 200
