"""What a shop's pages ask over HTTP: ids, many changes at once, lists in other orders, HEAD and 304."""

import httpx
import pytest

from tests.e2e.api.service import Customer, flat, problem, walk


@pytest.fixture
def holder(customer: Customer) -> Customer:
    """A customer who holds 3, 7 and 12."""
    answer = customer.http.post(
        "/favorite-changes", json={"add": [{"product_id": n} for n in ("3", "7", "12")]}
    )
    assert answer.status_code == 200
    assert sorted(answer.json()["added"]) == ["12", "3", "7"]
    return customer


def test_those_of_the_products_that_are_favorites_come_in_the_order_asked(holder: Customer) -> None:
    for address in ("product_id=12,1,3", "product_id=12&product_id=1&product_id=3"):
        answer = holder.http.get(f"/favorite-ids?{address}")
        assert answer.json() == {"product_ids": ["12", "3"], "next_cursor": None, "count": 3, "max": 5000}


def test_nothing_is_sent_again_until_a_favorite_changes(holder: Customer, other: Customer) -> None:
    etag = holder.http.get("/favorite-ids").headers["etag"]
    known = {"If-None-Match": etag}
    assert holder.http.get("/favorite-ids", headers=known).status_code == 304
    assert other.http.get("/favorite-ids", headers=known).status_code == 200
    holder.http.delete("/favorites/7")
    assert holder.http.get("/favorite-ids", headers=known).json()["count"] == 2


def test_a_merge_that_is_repeated_changes_nothing(holder: Customer) -> None:
    merge = {"add": [{"product_id": "3"}, {"product_id": "5"}, {"product_id": "998"}], "remove": ["7", "1"]}
    first, again = (holder.http.post("/favorite-changes", json=merge).json() for _ in range(2))
    refused = [{"product_id": "998", "type": "/problems/unknown-product"}]
    assert first == {
        "added": ["5"],
        "already": ["3"],
        "removed": ["7"],
        "absent": ["1"],
        "refused": refused,
        "count": 3,
    }
    assert again == {
        "added": [],
        "already": ["3", "5"],
        "removed": [],
        "absent": ["7", "1"],
        "refused": refused,
        "count": 3,
    }


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"remove": ["3", "3"]},
        {"add": [{"product_id": "3"}], "remove": ["3"]},
        {"add": [{"product_id": "3", "favorited_at": "2999-01-01T00:00:00Z"}]},
        {"remove": [str(number) for number in range(101)]},
    ],
)
def test_changes_that_are_not_as_they_have_to_be_are_422(bystander: Customer, body: object) -> None:
    assert problem(bystander.http.post("/favorite-changes", json=body)) == (422, "invalid-input")


@pytest.mark.parametrize("sort", ["price", "-price", "title"])
def test_a_list_has_the_order_that_is_asked_for(holder: Customer, sort: str) -> None:
    items = flat(walk(holder.http, f"/favorites?limit=1&sort={sort}"))
    values = [item[sort.lstrip("-")] for item in items]
    assert len(items) == 3
    assert values == sorted(values, reverse=sort.startswith("-"))


def test_a_list_may_leave_others_out(holder: Customer, visitor: httpx.Client) -> None:
    category = visitor.get("/products/3").json()["category"]
    page = holder.http.get("/favorites", params={"category": category, "available": "true"}).json()
    assert "3" in [item["product_id"] for item in page["items"]]
    assert page["count"] == 3
    assert holder.http.get("/favorites", params={"price_dropped": "true"}).json()["items"] == []


@pytest.mark.parametrize("path", ["/favorites/7", "/favorites", "/favorite-ids?product_id=7"])
def test_who_has_it_already_gets_a_304(holder: Customer, path: str) -> None:
    first = holder.http.get(path)
    again = holder.http.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])


@pytest.mark.parametrize("path", ["/favorites/7", "/products/7"])
def test_head_answers_like_get_without_the_body(holder: Customer, path: str) -> None:
    get, head = holder.http.get(path), holder.http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "content-length", "etag", "cache-control"):
        if name != "cache-control" or path.startswith("/favorites"):  # which counts down for a product
            assert head.headers[name] == get.headers[name]
    etag = {"If-None-Match": head.headers["etag"]}
    assert holder.http.head(path, headers=etag).status_code == 304


def test_head_of_no_favorite_is_404(bystander: Customer) -> None:
    answer = bystander.http.head("/favorites/7")
    assert (answer.status_code, answer.content) == (404, b"")
