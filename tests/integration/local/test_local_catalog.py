"""The sample catalog and its hostile double, seen by an HTTP client."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import simplejson

from local.servers.catalog import Catalog, sample_products
from local.servers.services import ServiceFailed, wait_until
from tests.hostile_catalog import product


@pytest.fixture
def catalog() -> Iterator[Catalog]:
    """A sample catalog of the test's own."""
    server = Catalog()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(catalog: Catalog) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=catalog.url, timeout=5) as client:
        yield client


def test_the_sample_products_have_the_oddities_of_the_contract() -> None:
    products = sample_products()
    assert [product["id"] for product in products] == list(range(1, len(products) + 1))
    assert len(products) >= 60
    assert len({product["category"] for product in products}) == 6
    ratings = [product["rating"] for product in products if "rating" in product]
    assert 0 < len(ratings) < len(products)
    assert any(isinstance(rating["rate"], int) for rating in ratings)
    assert any(isinstance(product["price"], int) for product in products)
    assert any(product["title"] != product["title"].strip() for product in products)


class TestCatalog:
    def test_lists_all_products_with_the_digits_of_their_prices(self, client: httpx.Client) -> None:
        answer = client.get("/products")
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        assert simplejson.loads(answer.text, use_decimal=True) == sample_products()
        assert '"price":22.30,' in answer.text
        assert '"price":129,' in answer.text

    def test_answers_one_product_and_nothing_or_null_for_an_unknown_id(self, client: httpx.Client) -> None:
        assert client.get("/products/12").json()["title"] == "Pruning Shears"
        null, nothing = client.get("/products/1000"), client.get("/products/1001")
        assert (null.status_code, null.text) == (200, "null")
        assert (nothing.status_code, nothing.text) == (200, "")
        assert client.get("/carts").status_code == 404

    def test_an_id_that_is_no_number_is_never_answered(self, client: httpx.Client) -> None:
        with pytest.raises(httpx.ReadTimeout):
            client.get("/products/abc", timeout=0.3)

    @pytest.mark.parametrize(
        "body",
        [
            '{"price": 1, "removed": true}',
            '{"removed": 1}',
            *(f'{{"price": {price}}}' for price in ('"9"', "-1", "NaN", "true")),
            *("{}", "[]", "", "9.90"),
        ],
    )
    def test_an_invalid_change_changes_nothing(self, client: httpx.Client, body: str) -> None:
        assert client.patch("/products/7", content=body).status_code == 400
        assert '"price":11.20,' in client.get("/products/7").text

    def test_a_removed_product_is_unknown_until_it_is_restored(
        self, catalog: Catalog, client: httpx.Client
    ) -> None:
        before = client.get("/products").json()
        catalog.remove(8)
        assert client.get("/products/8").text == "null"
        assert client.get("/products").json() == [product for product in before if product["id"] != 8]
        catalog.restore(8)
        assert client.get("/products").json() == before

    def test_unknown_products_cannot_be_changed_removed_or_restored(self, catalog: Catalog) -> None:
        with pytest.raises(KeyError):
            catalog.set_price(1000, 1)
        with pytest.raises(KeyError):
            catalog.remove(1000)
        with pytest.raises(KeyError):
            catalog.restore(7)  # it is not removed

    def test_a_product_can_be_removed_and_restored_over_http(self, client: httpx.Client) -> None:
        assert client.patch("/products/7", content='{"removed": true}').text == "null"
        assert client.patch("/products/7", content='{"removed": true}').status_code == 404
        assert client.patch("/products/7", content='{"price": 9.90}').status_code == 404
        assert client.get("/products/7").text == ""
        assert '"price":11.20,' in client.patch("/products/7", content='{"removed": false}').text

    def test_every_change_over_http_is_pushed_unless_the_query_says_no(self) -> None:
        pushed: list[tuple[str, dict[str, Any]]] = []

        def push(detail_type: str, detail: str) -> None:
            pushed.append((detail_type, simplejson.loads(detail, use_decimal=True)))

        own = Catalog(products=[product(5)], push=push)
        before = time.time_ns() // 1_000_000
        try:
            url = f"{own.start()}/products/5"
            httpx.patch(url, content='{"price": 9.90}')
            httpx.patch(url, content='{"removed": true}')
            httpx.patch(f"{url}?push=false", content='{"removed": false}')
            httpx.patch(url, content='{"price": 1.00}')
        finally:
            own.stop()
        kinds, details = zip(*pushed, strict=True)
        assert kinds == ("ProductChanged", "ProductRemoved", "ProductChanged")
        versions = [detail["version"] for detail in details]
        assert before <= versions[0] < versions[1] < versions[2]
        assert str(details[0]["product"]["price"]) == "9.90"
        assert details[1]["product_id"] == "5"
        assert str(details[2]["product"]["price"]) == "1.00"

    def test_counts_the_calls_of_each_path(self, catalog: Catalog, client: httpx.Client) -> None:
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda _: client.get("/products/7?fresh=1"), range(100)))
        assert catalog.calls == {"/products/7": 100}
        catalog.forget_calls()
        assert not catalog.calls

    def test_once_stopped_it_is_gone_also_for_kept_connections_and_returns_on_the_same_port(
        self, catalog: Catalog, client: httpx.Client
    ) -> None:
        client.get("/products/7")
        catalog.stop()
        with pytest.raises(httpx.TransportError):
            client.get("/products/7")
        assert catalog.start() == str(client.base_url).rstrip("/")
        assert client.get("/products/7").status_code == 200

    def test_stopping_ends_requests_that_hang(self, catalog: Catalog) -> None:
        with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=catalog.url, timeout=60) as client:
            hanging = pool.submit(client.get, "/products/abc")
            assert wait_until(lambda: bool(catalog.calls), timeout=5)
            catalog.stop()
            assert isinstance(hanging.exception(timeout=30), (httpx.RemoteProtocolError, httpx.ReadError))

    def test_a_port_in_use_is_one_clear_sentence(self, catalog: Catalog) -> None:
        port = int(catalog.url.rpartition(":")[2])
        with pytest.raises(
            ServiceFailed, match=f"^The catalog did not start on port {port}: Address already"
        ):
            Catalog(port).start()


def test_changes_over_http_survive_a_restart(tmp_path: Path) -> None:
    changes = tmp_path / "catalog.json"
    first = Catalog(changes=changes)
    httpx.patch(f"{first.start()}/products/7", content='{"price": 9.90}').raise_for_status()
    httpx.patch(f"{first.url}/products/8", content='{"removed": true}').raise_for_status()
    first.stop()
    second = Catalog(changes=changes)
    assert '"price":9.90' in (second.product_text(7) or "")
    assert second.product_text(8) is None
