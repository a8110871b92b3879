"""Many at once: what must happen once happens once, and nobody sees a 5xx."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.e2e.api.service import PASSWORD, Customer, Service, new_email


def at_once(count: int, ask: Callable[[], httpx.Response]) -> list[httpx.Response]:
    """The answers to `count` equal requests, sent together."""
    with ThreadPoolExecutor(count) as threads:
        return [future.result() for future in [threads.submit(ask) for _ in range(count)]]


def statuses(answers: list[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


def test_100_puts_of_one_product_make_one_favorite(customer: Customer) -> None:
    answers = at_once(100, lambda: customer.http.put("/favorites/10"))
    assert statuses(answers) == {201: 1, 200: 99}
    assert len({answer.json()["favorited_at"] for answer in answers}) == 1
    assert [item["product_id"] for item in customer.http.get("/favorites").json()["items"]] == ["10"]


def test_10_registrations_with_one_email_make_one_client(visitor: httpx.Client) -> None:
    new = {"name": "Ana Souza", "email": new_email(), "password": PASSWORD}
    answers = at_once(10, lambda: visitor.post("/clients", json=new))
    assert statuses(answers) == {201: 1, 409: 9}


def test_10_uses_of_one_refresh_token_at_once_all_give_the_same_next_one(
    visitor: httpx.Client, customer: Customer
) -> None:
    held = {"refresh_token": customer.tokens["refresh_token"]}
    answers = at_once(10, lambda: visitor.post("/auth/refresh", json=held))
    assert statuses(answers) == {200: 10}
    (following,) = {answer.json()["refresh_token"] for answer in answers}
    assert visitor.post("/auth/refresh", json={"refresh_token": following}).status_code == 200


def test_20_guesses_at_one_password_are_no_more_than_one_after_the_other_would_be(
    visitor: httpx.Client, customer: Customer
) -> None:
    guess = {"email": customer.email, "password": "a guess at it"}
    answers = at_once(20, lambda: visitor.post("/auth/login", json=guess))
    heard = statuses(answers)
    assert heard.keys() == {401, 429}
    assert heard[401] == 4


def test_10_changes_with_one_etag_are_made_once(customer: Customer) -> None:
    etag = customer.http.get("/clients/me").headers["etag"]
    names = iter(f"Ana the {number}." for number in range(10))
    answers = at_once(
        10,
        lambda: customer.http.patch("/clients/me", json={"name": next(names)}, headers={"If-Match": etag}),
    )
    assert statuses(answers) == {200: 1, 412: 9}


def test_50_readers_of_one_product_get_the_same_answer(visitor: httpx.Client) -> None:
    answers = at_once(50, lambda: visitor.get("/products/33"))
    assert statuses(answers) == {200: 50}
    assert len({answer.headers["etag"] for answer in answers}) == 1


def test_a_client_who_removes_themselves_while_they_mark_products_leaves_no_5xx(service: Service) -> None:
    leaving = service.register()
    with leaving.http as http, ThreadPoolExecutor(12) as threads:
        marks = [threads.submit(http.put, f"/favorites/{number}") for number in range(1, 31)]
        removal = threads.submit(http.delete, "/clients/me")
        assert removal.result().status_code == 204
        assert {mark.result().status_code for mark in marks} <= {201, 401}
        assert http.get("/favorites").status_code == 401
