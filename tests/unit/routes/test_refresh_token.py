import pytest

from tests.calls import call

pytestmark = pytest.mark.usefixtures("backends")


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, ["body.refresh_token"]),
        ({"refresh_token": None}, ["body.refresh_token"]),
        ({"refresh_token": ""}, ["body.refresh_token"]),
        ({"refresh_token": "x" * 513}, ["body.refresh_token"]),
        ({"refresh_token": 7}, ["body.refresh_token"]),
        ({"refresh_token": "\ud800"}, ["body.refresh_token"]),
        ({"refresh_token": "x", "scope": "all"}, ["body.scope"]),
    ],
)
@pytest.mark.parametrize("function", ["refresh_token", "logout"])
def test_bad_input_is_422_and_named(function: str, body: object, wrong: list[str]) -> None:
    assert call(function, body=body).wrong == wrong
