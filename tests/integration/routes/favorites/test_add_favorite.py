"""PUT /favorites/{product_id}"""

import psycopg
import pytest

from shared.accounts.access_tokens import Caller
from shared.favorites.limits import MAX_FAVORITES
from tests.hostile_catalog import Answer as Says
from tests.hostile_catalog import HostileCatalog
from tests.integration import concurrency
from tests.integration.accounts import ask
from tests.integration.favorites.test_favorite_counts import holds, products

pytestmark = pytest.mark.usefixtures("catalog")

PRIVATE = "private, no-cache"


def test_a_put_of_a_known_product_is_201_then_200_in_one_statement_each(
    ana: Caller, db: psycopg.Connection, catalog: HostileCatalog
) -> None:
    [known] = products(db, 1)
    answers = []
    for _ in range(2):
        with concurrency.statements() as sent:
            answers.append(ask("add_favorite", ana, path={"product_id": known}))
        assert len(sent) == 1
    assert [answer.status for answer in answers] == [201, 200]
    assert answers[0].json == answers[1].json == ask("get_favorite", ana, path={"product_id": known}).json
    assert [answer.headers["Cache-Control"] for answer in answers] == [PRIVATE] * 2
    assert catalog.calls == {}


@pytest.mark.parametrize("product_id", ["0", "sku-7.b_1~x", "x" * 64])
def test_an_id_may_be_any_word_of_64_characters(ana: Caller, db: psycopg.Connection, product_id: str) -> None:
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


@pytest.mark.parametrize(
    "answer", [Says.null(), Says.raw(b""), Says.status(404)], ids=["null", "empty", "404"]
)
def test_a_product_that_nobody_knows_is_404(ana: Caller, catalog: HostileCatalog, answer: Says) -> None:
    catalog.answer("/products/7", answer)
    refusal = ask("add_favorite", ana)
    assert (refusal.status, refusal.problem) == (404, "unknown-product")


def test_without_the_catalog_an_unknown_product_is_503_with_retry_after(
    ana: Caller, catalog: HostileCatalog
) -> None:
    catalog.answer("/products/7", Says.reset())
    answer = ask("add_favorite", ana)
    assert (answer.status, answer.problem) == (503, "catalog-unavailable")
    assert int(answer.headers["Retry-After"]) > 0
