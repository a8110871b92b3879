import psycopg
import pytest

from shared.accounts import passwords
from tests.calls import ANA, call
from tests.unit import fakes
from tests.unit.fakes import Backends, client_row

backends = pytest.fixture(fakes.backends)

ANA_AS_JSON = {
    "client_id": str(ANA),
    "name": "Ana Souza",
    "email": "ana@example.com",
    "role": "client",
    "created_at": "2026-11-23T12:00:00.000000Z",
    "updated_at": "2026-11-23T12:00:00.000000Z",
}
GOOD = {"name": "Ana Souza", "email": "ana@example.com", "password": "correct horse battery"}


def test_a_new_client_is_answered_with_201_and_its_location(backends: Backends) -> None:
    backends.postgres.on("INSERT INTO clients", [client_row()])
    answer = call("create_client")
    assert answer.status == 201
    assert answer.json == ANA_AS_JSON
    assert answer.headers == {
        "Content-Type": "application/json",
        "Location": f"/clients/{ANA}",
        "Cache-Control": "private, no-cache",
    }


def test_the_password_is_stored_as_a_hash_and_nothing_else(backends: Backends) -> None:
    backends.postgres.on("INSERT INTO clients", [client_row()])
    call("create_client")
    (stored,) = backends.postgres.asked_for("INSERT INTO clients")
    assert passwords.is_password("correct horse battery", stored["password_hash"])
    assert "correct horse battery" not in stored.values()


def test_name_and_email_are_stored_trimmed_and_the_email_with_its_key(backends: Backends) -> None:
    backends.postgres.on("INSERT INTO clients", [client_row()])
    call("create_client", body=GOOD | {"name": "  Ana Souza ", "email": " Ana.Souza@EXAMPLE.com "})
    (stored,) = backends.postgres.asked_for("INSERT INTO clients")
    assert stored["name"] == "Ana Souza"
    assert stored["email"] == "Ana.Souza@example.com"
    assert stored["email_key"] == "ana.souza@example.com"


def test_nobody_makes_themselves_an_admin(backends: Backends) -> None:
    answer = call("create_client", body=GOOD | {"role": "admin"})
    assert answer.wrong == ["body.role"]
    assert backends.postgres.asked == []


def test_an_email_that_is_taken_is_409(backends: Backends) -> None:
    backends.postgres.on("INSERT INTO clients", [])  # ON CONFLICT DO NOTHING
    answer = call("create_client")
    assert answer.status == 409
    assert answer.problem == "email-taken"


@pytest.mark.parametrize(
    "name", ["x", "x" * 200, " " + "x" * 200 + " ", "Zoë 李小龍 🎈", "O'Brien; DROP TABLE"]
)
def test_a_name_may_be_anything_of_1_to_200_characters(backends: Backends, name: str) -> None:
    backends.postgres.on("INSERT INTO clients", [client_row(name=name.strip())])
    answer = call("create_client", body=GOOD | {"name": name})
    assert answer.status == 201
    assert answer.json["name"] == name.strip()
    assert backends.postgres.asked_for("INSERT INTO clients")[0]["name"] == name.strip()


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
def test_a_bad_value_is_422_and_named(backends: Backends, field: str, value: object) -> None:
    answer = call("create_client", body=GOOD | {field: value})
    assert answer.status == 422
    assert answer.wrong == [f"body.{field}"]
    assert backends.postgres.asked == []


@pytest.mark.parametrize("field", ["name", "email", "password"])
def test_a_missing_field_is_422_and_named(backends: Backends, field: str) -> None:
    answer = call("create_client", body={name: value for name, value in GOOD.items() if name != field})
    assert answer.wrong == [f"body.{field}"]
    assert answer.json["errors"][0]["type"] == "missing"
    assert backends.postgres.asked == []


def test_all_that_is_wrong_is_told_at_once(backends: Backends) -> None:
    answer = call("create_client", body={"name": "", "email": "ana", "password": "x", "age": 7})
    assert answer.wrong == ["body.name", "body.email", "body.password", "body.age"]
    assert backends.postgres.asked == []


def test_a_refused_password_is_not_repeated(backends: Backends) -> None:
    answer = call("create_client", body=GOOD | {"password": "Passw0rd"})
    assert answer.wrong == ["body.password"]
    assert "Passw0rd" not in answer.body
    assert backends.postgres.asked == []


@pytest.mark.parametrize(
    "password", ["x1y2z3w4", "x" * 128, "  spaces count  ", "пароль на русском", "nul \0 is fine"]
)
def test_a_password_needs_no_composition(backends: Backends, password: str) -> None:
    backends.postgres.on("INSERT INTO clients", [client_row()])
    assert call("create_client", body=GOOD | {"password": password}).status == 201
    (stored,) = backends.postgres.asked_for("INSERT INTO clients")
    assert passwords.is_password(password, stored["password_hash"])


def test_what_the_driver_says_stays_inside(backends: Backends) -> None:
    backends.postgres.on("INSERT INTO clients", psycopg.errors.UndefinedTable("relation clients"))
    answer = call("create_client")
    assert answer.status == 500
    assert answer.problem == "internal-error"
    assert "relation" not in answer.body
    assert "psycopg" not in answer.body


def test_without_the_database_it_is_503_with_retry_after(backends: Backends) -> None:
    backends.postgres.is_down = True
    answer = call("create_client")
    assert answer.status == 503
    assert answer.problem == "database-unavailable"
    assert answer.headers["Retry-After"] == "1"
