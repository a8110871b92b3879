"""The service while what it stands on is gone, and comes back: one test for each server.

What each part of the service does then is proven on the handlers (tests/integration); here the whole of it is
looked at, several environments of each function at once. Each test leaves the servers as it found them.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import httpx
import pytest

from local.servers.catalog import Catalog
from local.servers.postgres import Postgres
from local.servers.services import wait_until
from local.servers.valkey import Valkey
from local.stack import Stack
from tests.e2e.api.service import PASSWORD, Customer, Service, new_email, problem

pytestmark = pytest.mark.faults

BREAKER_SECONDS = 5  # after five failures in a row an environment leaves the catalog alone for 2.5 seconds

_unknown = count(90_001)


@pytest.fixture
def postgres_server(stack: Stack) -> Iterator[Postgres]:
    """The PostgreSQL behind the service; it runs again afterwards."""
    assert stack.backing.postgres is not None
    yield stack.backing.postgres
    stack.backing.postgres.start()


@pytest.fixture
def valkey_server(stack: Stack) -> Iterator[Valkey]:
    """The Valkey behind the service; it runs again afterwards."""
    assert stack.backing.valkey is not None
    yield stack.backing.valkey
    stack.backing.valkey.start()


@pytest.fixture
def catalog_server(stack: Stack) -> Iterator[Catalog]:
    """The catalog behind the service; it runs again afterwards."""
    assert stack.backing.catalog is not None
    yield stack.backing.catalog
    stack.backing.catalog.start()


def test_the_next_request_after_a_restart_of_postgres_reconnects(
    customer: Customer, admin: httpx.Client, visitor: httpx.Client, postgres_server: Postgres
) -> None:
    customer.http.put("/favorites/1")
    with ThreadPoolExecutor(8) as threads:  # several environments of each, all with a connection
        list(threads.map(customer.http.get, ["/favorites", "/clients/me", "/favorites/1"] * 8))
    admin.get("/clients")
    postgres_server.restart()
    for _ in range(4):
        assert customer.http.get("/favorites").status_code == 200
        assert customer.http.get("/favorites/1").status_code == 200
        assert customer.http.get("/clients/me").status_code == 200
    assert admin.get("/clients").status_code == 200
    assert customer.http.put("/favorites/2").status_code == 201
    assert customer.http.delete("/favorites/1").status_code == 204
    assert customer.http.patch("/clients/me", json={"name": "Ana"}).status_code == 200
    log_in = {"email": customer.email, "password": PASSWORD}
    assert visitor.post("/auth/login", json=log_in).status_code == 200
    assert visitor.post("/clients", json={"name": "Ben", **log_in, "email": new_email()}).status_code == 201


def test_without_postgres_cached_products_are_served_and_the_rest_asks_for_patience(
    customer: Customer, visitor: httpx.Client, postgres_server: Postgres
) -> None:
    visitor.get("/products/1")
    visitor.get("/products")
    postgres_server.stop()
    assert visitor.get("/products/1").headers["x-cache"] == "hit"
    assert visitor.get("/products").headers["x-cache"] == "hit"
    refusals = [
        customer.http.get("/favorites"),
        customer.http.put("/favorites/1"),
        customer.http.get("/clients/me"),
        visitor.post("/auth/login", json={"email": customer.email, "password": PASSWORD}),
    ]
    for refusal in refusals:
        assert problem(refusal) == (503, "database-unavailable")
        assert int(refusal.headers["retry-after"]) >= 1
    health = visitor.get("/health")
    assert (health.status_code, health.json()["status"]) == (503, "down")
    postgres_server.start()
    assert customer.http.get("/favorites").status_code == 200


def test_reads_go_on_while_valkey_is_stopped_and_started_again(
    customer: Customer, visitor: httpx.Client, valkey_server: Valkey
) -> None:
    customer.http.put("/favorites/1")
    readers: list[tuple[httpx.Client, str]] = [
        (visitor, "/products/1"),
        (visitor, "/products/2"),
        (visitor, "/products?limit=5"),
        (customer.http, "/favorites"),
        (customer.http, "/favorites/1"),
    ]
    statuses: dict[str, list[int]] = {path: [] for _, path in readers}
    over = threading.Event()

    def read(http: httpx.Client, path: str) -> None:
        while not over.is_set():
            statuses[path].append(http.get(path).status_code)

    def wait_for_more() -> bool:
        """Whether each of the readers soon gets ten more answers."""
        before = {path: len(seen) for path, seen in statuses.items()}
        return wait_until(
            lambda: all(len(statuses[path]) >= before[path] + 10 for path in before), timeout=20
        )

    with ThreadPoolExecutor(len(readers)) as threads:
        reading = [threads.submit(read, *reader) for reader in readers]
        try:
            assert wait_for_more()
            valkey_server.stop()
            assert wait_for_more()
            valkey_server.start()
            assert wait_for_more()
        finally:
            over.set()
        for reader in reading:
            reader.result()
    assert all(set(seen) == {200} for seen in statuses.values())


def test_without_valkey_everything_works_and_health_is_degraded(
    service: Service, visitor: httpx.Client, valkey_server: Valkey
) -> None:
    valkey_server.stop()
    health = visitor.get("/health")
    assert (health.status_code, health.json()["status"]) == (200, "degraded")
    newcomer = service.register()
    with newcomer.http as http:
        assert http.put("/favorites/4").status_code == 201
        assert http.get("/favorites").json()["items"][0]["product_id"] == "4"
        assert http.get("/products/4").json()["product_id"] == "4"
        assert http.get("/products", params={"sort": "title"}).status_code == 200
        assert problem(http.get(f"/products/{next(_unknown)}")) == (404, "unknown-product")
    valkey_server.start()
    assert wait_until(lambda: visitor.get("/products/4").headers["x-cache"] == "hit", timeout=5)


def test_without_the_catalog_what_is_known_is_served_and_the_rest_asks_for_patience(
    customer: Customer, visitor: httpx.Client, catalog_server: Catalog
) -> None:
    visitor.get("/products")
    visitor.get("/products/8")
    catalog_server.stop()
    assert visitor.get("/products/8").headers["x-cache"] == "hit"
    assert visitor.get("/products/50").json()["product_id"] == "50"  # known from the list alone
    assert visitor.get("/products", params={"sort": "-title", "limit": 3}).status_code == 200
    assert customer.http.put("/favorites/8").status_code == 201
    unknown = f"/products/{next(_unknown)}"
    refusal = visitor.get(unknown)
    assert problem(refusal) == (503, "catalog-unavailable")
    assert int(refusal.headers["retry-after"]) >= 1
    is_degraded = lambda: visitor.get("/health").json()["status"] == "degraded"  # noqa: E731
    assert wait_until(is_degraded, timeout=7, interval=0.2)  # it asks the catalog every 5 seconds
    catalog_server.start()
    assert wait_until(lambda: visitor.get(unknown).status_code == 404, timeout=BREAKER_SECONDS, interval=0.2)
