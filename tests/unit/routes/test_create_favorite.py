import pytest

from tests.calls import SOMEBODY_ELSE, call

pytestmark = pytest.mark.usefixtures("backends")


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
def test_bad_input_is_422_and_named(body: object, wrong: list[str]) -> None:
    answer = call("create_favorite", body=body)
    assert answer.status == 422
    assert answer.wrong == wrong
