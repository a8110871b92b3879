"""What only a gateway does: it makes an event of a request and an answer of a result.

Each row fails if the gateway leaves out its part. How an event looks in full is in
tests/integration/local/test_local_api_gateway.py, on a function that sends its event back.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from local.stack import Stack
from tests.e2e.api.service import PASSWORD, Customer, Service, new_email, next_page, problem

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Row:
    request: str
    status: int
    check: Callable[[httpx.Response], bool] = lambda _: True
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None


def unknown_product(answer: httpx.Response) -> bool:
    return problem(answer) == (404, "unknown-product")


def wrong(location: str) -> Callable[[httpx.Response], bool]:
    return lambda answer: [error["location"] for error in answer.json()["errors"]] == [location]


def ids(answer: httpx.Response) -> list[str]:
    return [item["product_id"] for item in answer.json()["items"]]


def is_sorted(answer: httpx.Response) -> bool:
    prices = [item["price"] for item in answer.json()["items"]]
    return prices == sorted(prices)


TEXT = {"Content-Type": "text/plain"}

ROWS = {
    # Paths
    "a path parameter is decoded": Row("GET /products/%37", 200, lambda it: it.json()["product_id"] == "7"),
    "a path parameter is decoded once": Row("GET /products/%2537", 404, unknown_product),
    "a path parameter is UTF-8": Row("GET /products/caf%C3%A9", 404, unknown_product),
    "a path parameter of no UTF-8 does no harm": Row("GET /favorites/%FF", 404),
    "a path parameter with a NUL does no harm": Row("GET /favorites/%00", 404),
    # Query
    "a parameter is decoded": Row("GET /products?sort=%70rice", 200, is_sorted),
    "a plus is a blank": Row("GET /products?category=no+such&limit=1", 200, lambda it: ids(it) == []),
    "a parameter that comes twice has both values": Row(
        "GET /products?product_id=3&product_id=1", 200, lambda it: ids(it) == ["3", "1"]
    ),
    "a parameter without a value is there": Row("GET /products?limit=", 422, wrong("query.limit")),
    "a parameter without a name is there": Row("GET /products?=1", 422, wrong("query.")),
    "a NUL in a parameter does no harm": Row("GET /products?limit=%00", 422, wrong("query.limit")),
    # Headers
    "a header has a name in any case": Row("GET /products/1", 304, headers={"IF-NONE-MATCH": "*"}),
    "the type of a body arrives": Row("POST /clients", 415, headers=TEXT, content=b"{}"),
    "headers of the answer go out": Row(
        "PATCH /clients/me", 415, lambda it: "accept-patch" in it.headers, TEXT, b"{}"
    ),
    "a bad token is the function's to refuse": Row(
        "GET /clients/me",
        401,
        lambda it: "error" in it.headers["www-authenticate"],
        {"Authorization": "Bearer x"},
    ),
    # Bodies
    "no body is one": Row("POST /favorites", 422, wrong("body"), JSON, b""),
    "a body that is no text arrives": Row("POST /favorites", 422, wrong("body"), JSON, b"\xff\xfe{"),
    "a deep body arrives": Row("POST /favorites", 422, wrong("body"), JSON, b"[" * 30_000),
    "a megabyte arrives": Row("POST /favorites", 413, headers=JSON, content=b"x" * 1_000_000),
    "the body of a GET does no harm": Row("GET /products/1", 200, content=b"<x>"),
    # Answers
    "a 204 has no body": Row("DELETE /clients/me/sessions", 204, lambda it: it.content == b""),
    "HEAD has the length of GET and no body": Row(
        "HEAD /products/7", 200, lambda it: it.content == b"" and int(it.headers["content-length"]) > 100
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_the_gateway_passes_on(service: Service, customer: Customer, name: str) -> None:
    row = ROWS[name]
    if not service.gateway.passes_bytes and b"\xff" in (row.content or b""):
        pytest.skip("sam local start-api answers 502 itself to a body that is not text")
    method, address = row.request.split()
    answer = customer.http.request(method, address, content=row.content, headers=row.headers)
    assert answer.status_code == row.status, answer.text
    assert row.check(answer), answer.text


@pytest.mark.smoke
@pytest.mark.parametrize(
    "request_line",
    ["GET /", "GET /nothing", "PUT /products", "DELETE /clients", "POST /products/1", "GET /products/1/"],
)
def test_what_is_no_route_is_refused_by_the_gateway(
    service: Service, visitor: httpx.Client, request_line: str
) -> None:
    method, path = request_line.split()
    if path.endswith("/") and path != "/" and not service.gateway.knows_slashes:
        pytest.skip("sam local start-api takes a path with a slash at its end for the one without")
    answer = visitor.request(method, httpx.URL(service.url).copy_with(raw_path=path.encode()))
    assert (answer.status_code, answer.json()) == service.gateway.no_route


def test_an_answer_that_the_caller_has_is_a_304_without_a_body(visitor: httpx.Client) -> None:
    etag = visitor.get("/products/1").headers["etag"]
    names = [("If-None-Match", '"other"'), ("If-None-Match", etag)]  # one header in two lines
    again = visitor.get("/products/1", headers=names)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)


def test_a_link_leads_on_as_the_cursor_does(visitor: httpx.Client) -> None:
    first = visitor.get("/products", params={"limit": 3, "sort": "title"})
    link = next_page(first)
    assert link is not None
    query = {"limit": 3, "sort": "title", "cursor": first.json()["next_cursor"]}
    assert ids(visitor.get(link)) == ids(visitor.get("/products", params=query)) != ids(first)


def test_every_request_has_an_id_of_its_own(service: Service, visitor: httpx.Client) -> None:
    if not service.gateway.numbers_requests:
        pytest.skip("sam local start-api gives all requests one id")
    assert len({visitor.get("/clients/me").json()["request_id"] for _ in range(3)}) == 3


def test_the_source_ip_is_the_connections_own_whatever_the_headers_say(stack: Stack) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "X-Real-IP": "203.0.113.9"}
    right: dict[str, Any] = {"email": new_email(), "password": PASSWORD}
    with _from("127.0.0.2", stack) as guesser, _from("127.0.0.3", stack) as owner:
        assert owner.post("/clients", json={"name": "Ana", **right}).status_code == 201
        guesses = [guesser.post("/auth/login", json={**right, "password": "a guess"}) for _ in range(5)]
        assert [guess.status_code for guess in guesses] == [401] * 4 + [429]
        assert guesser.post("/auth/login", json=right, headers=forged).status_code == 429
        assert owner.post("/auth/login", json=right).status_code == 200


def _from(address: str, stack: Stack) -> httpx.Client:
    return httpx.Client(base_url=stack.url, transport=httpx.HTTPTransport(local_address=address), timeout=30)
