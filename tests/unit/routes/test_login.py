import pytest

from tests.calls import call
from tests.unit.fakes import Backends

PASSWORD = "correct horse battery"


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, ["body.email", "body.password"]),
        ({"email": "ana@example.com"}, ["body.password"]),
        ({"email": None, "password": PASSWORD}, ["body.email"]),
        ({"email": "ana@example.com", "password": None}, ["body.password"]),
        ({"email": "ana@example.com", "password": ""}, ["body.password"]),
        ({"email": "ana@example.com", "password": "x" * 129}, ["body.password"]),
        ({"email": "a" * 255, "password": PASSWORD}, ["body.email"]),
        ({"email": "ana\0@example.com", "password": PASSWORD}, ["body.email"]),
        ({"email": "\ud800", "password": PASSWORD}, ["body.email"]),
        ({"email": "ana@example.com", "password": "\ud800"}, ["body.password"]),
        ({"email": ["ana@example.com"], "password": PASSWORD}, ["body.email"]),
        ({"email": "ana@example.com", "password": PASSWORD, "remember": True}, ["body.remember"]),
    ],
)
def test_bad_input_is_422_and_named(backends: Backends, body: object, wrong: list[str]) -> None:
    answer = call("login", body=body)
    assert answer.status == 422
    assert answer.wrong == wrong
    assert backends.valkey.commands == []
