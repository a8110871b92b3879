"""The service while what it stands on is gone, comes back, or changes.

These stop and start the services of the local stack; each leaves them as it found them.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import httpx
import pytest
import simplejson

from local.servers.catalog import Catalog
from local.servers.postgres import Postgres
from local.servers.services import wait_until
from local.servers.valkey import Valkey
from local.stack import Stack
from tests.e2e.api.service import PASSWORD, Customer, Service, new_email, problem

pytestmark = pytest.mark.faults

# After five failures in a row an environment leaves the catalog alone for 2.5 seconds.
BREAKER_SECONDS = 5

_unknown = itertools.count(90_001)


def unknown_product() -> str:
    """The path of a product that there is not, and that nobody asked for yet."""
    return f"/products/{next(_unknown)}"


@pytest.fixture
def postgres_server(stack: Stack) -> Iterator[Postgres]:
    """The PostgreSQL behind the service; it runs again afterwards."""
    assert stack.postgres is not None
    yield stack.postgres
    stack.postgres.start()


@pytest.fixture
def valkey_server(stack: Stack) -> Iterator[Valkey]:
    """The Valkey behind the service; it runs again afterwards."""
    assert stack.valkey is not None
    yield stack.valkey
    stack.valkey.start()


@pytest.fixture
def catalog_server(stack: Stack) -> Iterator[Catalog]:
    """The catalog behind the service; it runs again afterwards."""
    assert stack.catalog is not None
    stack.catalog.forget_calls()
    yield stack.catalog
    stack.catalog.start()


@pytest.fixture(scope="module")
def impatient(
    stack: Stack, service: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """The same service behind a second front door, for which a product is fresh for one second only."""
    settings = {
        "DATABASE_URL": stack.database_url,
        "REDIS_URL": stack.redis_url,
        "CATALOG_URL": stack.catalog_url,
        "ACCESS_TOKEN_KEYS": stack.access_token_keys,
        "PRODUCT_CACHE_TTL_SECONDS": "1",
    }
    data = tmp_path_factory.mktemp("impatient")
    with (
        Stack(data=data, settings=settings, concurrency=2, log=lambda _: None) as second,
        Service(second.url, service.admin_email, service.admin_password, None).visitor() as http,
    ):
        yield http


def wait_past_freshness() -> None:
    """Let what the impatient service has become stale."""
    time.sleep(1.1)


# ── PostgreSQL ────────────────────────────────────────────────────────────────────────────────────────────


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
    postgres_server.start()
    assert customer.http.get("/favorites").status_code == 200


def test_without_postgres_health_is_503_and_names_the_database(
    visitor: httpx.Client, postgres_server: Postgres
) -> None:
    postgres_server.stop()
    answer = visitor.get("/health")
    assert answer.status_code == 503
    health = answer.json()
    assert health["status"] == "down"
    assert (health["database"]["state"], health["cache"]["state"]) == ("down", "up")
    postgres_server.start()
    assert visitor.get("/health").json()["status"] == "ok"


def test_with_only_the_catalog_left_products_are_served(
    visitor: httpx.Client, postgres_server: Postgres, valkey_server: Valkey
) -> None:
    expected = visitor.get("/products/12").json()
    postgres_server.stop()
    valkey_server.stop()
    answer = visitor.get("/products/12")
    assert (answer.status_code, answer.json()) == (200, expected)


# ── Valkey ────────────────────────────────────────────────────────────────────────────────────────────────


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


def test_a_valkey_that_comes_back_is_used_again(visitor: httpx.Client, valkey_server: Valkey) -> None:
    visitor.get("/products/3")
    valkey_server.restart()  # empty
    assert visitor.get("/products/3").status_code == 200
    assert wait_until(lambda: visitor.get("/products/3").headers["x-cache"] == "hit", timeout=5)


def test_without_valkey_everything_works_and_health_is_degraded(
    service: Service, visitor: httpx.Client, valkey_server: Valkey
) -> None:
    valkey_server.stop()
    health = visitor.get("/health")
    assert (health.status_code, health.json()["status"]) == (200, "degraded")
    assert health.json()["cache"]["state"] == "down"
    newcomer = service.register()
    with newcomer.http as http:
        assert http.put("/favorites/4").status_code == 201
        assert http.get("/favorites").json()["items"][0]["product_id"] == "4"
        assert http.get("/products/4").json()["product_id"] == "4"
        assert http.get("/products", params={"sort": "title"}).status_code == 200
        assert problem(http.get(unknown_product())) == (404, "unknown-product")


def test_without_valkey_a_known_product_is_not_asked_of_the_catalog_again(
    visitor: httpx.Client, valkey_server: Valkey, catalog_server: Catalog
) -> None:
    visitor.get("/products/5")
    valkey_server.stop()
    catalog_server.forget_calls()
    for _ in range(5):
        assert visitor.get("/products/5").status_code == 200
    assert catalog_server.calls["/products/5"] == 0


# ── What the catalog is spared ──────────────────────────────────────────────────────────────────────────


def test_favorites_and_cached_products_are_served_without_the_catalog(
    customer: Customer, visitor: httpx.Client, catalog_server: Catalog
) -> None:
    customer.http.put("/favorites/6")
    visitor.get("/products/6")
    visitor.get("/products")
    catalog_server.forget_calls()
    for path in ("/favorites", "/favorites/6", "/products/6", "/products"):
        assert customer.http.get(path).status_code == 200
    assert customer.http.put("/favorites/7").status_code == 201
    assert catalog_server.calls == {}


def test_40_readers_of_a_product_that_is_not_cached_ask_the_catalog_once(
    visitor: httpx.Client, valkey_server: Valkey, catalog_server: Catalog
) -> None:
    valkey_server.flush()
    catalog_server.forget_calls()
    with ThreadPoolExecutor(40) as threads:
        answers = list(threads.map(visitor.get, ["/products/20"] * 40))
    assert {answer.status_code for answer in answers} == {200}
    assert catalog_server.calls["/products/20"] == 1


def test_an_unknown_product_is_asked_of_the_catalog_once(
    visitor: httpx.Client, catalog_server: Catalog
) -> None:
    path = unknown_product()
    for _ in range(3):
        assert problem(visitor.get(path)) == (404, "unknown-product")
    assert catalog_server.calls[path] == 1


# ── A catalog that changes ──────────────────────────────────────────────────────────────────────────────


def prices_of(answer: httpx.Response, *names: str) -> list[Decimal | int]:
    """The values of these members of the body, all their decimals kept."""
    body = simplejson.loads(answer.text, use_decimal=True)
    return [body[name] for name in names]


def test_a_new_price_is_shown_when_the_product_is_no_longer_fresh(
    impatient: httpx.Client, catalog_server: Catalog
) -> None:
    before = impatient.get("/products/40")
    catalog_server.set_price(40, Decimal("123456.50"))
    wait_past_freshness()
    after = impatient.get("/products/40", headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == 200
    assert str(prices_of(after, "price")[0]) == "123456.50"
    assert after.headers["etag"] != before.headers["etag"]
    listed = impatient.get("/products", params={"sort": "-price", "limit": 1})
    assert [product["product_id"] for product in listed.json()["items"]] == ["40"]


def test_a_favorite_tells_how_its_price_changed_since_it_was_marked(
    impatient: httpx.Client, customer: Customer, catalog_server: Catalog
) -> None:
    (then,) = prices_of(customer.http.put("/favorites/42"), "price_when_favorited")
    catalog_server.set_price(42, then - Decimal("1.25"))
    wait_past_freshness()
    impatient.get("/products/42")
    favorite = customer.http.get("/favorites/42")
    assert prices_of(favorite, "price_when_favorited", "price_change") == [then, Decimal("-1.25")]
    assert prices_of(favorite, "price") == [then - Decimal("1.25")]


def test_a_removed_product_is_404_and_stays_in_the_favorites_as_not_available(
    impatient: httpx.Client, customer: Customer, other: Customer, catalog_server: Catalog
) -> None:
    customer.http.put("/favorites/41")
    impatient.get("/products/41")
    catalog_server.remove(41)
    try:
        wait_past_freshness()
        assert problem(impatient.get("/products/41")) == (404, "unknown-product")
        (favorite,) = customer.http.get("/favorites").json()["items"]
        assert (favorite["product_id"], favorite["available"]) == ("41", False)
        assert customer.http.get("/favorites/41").json() == favorite
        assert customer.http.put("/favorites/41").status_code == 200
        assert problem(other.http.put("/favorites/41")) == (404, "unknown-product")
        assert other.http.get("/favorites").json()["items"] == []
        assert customer.http.delete("/favorites/41").status_code == 204
    finally:
        catalog_server.restore(41)


# ── A catalog that is down ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def catalog_is_down(visitor: httpx.Client, catalog_server: Catalog) -> Catalog:
    """The catalog, stopped, when the service knows its products and has just a few of them cached."""
    visitor.get("/products")
    visitor.get("/products/8")
    catalog_server.stop()
    return catalog_server


@pytest.mark.usefixtures("catalog_is_down")
def test_without_the_catalog_cached_and_copied_products_are_served(visitor: httpx.Client) -> None:
    assert visitor.get("/products/8").headers["x-cache"] == "hit"
    copied = visitor.get("/products/50")  # known from the list alone
    assert copied.json()["product_id"] == "50"
    assert copied.headers["x-cache"] == "stale"
    assert visitor.get("/products", params={"sort": "-title", "limit": 3}).status_code == 200


@pytest.mark.usefixtures("catalog_is_down")
def test_without_the_catalog_favorites_of_known_products_work(customer: Customer) -> None:
    assert customer.http.put("/favorites/8").status_code == 201
    assert customer.http.post("/favorites", json={"product_id": "51"}).status_code == 201
    assert len(customer.http.get("/favorites").json()["items"]) == 2
    assert customer.http.delete("/favorites/8").status_code == 204


@pytest.mark.parametrize(
    "ask",
    [
        lambda http, product_id: http.get(f"/products/{product_id}"),
        lambda http, product_id: http.put(f"/favorites/{product_id}"),
        lambda http, product_id: http.post("/favorites", json={"product_id": product_id}),
    ],
    ids=["read", "put", "post"],
)
@pytest.mark.usefixtures("catalog_is_down")
def test_without_the_catalog_an_unknown_product_is_503_with_the_seconds_to_wait(
    customer: Customer, ask: Callable[[httpx.Client, str], httpx.Response]
) -> None:
    answer = ask(customer.http, unknown_product().rpartition("/")[2])
    assert problem(answer) == (503, "catalog-unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert customer.http.get("/favorites").json()["items"] == []


def test_when_the_catalog_is_back_unknown_products_are_404_again(
    visitor: httpx.Client, catalog_is_down: Catalog
) -> None:
    path = unknown_product()
    assert visitor.get(path).status_code == 503
    catalog_is_down.start()
    assert wait_until(lambda: visitor.get(path).status_code == 404, timeout=BREAKER_SECONDS, interval=0.2)


def test_what_is_stale_is_served_while_the_catalog_is_down_and_fresh_again_after(
    impatient: httpx.Client, catalog_server: Catalog
) -> None:
    paths = ["/products/9", "/products?limit=7"]
    fresh = {path: impatient.get(path) for path in paths}
    catalog_server.stop()
    wait_past_freshness()
    for path in paths:
        stale = impatient.get(path)
        assert (stale.status_code, stale.headers["x-cache"]) == (200, "stale")
        assert stale.content == fresh[path].content
        assert stale.headers["etag"] == fresh[path].headers["etag"]
        assert int(stale.headers["age"]) >= 1
        assert stale.headers["cache-control"].startswith("public, max-age=1, ")  # all of it used up
    catalog_server.start()
    assert wait_until(
        lambda: all(impatient.get(path).headers["x-cache"] != "stale" for path in paths),
        timeout=BREAKER_SECONDS,
        interval=0.2,
    )


def test_without_the_catalog_and_valkey_copied_products_are_served(
    visitor: httpx.Client, catalog_server: Catalog, valkey_server: Valkey
) -> None:
    expected = visitor.get("/products/10").json()
    catalog_server.stop()
    valkey_server.stop()
    answer = visitor.get("/products/10")
    assert (answer.status_code, answer.json()) == (200, expected)
    assert visitor.get("/products").status_code == 200


@pytest.mark.usefixtures("catalog_is_down")
def test_without_the_catalog_health_is_degraded(visitor: httpx.Client) -> None:
    def is_degraded() -> bool:
        health = visitor.get("/health")
        assert health.status_code == 200
        return bool(health.json()["status"] == "degraded" and health.json()["catalog"]["state"] == "down")

    assert wait_until(is_degraded, timeout=7, interval=0.2)  # it asks the catalog every 5 seconds
