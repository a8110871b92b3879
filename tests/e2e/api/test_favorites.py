"""Favorites over HTTP: add, look up, list, remove."""

import httpx
import pytest

from tests.e2e.api.service import Customer, flat, next_page, problem, walk

SHOWN_OF_PRODUCT = ("product_id", "title", "image", "price", "review")
FAVORITE_KEYS = {*SHOWN_OF_PRODUCT, "available", "price_when_favorited", "price_change", "favorited_at"}


def mark(customer: Customer, *product_ids: str) -> list[str]:
    """Mark the products, one after the other."""
    for product_id in product_ids:
        assert customer.http.put(f"/favorites/{product_id}").status_code == 201
    return list(product_ids)


def listed(customer: Customer, **query: str) -> list[str]:
    answer = customer.http.get("/favorites", params=query)
    assert answer.status_code == 200
    return [favorite["product_id"] for favorite in answer.json()["items"]]


# ── PUT /favorites/{product_id} ───────────────────────────────────────────────────────────────────────────


def test_the_first_put_of_a_product_answers_201_with_the_favorite(
    customer: Customer, visitor: httpx.Client
) -> None:
    product = visitor.get("/products/3").json()
    answer = customer.http.put("/favorites/3")
    assert answer.status_code == 201
    favorite = answer.json()
    assert favorite.keys() == FAVORITE_KEYS
    assert [favorite[key] for key in SHOWN_OF_PRODUCT] == [product[key] for key in SHOWN_OF_PRODUCT]
    assert (favorite["price_when_favorited"], favorite["price_change"]) == (product["price"], 0)
    assert favorite["available"] is True
    assert favorite["favorited_at"].endswith("Z")


def test_the_second_put_of_a_product_answers_200_with_the_same_favorite(customer: Customer) -> None:
    first = customer.http.put("/favorites/3")
    second = customer.http.put("/favorites/3")
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json()
    assert listed(customer) == ["3"]


def test_a_put_needs_no_body_and_ignores_one(customer: Customer) -> None:
    answer = customer.http.put("/favorites/3", content="<not json>", headers={"Content-Type": "text/html"})
    assert answer.status_code == 201


def test_a_put_after_the_removal_is_a_new_favorite(customer: Customer) -> None:
    first = customer.http.put("/favorites/3").json()
    customer.http.delete("/favorites/3")
    again = customer.http.put("/favorites/3")
    assert again.status_code == 201
    assert again.json()["favorited_at"] > first["favorited_at"]


@pytest.mark.parametrize("product_id", ["998", "999", "no-such-product", "x" * 65, "a%20b"])
def test_a_put_of_a_product_that_does_not_exist_is_404_and_no_favorite(
    bystander: Customer, product_id: str
) -> None:
    assert problem(bystander.http.put(f"/favorites/{product_id}")) == (404, "unknown-product")
    assert listed(bystander) == []


# ── POST /favorites ───────────────────────────────────────────────────────────────────────────────────────


def test_a_post_answers_201_with_the_favorite_and_where_it_is(customer: Customer) -> None:
    answer = customer.http.post("/favorites", json={"product_id": "4"})
    assert answer.status_code == 201
    assert answer.json().keys() == FAVORITE_KEYS
    assert answer.headers["location"] == "/favorites/4"
    assert customer.http.get(answer.headers["location"]).json() == answer.json()


def test_the_second_post_of_a_product_is_409(customer: Customer) -> None:
    customer.http.post("/favorites", json={"product_id": "4"})
    answer = customer.http.post("/favorites", json={"product_id": "4"})
    assert problem(answer) == (409, "already-favorite")
    assert listed(customer) == ["4"]


def test_a_post_after_a_put_is_409_and_a_put_after_a_post_200(customer: Customer) -> None:
    customer.http.put("/favorites/4")
    assert problem(customer.http.post("/favorites", json={"product_id": "4"})) == (409, "already-favorite")
    customer.http.post("/favorites", json={"product_id": "5"})
    assert customer.http.put("/favorites/5").status_code == 200


@pytest.mark.parametrize("product_id", ["998", "999", "no-such-product"])
def test_a_post_of_a_product_that_does_not_exist_is_404_and_no_favorite(
    bystander: Customer, product_id: str
) -> None:
    answer = bystander.http.post("/favorites", json={"product_id": product_id})
    assert problem(answer) == (404, "unknown-product")
    assert listed(bystander) == []


@pytest.mark.parametrize("product_id", ["", "a b", "x" * 65, "1/2", "1\n", "\0", "ü", 4, None, ["4"], True])
def test_a_post_of_an_id_that_no_product_can_have_is_422(bystander: Customer, product_id: object) -> None:
    answer = bystander.http.post("/favorites", json={"product_id": product_id})
    assert problem(answer) == (422, "invalid-input")
    assert answer.json()["errors"][0]["location"] == "body.product_id"


# ── GET /favorites/{product_id} ───────────────────────────────────────────────────────────────────────────


def test_a_favorite_can_be_looked_up(customer: Customer) -> None:
    favorite = customer.http.put("/favorites/6").json()
    answer = customer.http.get("/favorites/6")
    assert (answer.status_code, answer.json()) == (200, favorite)
    assert answer.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("product_id", ["7", "999", "no-such-product"])
