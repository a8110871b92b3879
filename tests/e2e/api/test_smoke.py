"""The whole contract as a new client goes through it, in a minute and without a trace: `make smoke URL=https://…`.

It is for a service that others use. It needs no admin, asks nothing of the catalog but what it has, and
removes the client that it makes. Each step is printed with its time.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest

from tests.e2e.api.service import Service, next_page, problem


@contextmanager
def step(name: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    except BaseException:
        print(f"  {name:<58} failed")  # noqa: T201 - what `make smoke` is for
        raise
    print(f"  {name:<58} {(time.perf_counter() - started) * 1000:>7,.0f} ms")  # noqa: T201


@pytest.mark.smoke
def test_a_new_client_goes_through_everything_and_leaves_nothing(service: Service) -> None:
    print(f"\n{service.url}")  # noqa: T201
    who = {"email": f"smoke-{secrets.token_hex(8)}@example.com", "password": secrets.token_urlsafe(16)}
    with service.visitor() as shop:
        with step("is in good health"):
            health = shop.get("/health")
            assert health.status_code == 200, health.text
        with step("shows a page of products"):
            page = shop.get("/products", params={"limit": 3})
            products = page.json()["items"]
            assert products, "There are no products: the stack's output Products says why."
        with step("shows the next page"):
            more = next_page(page)
            seen = {product["product_id"] for product in products}
            if more is not None:
                assert seen.isdisjoint(product["product_id"] for product in shop.get(more).json()["items"])
        with step("shows a product"):
            path = f"/products/{quote(products[0]['product_id'])}"
            detail = shop.get(path)
            assert detail.json()["product_id"] == products[0]["product_id"]
        with step("shows it again, from the cache"):
            assert shop.get(path).headers["x-cache"] in {"hit", "stale"}
        with step("does not send it to who has it"):
            assert shop.get(path, headers={"If-None-Match": detail.headers["etag"]}).status_code == 304
        with step("has favorites for nobody"):
            assert problem(shop.get("/favorites"))[0] == 401
        with step("registers a client"):
            registered = shop.post("/clients", json={"name": "Smoke Test", **who})
            assert registered.status_code == 201, registered.text
    try:
        _use(service, who, list(seen))
    finally:
        with service.visitor(service.log_in(**who)["access_token"]) as shop, step("removes the client"):
            assert shop.delete("/clients/me").status_code == 204
    with service.visitor() as shop, step("knows the client no more"):
        assert problem(shop.post("/auth/login", json=who))[0] == 401


def _use(service: Service, who: dict[str, str], products: list[str]) -> None:
    with service.visitor() as shop:
        with step("does not register the e-mail twice"):
            assert problem(shop.post("/clients", json={"name": "Smoke Test", **who})) == (409, "email-taken")
        with step("refuses a wrong password"):
            assert problem(shop.post("/auth/login", json=who | {"password": "not this one"}))[0] == 401
        with step("logs in"):
            tokens = service.log_in(**who)
    with service.visitor(tokens["access_token"]) as shop:
        with step("knows who asks"):
            assert shop.get("/clients/me").json()["email"] == who["email"]
        with step("changes a name"):
            assert shop.patch("/clients/me", json={"name": "Smoke"}).json()["name"] == "Smoke"
        with step("marks favorites"):
            for each in products:
                assert shop.put(f"/favorites/{quote(each)}").status_code == 201
        with step("marks one again, which changes nothing"):
            assert shop.put(f"/favorites/{quote(products[0])}").status_code == 200
        with step("says of one that it is a favorite already"):
            assert problem(shop.post("/favorites", json={"product_id": products[0]}))[0] == 409
        with step("shows one, and all, the newest first"):
            assert shop.get(f"/favorites/{quote(products[0])}").json()["product_id"] == products[0]
            listed = [item["product_id"] for item in shop.get("/favorites").json()["items"]]
            assert listed == products[::-1]
        with step("takes one back"):
            assert shop.delete(f"/favorites/{quote(products[0])}").status_code == 204
            assert problem(shop.get(f"/favorites/{quote(products[0])}"))[0] == 404
        with step("shows nobody else's client"):
            assert problem(shop.get("/clients/00000000-0000-4000-8000-000000000000"))[0] == 403
        with step("renews the session"):
            fresh = shop.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]}).json()
    with service.visitor(fresh["access_token"]) as shop:
        with step("goes on with the new token"):
            assert len(shop.get("/favorites").json()["items"]) == len(products) - 1
        with step("logs out"):
            held = {"refresh_token": fresh["refresh_token"]}
            assert shop.post("/auth/logout", json=held).status_code == 204
            assert problem(shop.post("/auth/refresh", json=held))[0] == 401
