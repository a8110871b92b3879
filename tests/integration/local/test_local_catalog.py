"""The sample catalog and its hostile double, seen by an HTTP client."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import simplejson

from local.servers.catalog import Catalog, sample_products
from local.servers.services import ServiceFailed, wait_until
from tests.hostile_catalog import (
    MEGABYTE,
    Answer,
    HostileCatalog,
    blemished,
    hostile_lists,
    nonsense,
    product,
)


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


@pytest.fixture
def victim(hostile_catalog: HostileCatalog) -> Iterator[httpx.Client]:
    """A client of the hostile catalog that waits half a second for each read."""
    with httpx.Client(base_url=hostile_catalog.url, timeout=0.5) as client:
        yield client


class TestSampleProducts:
    def test_there_are_at_least_60_in_6_categories(self) -> None:
        products = sample_products()
        assert len(products) >= 60
        assert len({product["category"] for product in products}) == 6
        assert [product["id"] for product in products] == list(range(1, len(products) + 1))

    def test_they_have_the_oddities_of_the_contract(self) -> None:
        products = sample_products()
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

    def test_answers_one_product(self, client: httpx.Client) -> None:
        assert client.get("/products/12").json()["title"] == "Pruning Shears"

    def test_an_unknown_id_is_200_with_null_or_with_nothing(self, client: httpx.Client) -> None:
        null, nothing = client.get("/products/1000"), client.get("/products/1001")
        assert (null.status_code, null.text) == (200, "null")
        assert (nothing.status_code, nothing.text) == (200, "")

    def test_an_id_that_is_no_number_is_never_answered(self, client: httpx.Client) -> None:
        with pytest.raises(httpx.ReadTimeout):
            client.get("/products/abc", timeout=0.3)

    def test_another_path_is_404(self, client: httpx.Client) -> None:
        assert client.get("/carts").status_code == 404

    def test_a_price_set_is_served_at_once_digit_by_digit(
        self, catalog: Catalog, client: httpx.Client
    ) -> None:
        catalog.set_price(7, Decimal("9.90"))
        assert '"price":9.90,' in client.get("/products/7").text
        assert '"id":7,"title":"Silicone Baking Mat, Pack of 2","price":9.90,' in client.get("/products").text

    def test_a_price_can_be_changed_over_http(self, client: httpx.Client) -> None:
        assert '"price":9.90,' in client.patch("/products/7", content='{"price": 9.90}').text
        assert '"price":9.90,' in client.get("/products/7").text

    @pytest.mark.parametrize(
        "body",
        [
            '{"price": 1, "removed": true}',
            '{"removed": 1}',
            '{"price": "9"}',
            '{"price": -1}',
            '{"price": NaN}',
            '{"price": true}',
            "{}",
            "[]",
            "",
            "9.90",
        ],
    )
    def test_a_price_that_is_none_changes_nothing(self, client: httpx.Client, body: str) -> None:
        assert client.patch("/products/7", content=body).status_code == 400
        assert '"price":11.20,' in client.get("/products/7").text

    @pytest.mark.parametrize("product_id", ["1000", "abc"])
    def test_the_price_of_an_unknown_product_cannot_be_changed(
        self, client: httpx.Client, product_id: str
    ) -> None:
        assert client.patch(f"/products/{product_id}", content='{"price": 9.90}').status_code == 404

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
            catalog.restore(7)

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
        assert before <= versions[0] < versions[1] < versions[2] < before + 10_000
        assert str(details[0]["product"]["price"]) == "9.90"
        assert details[1]["product_id"] == "5"
        assert str(details[2]["product"]["price"]) == "1.00"

    def test_serves_products_of_the_tests_own(self) -> None:
        own = Catalog(products=[product(5, price=Decimal("1.10"))])
        try:
            assert '"price":1.10,' in httpx.get(f"{own.start()}/products").text
        finally:
            own.stop()

    def test_counts_the_calls_of_each_path(self, catalog: Catalog, client: httpx.Client) -> None:
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda _: client.get("/products/7?fresh=1"), range(100)))
        client.get("/products")
        assert catalog.calls == Counter({"/products/7": 100, "/products": 1})
        catalog.forget_calls()
        assert not catalog.calls

    def test_keeps_connections_alive(self, client: httpx.Client) -> None:
        ports = {client.get("/products/7").extensions["network_stream"].get_extra_info("client_addr")}
        ports |= {client.get("/products/7").extensions["network_stream"].get_extra_info("client_addr")}
        assert len(ports) == 1

    def test_once_stopped_it_is_gone_also_for_kept_connections_and_returns_on_the_same_port(
        self, catalog: Catalog, client: httpx.Client
    ) -> None:
        client.get("/products/7")
        catalog.stop()
        with pytest.raises(httpx.TransportError):
            client.get("/products/7")
        assert catalog.start() == str(client.base_url).rstrip("/")
        assert client.get("/products/7").status_code == 200

    def test_stopping_does_not_wait_for_requests_that_hang(
        self, catalog: Catalog, client: httpx.Client
    ) -> None:
        with ThreadPoolExecutor(1) as pool:
            hanging = pool.submit(client.get, "/products/abc")
            assert wait_until(lambda: bool(catalog.calls), timeout=5)
            begun = time.monotonic()
            catalog.stop()
            assert time.monotonic() - begun < 1
            assert isinstance(hanging.exception(timeout=5), httpx.TransportError)

    def test_a_port_in_use_is_one_clear_sentence(self, catalog: Catalog) -> None:
        port = int(catalog.url.rpartition(":")[2])
        with pytest.raises(
            ServiceFailed, match=f"^The catalog did not start on port {port}: Address already"
        ):
            Catalog(port).start()


class TestHostileCatalog:
    def test_what_is_not_programmed_is_answered_well(self, victim: httpx.Client) -> None:
        assert victim.get("/products/12").json()["title"] == "Pruning Shears"

    def test_programmed_answers_come_in_turn_and_the_last_one_stays(
        self, hostile_catalog: HostileCatalog, victim: httpx.Client
    ) -> None:
        hostile_catalog.answer("/products/7", Answer.status(500), Answer.null())
        assert [victim.get("/products/7").status_code for _ in range(3)] == [500, 200, 200]
        assert victim.get("/products/7").text == "null"
        assert victim.get("/products/8").json()["id"] == 8
        assert hostile_catalog.calls == Counter({"/products/7": 4, "/products/8": 1})

    def test_one_answer_for_all_paths_yields_to_that_of_a_path_until_it_behaves_again(
        self, hostile_catalog: HostileCatalog, victim: httpx.Client
    ) -> None:
        hostile_catalog.answer_all(Answer.status(503, {"Retry-After": "5"}))
        hostile_catalog.answer("/products/7", Answer.empty())
        assert victim.get("/products").headers["Retry-After"] == "5"
        assert victim.get("/products/7").text == ""
        hostile_catalog.behave()
        assert victim.get("/products/7").json()["id"] == 7

    def test_whole_answers(self, hostile_catalog: HostileCatalog, victim: httpx.Client) -> None:
        answers = {
            "null": Answer.null(),
            "": Answer.empty(),
            "<!doctype html><title>Back soon</title><p>We are working on it.": Answer.html(),
            '{"id"': Answer.truncated_json(b'{"id": "7"}'),
            "NaN": Answer.text("NaN"),
        }
        for text, answer in answers.items():
            hostile_catalog.answer("/products/7", answer)
            assert victim.get("/products/7").text == text

    def test_redirects_elsewhere(self, hostile_catalog: HostileCatalog, victim: httpx.Client) -> None:
        hostile_catalog.answer("/products/7", Answer.redirect("http://192.0.2.1/"))
        answer = victim.get("/products/7")
        assert (answer.status_code, answer.headers["Location"]) == (302, "http://192.0.2.1/")

    @pytest.mark.parametrize(
        ("answer", "failure"),
        [
            (Answer.hang(), httpx.ReadTimeout),
            (Answer.hang_in_body(b'{"id": 7}'), httpx.ReadTimeout),
            (Answer.json(product(7)).after(5), httpx.ReadTimeout),
            (Answer.reset(), httpx.ReadError),
            (Answer.truncated_body(b'{"id": 7}'), httpx.RemoteProtocolError),
        ],
        ids=["hang", "hang in body", "late", "reset", "truncated"],
    )
    def test_answers_that_break(
        self,
        hostile_catalog: HostileCatalog,
        victim: httpx.Client,
        answer: Answer,
        failure: type[Exception],
    ) -> None:
        hostile_catalog.answer("/products/7", answer)
        with pytest.raises(failure):
            victim.get("/products/7")

    def test_drips_so_that_no_single_read_times_out(
        self, hostile_catalog: HostileCatalog, victim: httpx.Client
    ) -> None:
        hostile_catalog.answer("/products/7", Answer.drip(b'{"a": 1}', interval=0.1))
        begun = time.monotonic()
        assert victim.get("/products/7").json() == {"a": 1}
        assert time.monotonic() - begun >= 0.65

    def test_a_late_answer_is_a_good_one(self, hostile_catalog: HostileCatalog, victim: httpx.Client) -> None:
        hostile_catalog.answer("/products/7", Answer.json(product(7)).after(0.2))
        answer = victim.get("/products/7")
        assert answer.elapsed.total_seconds() >= 0.2
        assert answer.json()["id"] == 7

    @pytest.mark.parametrize("with_length", [True, False])
    def test_floods_with_a_valid_product_of_50_megabytes(
        self, hostile_catalog: HostileCatalog, victim: httpx.Client, *, with_length: bool
    ) -> None:
        hostile_catalog.answer("/products/7", Answer.flood(with_length=with_length))
        answer = victim.get("/products/7")
        assert ("Content-Length" in answer.headers) is with_length
        assert len(answer.json()["title"]) == 50 * MEGABYTE

    def test_survives_clients_that_leave_in_the_flood(
        self, hostile_catalog: HostileCatalog, victim: httpx.Client, capfd: pytest.CaptureFixture[str]
    ) -> None:
        hostile_catalog.answer("/products/7", Answer.flood())
        with victim.stream("GET", "/products/7") as answer:
            assert answer.status_code == 200
        assert victim.get("/products/8").json()["id"] == 8
        assert capfd.readouterr().err == ""

    def test_packs_50_megabytes_into_a_few_kilobytes(
        self, hostile_catalog: HostileCatalog, victim: httpx.Client
    ) -> None:
        hostile_catalog.answer("/products/7", Answer.gzip_bomb())
        answer = victim.get("/products/7")
        assert int(answer.headers["Content-Length"]) < MEGABYTE / 10
        assert len(answer.content) > 50 * MEGABYTE

    def test_nonsense_is_never_the_product_itself(self) -> None:
        texts = nonsense(7)
        assert len(set(texts.values())) == len(texts)
        good = simplejson.loads(simplejson.dumps(product(7), use_decimal=True))
        for what, text in texts.items():
            try:
                assert json.loads(text) != good, what
            except (ValueError, RecursionError):
                continue

    def test_blemished_products_differ_in_their_review_alone(self) -> None:
        for what, bad in blemished(7).items():
            assert {**bad, "rating": product(7)["rating"]} == product(7), what
            assert bad != product(7), what

    def test_hostile_lists_are_served(self, hostile_catalog: HostileCatalog, victim: httpx.Client) -> None:
        lists = hostile_lists([product(1), product(2)])
        lengths = {}
        for what, answer in lists.items():
            hostile_catalog.answer("/products", answer)
            lengths[what] = len(victim.get("/products").content)
        assert lengths["no body"] == 0
        assert lengths["duplicates"] > lengths["truncated"] > lengths["empty"] == 2


def test_changes_over_http_survive_a_restart(tmp_path: Path) -> None:
    changes = tmp_path / "catalog.json"
    first = Catalog(changes=changes)
    httpx.patch(f"{first.start()}/products/7", content='{"price": 9.90}').raise_for_status()
    httpx.patch(f"{first.url}/products/8", content='{"removed": true}').raise_for_status()
    first.stop()
    second = Catalog(changes=changes)
    assert '"price":9.90' in (second.product_text(7) or "")
    assert second.product_text(8) is None
