"""PUT /favorites/{product_id}"""

import psycopg
import pytest

from local.servers.valkey import Valkey
from shared.accounts.access_tokens import Caller
from shared.favorites.limits import MAX_FAVORITES
from tests.hostile_catalog import Answer as Says
from tests.hostile_catalog import HostileCatalog
from tests.integration import concurrency
from tests.integration.accounts import ask
from tests.integration.favorites.test_favorite_counts import holds, products

pytestmark = pytest.mark.usefixtures("catalog")


def test_known_product_is_201_then_200_in_one_statement_and_no_other_call_each(
    ana: Caller, db: psycopg.Connection, catalog: HostileCatalog, valkey: Valkey
) -> None:
    [known] = products(db, 1)
    answers = []
    for _ in range(2):
        with concurrency.statements() as sent, concurrency.commands(valkey.url) as counted:
            answers.append(ask("add_favorite", ana, path={"product_id": known}))
        assert (len(sent), counted, catalog.calls) == (1, {}, {})
    assert [answer.status for answer in answers] == [201, 200]
    assert answers[0].json == answers[1].json == ask("get_favorite", ana, path={"product_id": known}).json
    assert [answer.headers["Cache-Control"] for answer in answers] == ["private, no-cache"] * 2


@pytest.mark.parametrize("product_id", ["0", "sku-7.b_1~x", "x" * 64])
def test_id_may_be_any_word_of_64_characters(ana: Caller, db: psycopg.Connection, product_id: str) -> None:
    products(db, 1)
    db.execute("UPDATE products SET product_id = %s", [product_id])
    answer = ask("add_favorite", ana, path={"product_id": product_id})
    assert (answer.status, answer.json["product_id"]) == (201, product_id)


def test_one_favorite_more_than_fits_is_409_with_how_many_fit(
    ana: Caller, db: psycopg.Connection, catalog: HostileCatalog
) -> None:
    *held, last = products(db, MAX_FAVORITES + 1)
    holds(db, ana, held)
    answer = ask("add_favorite", ana, path={"product_id": last})
    assert (answer.status, answer.json["type"]) == (409, "/problems/favorites-full")
    assert answer.json["max"] == MAX_FAVORITES
    assert catalog.calls == {}


UNANSWERED = {
    "null": (Says.null(), 404, "unknown-product"),
    "empty": (Says.raw(b""), 404, "unknown-product"),
    "404": (Says.status(404), 404, "unknown-product"),
    "500": (Says.status(500), 503, "catalog-unavailable"),
    "reset": (Says.reset(), 503, "catalog-unavailable"),
    "html": (Says.html(), 503, "catalog-unavailable"),
}


@pytest.mark.parametrize("kind", UNANSWERED)
def test_product_that_the_catalog_does_not_confirm_is_not_added(
    ana: Caller, catalog: HostileCatalog, db: psycopg.Connection, kind: str
) -> None:
    answer, status, problem = UNANSWERED[kind]
    catalog.answer("/products/7", answer)
    for _ in range(2):
        refusal = ask("add_favorite", ana)
        assert (refusal.status, refusal.problem) == (status, problem)
        assert (int(refusal.headers.get("Retry-After", 0)) > 0) == (status == 503)
    assert db.execute("SELECT FROM favorites").rowcount == 0
