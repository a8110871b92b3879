from decimal import Decimal

import pytest
import urllib3

from tests.calls import ANA, call
from tests.unit import fakes
from tests.unit.fakes import NOT_MARKED, Backends, FakeAnswer, marked_row, product_row

backends = pytest.fixture(fakes.backends)

_INSERT = "INSERT INTO favorites"
_SAVE = "INSERT INTO products"
_COPY = "removed_at FROM products WHERE product_id"
FAVORITE_AS_JSON = {
    "product_id": "7",
    "title": "Teapot",
    "image": "https://images.test/7.png",
    "price": Decimal("22.30"),
    "review": {"rate": Decimal("4.6"), "count": 120},
    "available": True,
    "price_when_favorited": Decimal("25.00"),
    "price_change": Decimal("-2.70"),
    "favorited_at": "2026-11-23T12:00:00.000000Z",
}


def test_a_known_product_becomes_a_favorite_with_201(backends: Backends) -> None:
    backends.postgres.on(_INSERT, [marked_row(created=True)])
    answer = call("add_favorite")
    assert answer.status == 201
    assert answer.json == FAVORITE_AS_JSON
    assert answer.headers["Cache-Control"] == "private, no-cache"
    [parameters] = backends.postgres.asked_for(_INSERT)
    assert (parameters["client_id"], parameters["product_id"]) == (ANA, "7")
    assert len(backends.postgres.asked) == 1
    assert backends.catalog.asked == []


def test_a_favorite_put_again_is_200(backends: Backends) -> None:
    backends.postgres.on(_INSERT, [marked_row(created=False)])
    answer = call("add_favorite")
    assert answer.status == 200
    assert answer.json == FAVORITE_AS_JSON
    assert len(backends.postgres.asked) == 1
    assert backends.catalog.asked == []


def test_one_that_another_request_marked_meanwhile_is_200(backends: Backends) -> None:
    backends.postgres.on(_INSERT, [NOT_MARKED], [marked_row(created=False)])
    answer = call("add_favorite")
    assert (answer.status, answer.json) == (200, FAVORITE_AS_JSON)


def test_one_favorite_more_than_fits_is_409_with_how_many_fit(backends: Backends) -> None:
    backends.postgres.on(_INSERT, [NOT_MARKED | {"is_full": True}])
    answer = call("add_favorite")
    assert (answer.status, answer.json["type"], answer.json["max"]) == (409, "/problems/favorites-full", 5000)
    assert backends.catalog.asked == []


def test_a_product_that_only_the_catalog_knows_is_copied_first(backends: Backends) -> None:
    backends.postgres.on(_INSERT, [NOT_MARKED], [NOT_MARKED], [marked_row(created=True)])
    backends.postgres.on(_SAVE, [product_row()])
    listing = {"generation": 1, "synced_at": None, "is_scheduled": False}
    backends.postgres.on("FROM product_list", [listing])
    backends.catalog.on("/products/7", {"id": 7, "title": "Teapot", "price": 22})
    assert call("add_favorite").status == 201
    order = [word for text in backends.postgres.statements for word in (_INSERT, _SAVE) if word in text]
    assert order == [_INSERT, _INSERT, _SAVE, _INSERT]


@pytest.mark.parametrize("answer", [FakeAnswer(b"null"), FakeAnswer(b""), FakeAnswer(b"", 404)])
def test_a_product_that_nobody_knows_is_404(backends: Backends, answer: FakeAnswer) -> None:
    backends.postgres.on(_INSERT, [NOT_MARKED])
    backends.postgres.on("WITH gone AS", [])
    backends.postgres.on(_COPY, [])
    backends.catalog.on("/products/7", answer)
    refusal = call("add_favorite")
    assert refusal.status == 404
    assert refusal.problem == "unknown-product"
    assert len(backends.postgres.asked_for(_INSERT)) == 2  # before the catalog is asked, and not after


def test_a_removed_product_is_404(backends: Backends) -> None:
    backends.postgres.on(_INSERT, [NOT_MARKED])
    backends.postgres.on(_COPY, [product_row(removed_at=fakes.NOON)])
    backends.catalog.on("/products/7", TimeoutError())
    assert call("add_favorite").problem == "unknown-product"


def test_without_the_catalog_an_unknown_product_is_503_with_retry_after(backends: Backends) -> None:
    backends.postgres.on(_INSERT, [NOT_MARKED])
    backends.postgres.on(_COPY, [])
    backends.catalog.on("/products/7", urllib3.exceptions.ProtocolError("reset"))
    answer = call("add_favorite")
    assert answer.status == 503
    assert answer.problem == "catalog-unavailable"
    assert int(answer.headers["Retry-After"]) > 0


def test_a_removed_client_gets_401(backends: Backends) -> None:
    backends.postgres.on(_INSERT, [])
    answer = call("add_favorite")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("product_id", ["x" * 65, "a b", "7;", "é", "%2e", "7\n", "\0", "7,8"])
def test_an_id_that_no_product_can_have_is_404(backends: Backends, product_id: str) -> None:
    answer = call("add_favorite", path={"product_id": product_id})
    assert answer.status == 404
    assert answer.problem in ("unknown-product", "not-found")
    assert backends.postgres.asked == []


@pytest.mark.parametrize("product_id", ["0", "sku-7.b_1~x", "x" * 64])
def test_an_id_may_be_any_word_of_64_characters(backends: Backends, product_id: str) -> None:
    backends.postgres.on(_INSERT, [marked_row(created=True, product_id=product_id)])
    answer = call("add_favorite", path={"product_id": product_id})
    assert answer.status == 201
    assert backends.postgres.asked_for(_INSERT)[0]["product_id"] == product_id