def test_looking_up_what_is_no_favorite_is_404(bystander: Customer, product_id: str) -> None:
    assert problem(bystander.http.get(f"/favorites/{product_id}")) == (404, "not-favorite")


def test_the_favorite_of_one_customer_is_none_of_another(customer: Customer, other: Customer) -> None:
    mark(customer, "6")
    assert problem(other.http.get("/favorites/6")) == (404, "not-favorite")
    assert problem(other.http.delete("/favorites/6")) == (404, "not-favorite")
    assert listed(other) == []
    assert listed(customer) == ["6"]


# ── GET /favorites ────────────────────────────────────────────────────────────────────────────────────────


def test_a_customer_without_favorites_has_an_empty_page(bystander: Customer) -> None:
    answer = bystander.http.get("/favorites")
    assert answer.status_code == 200
    assert answer.json() == {"items": [], "next_cursor": None, "count": 0}
    assert next_page(answer) is None


def test_favorites_are_listed_as_they_were_answered(customer: Customer) -> None:
    favorite = customer.http.put("/favorites/8").json()
    assert customer.http.get("/favorites").json()["items"] == [favorite]


def test_favorites_are_listed_newest_first(customer: Customer) -> None:
    marked = mark(customer, "9", "2", "11", "1")
    assert listed(customer) == listed(customer, sort="-favorited_at") == marked[::-1]


def test_favorites_are_listed_oldest_first_on_demand(customer: Customer) -> None:
    marked = mark(customer, "9", "2", "11", "1")
    assert listed(customer, sort="favorited_at") == marked


@pytest.mark.parametrize("sort", ["-favorited_at", "favorited_at"])
def test_pages_of_favorites_show_each_once_and_their_links_keep_the_order(
    customer: Customer, sort: str
) -> None:
    marked = mark(customer, *(str(number) for number in range(1, 8)))
    pages = walk(customer.http, f"/favorites?sort={sort}&limit=3")
    assert [len(page) for page in pages] == [3, 3, 1]
    found = [favorite["product_id"] for favorite in flat(pages)]
    assert found == (marked if sort == "favorited_at" else marked[::-1])


def test_a_page_of_favorites_has_20_of_them(customer: Customer) -> None:
    mark(customer, *(str(number) for number in range(1, 22)))
    answer = customer.http.get("/favorites")
    assert len(answer.json()["items"]) == 20
    assert answer.json()["next_cursor"]


def test_a_favorite_added_or_removed_meanwhile_shifts_no_page(customer: Customer) -> None:
    mark(customer, "1", "2", "3", "4", "5")
    first = customer.http.get("/favorites", params={"limit": 2})
    mark(customer, "6")
    customer.http.delete("/favorites/5")
    link = next_page(first)
    assert link is not None
    assert [favorite["product_id"] for favorite in customer.http.get(link).json()["items"]] == ["3", "2"]


def test_the_cursor_of_another_order_is_422(customer: Customer) -> None:
    mark(customer, "1", "2")
    cursor = customer.http.get("/favorites", params={"limit": 1}).json()["next_cursor"]
    answer = customer.http.get("/favorites", params={"sort": "favorited_at", "cursor": cursor})
    assert problem(answer) == (422, "invalid-input")
    assert answer.json()["errors"][0]["location"] == "query.cursor"


def test_the_cursor_of_another_customer_is_422(customer: Customer, other: Customer) -> None:
    mark(customer, "1", "2")
    cursor = customer.http.get("/favorites", params={"limit": 1}).json()["next_cursor"]
    assert problem(other.http.get("/favorites", params={"cursor": cursor})) == (422, "invalid-input")


@pytest.mark.parametrize("sort", ["rating", "", "FAVORITED_AT", "favorited_at;"])
def test_a_sort_that_is_not_offered_is_422(bystander: Customer, sort: str) -> None:
    answer = bystander.http.get("/favorites", params={"sort": sort})
    assert problem(answer) == (422, "invalid-input")
    assert answer.json()["errors"][0]["location"] == "query.sort"


# ── DELETE /favorites/{product_id} ────────────────────────────────────────────────────────────────────────


def test_a_removed_favorite_is_gone(customer: Customer) -> None:
    mark(customer, "1", "2")
    answer = customer.http.delete("/favorites/1")
    assert (answer.status_code, answer.content) == (204, b"")
    assert problem(customer.http.get("/favorites/1")) == (404, "not-favorite")
    assert listed(customer) == ["2"]


def test_a_favorite_can_be_removed_only_once(customer: Customer) -> None:
    mark(customer, "1")
    customer.http.delete("/favorites/1")
    assert problem(customer.http.delete("/favorites/1")) == (404, "not-favorite")


@pytest.mark.parametrize("product_id", ["999", "no-such-product"])
def test_removing_what_is_no_favorite_is_404(bystander: Customer, product_id: str) -> None:
    assert problem(bystander.http.delete(f"/favorites/{product_id}")) == (404, "not-favorite")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("product_id", ["x" * 65, "a%20b", "%C3%A4", "%F0%9F%8D%92", "%00", "%FF"])
def test_an_id_that_no_product_can_have_is_404(bystander: Customer, method: str, product_id: str) -> None:
    assert bystander.http.request(method, f"/favorites/{product_id}").status_code == 404
