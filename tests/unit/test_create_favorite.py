import pytest

from tests.calls import ANA, SOMEBODY_ELSE, call
from tests.unit import fakes
from tests.unit.fakes import Backends, marked_row
from tests.unit.test_add_favorite import FAVORITE_AS_JSON

backends = pytest.fixture(fakes.backends)

_INSERT = "INSERT INTO favorites"


def test_a_new_favorite_is_201_with_its_location(backends: Backends) -> None:
    backends.postgres.on(_INSERT, [marked_row(created=True)])
    answer = call("create_favorite")
    assert answer.status == 201
    assert answer.json == FAVORITE_AS_JSON
    assert answer.headers["Location"] == "/favorites/7"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    [parameters] = backends.postgres.asked_for(_INSERT)
    assert (parameters["client_id"], parameters["product_id"]) == (ANA, "7")


def test_one_that_is_a_favorite_already_is_409(backends: Backends) -> None:
    backends.postgres.on(_INSERT, [marked_row(created=False)])
    answer = call("create_favorite")
    assert answer.status == 409
    assert answer.problem == "already-favorite"


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, ["body.product_id"]),
        ({"product_id": None}, ["body.product_id"]),
        ({"product_id": 7}, ["body.product_id"]),
        ({"product_id": ""}, ["body.product_id"]),
        ({"product_id": "a b"}, ["body.product_id"]),
        ({"product_id": "7\n"}, ["body.product_id"]),
        ({"product_id": "\0"}, ["body.product_id"]),
        ({"product_id": "\ud800"}, ["body.product_id"]),
        ({"product_id": "é"}, ["body.product_id"]),
        ({"product_id": "x" * 65}, ["body.product_id"]),
        ({"product_id": "7", "client_id": str(SOMEBODY_ELSE)}, ["body.client_id"]),
    ],
)
def test_bad_input_is_422_and_named(backends: Backends, body: object, wrong: list[str]) -> None:
    answer = call("create_favorite", body=body)
    assert answer.status == 422
    assert answer.wrong == wrong
    assert backends.postgres.asked == []
