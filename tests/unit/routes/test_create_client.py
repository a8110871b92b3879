import pytest

from tests.calls import call

pytestmark = pytest.mark.usefixtures("backends")

GOOD = {"name": "Ana Souza", "email": "ana@example.com", "password": "correct horse battery"}


def test_nobody_makes_themselves_an_admin() -> None:
    answer = call("create_client", body=GOOD | {"role": "admin"})
    assert answer.wrong == ["body.role"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "   "),
        ("name", "x" * 201),
        ("name", "Ana\0Souza"),
        ("name", "Ana \ud800"),  # half a character: no UTF-8, so nothing that PostgreSQL could keep
        ("name", None),
        ("name", 7),
        ("name", ["Ana"]),
        ("email", ""),
        ("email", "ana"),
        ("email", "ana@"),
        ("email", "@example.com"),
        ("email", "ana@example"),
        ("email", "ana@exam\0ple.com"),
        ("email", "ana@\ud800.com"),
        ("email", "ana@example.com, eva@example.com"),
        ("email", "a" * 250 + "@example.com"),
        ("email", None),
        ("email", {"address": "ana@example.com"}),
        ("password", "7 chars"),
        ("password", "x" * 129),
        ("password", "password"),
        ("password", "Password1"),
        ("password", "12345678"),
        ("password", "half a \ud800 character"),
        ("password", None),
        ("password", 1234567890),
    ],
)
def test_a_bad_value_is_422_and_named(field: str, value: object) -> None:
    answer = call("create_client", body=GOOD | {field: value})
    assert answer.status == 422
    assert answer.wrong == [f"body.{field}"]


@pytest.mark.parametrize("field", ["name", "email", "password"])
def test_a_missing_field_is_422_and_named(field: str) -> None:
    answer = call("create_client", body={name: value for name, value in GOOD.items() if name != field})
    assert answer.wrong == [f"body.{field}"]
    assert answer.json["errors"][0]["type"] == "missing"


def test_all_that_is_wrong_is_told_at_once() -> None:
    answer = call("create_client", body={"name": "", "email": "ana", "password": "x", "age": 7})
    assert answer.wrong == ["body.name", "body.email", "body.password", "body.age"]


def test_a_refused_password_is_not_repeated() -> None:
    answer = call("create_client", body=GOOD | {"password": "Passw0rd"})
    assert answer.wrong == ["body.password"]
    assert "Passw0rd" not in answer.body
