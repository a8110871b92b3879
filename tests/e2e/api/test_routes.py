"""Every route of the OpenAPI document through a gateway, once; `document.judge` looks at each answer."""

from typing import Any

import httpx
import pytest

from tests.e2e.api.document import DOCUMENT, operations
from tests.e2e.api.service import PASSWORD, Customer, Service, new_email

# Routes that change something, in the order in which one customer uses them, with the body and the status.
# All others are read, and answer 200.
WRITES: list[tuple[str, dict[str, Any] | None, int]] = [
    ("PATCH /clients/{client_id}", {"name": "José María Ñandú 👩‍👩‍👧‍👦"}, 200),
    ("PUT /favorites/{product_id}", None, 201),
    ("PATCH /favorites/{product_id}", {"alert": {"percent_off": 10}}, 200),
    ("POST /favorites", {"product_id": "2"}, 201),
    ("POST /favorite-changes", {"add": [{"product_id": "3"}], "remove": ["2"]}, 200),
]
LAST: list[tuple[str, dict[str, Any] | None, int]] = [
    ("DELETE /favorites/{product_id}", None, 204),
    ("DELETE /clients/{client_id}/sessions", None, 204),
]
BY_HAND = {
    *("POST /shares", "GET /shared-favorites/{token}", "DELETE /shares/{share_id}"),
    *("POST /clients", "DELETE /clients/{client_id}", "GET /clients"),
    *("POST /auth/login", "POST /auth/refresh", "POST /auth/logout"),
}
READS = {
    f"{method} {path}": bool(operation["security"])
    for method, path, operation in operations()
    if method == "GET" and path not in ("/clients", "/shared-favorites/{token}")
}


def used(http: httpx.Client, route: str, body: Any = None, status: int = 200, **parts: str) -> httpx.Response:
    """The answer to the route, and to HEAD where there is one: both have this status."""
    method, path = route.split()
    address = path.format(**{"client_id": "me", "product_id": "1", "code": "email-taken"} | parts)
    answer = http.request(method, address, json=body)
    assert answer.status_code == status, f"{route}: {answer.text}"
    if method == "GET" and "head" in DOCUMENT["paths"][path]:
        head = http.head(address)
        assert (head.status_code, head.content) == (status, b""), route
    return answer


def test_every_route_is_served(service: Service, visitor: httpx.Client, admin: httpx.Client) -> None:
    who = {"email": new_email(), "password": PASSWORD}
    new = used(visitor, "POST /clients", {"name": "Ana Souza", **who}, 201)
    tokens = used(visitor, "POST /auth/login", who).json()
    fresh = used(visitor, "POST /auth/refresh", {"refresh_token": tokens["refresh_token"]}).json()
    with service.visitor(fresh["access_token"]) as customer:
        assert customer.get(new.headers["location"]).json() == new.json()
        for row in WRITES:
            used(customer, *row)
        for route, needs_a_caller in READS.items():
            used(customer if needs_a_caller else visitor, route)
        share = used(customer, "POST /shares", {"title": "Aniversário"}, 201).json()
        shown = used(visitor, "GET /shared-favorites/{token}", token=share["token"]).json()
        assert [shown["title"], *(item["product_id"] for item in shown["items"])] == ["Aniversário", "3", "1"]
        used(customer, "DELETE /shares/{share_id}", None, 204, share_id=share["share_id"])
        used(visitor, "POST /auth/logout", {"refresh_token": fresh["refresh_token"]}, 204)
        for row in LAST:
            used(customer, *row)
        assert customer.get("/clients/me").status_code == 401
    with service.visitor(service.log_in(**who)["access_token"]) as customer:
        used(customer, "DELETE /clients/{client_id}", None, 204)
    assert visitor.post("/auth/login", json=who).status_code == 401
    used(admin, "GET /clients")


def test_every_route_that_changes_something_has_a_row() -> None:
    rows = {route for route, *_ in (*WRITES, *LAST)}
    assert rows | BY_HAND | READS.keys() == {f"{m} {path}" for m, path, _ in operations() if m != "HEAD"}


@pytest.mark.smoke
def test_the_document_served_is_the_committed_one(visitor: httpx.Client) -> None:
    assert visitor.get("/openapi.json").json() == DOCUMENT


@pytest.mark.smoke
def test_the_docs_page_describes_every_operation(visitor: httpx.Client) -> None:
    text = visitor.get("/docs").text
    assert [it["operationId"] for _, _, it in operations() if it["operationId"] not in text] == []


def test_health_names_each_part_with_its_state(customer: Customer) -> None:
    health = customer.http.get("/health").json()
    assert health["status"] == "ok"
    assert {health[part]["state"] for part in ("database", "cache", "catalog")} == {"up"}
