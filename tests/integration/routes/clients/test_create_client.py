"""POST /clients"""

import base64
import json

import psycopg
import pytest

from shared.platform import database
from tests.calls import call
from tests.integration.accounts import log_in

pytestmark = pytest.mark.usefixtures("environment")

GOOD = {"name": "Ana Souza", "email": "ana@example.com", "password": "correct horse battery"}


def test_new_client_is_answered_with_201_and_its_location(db: psycopg.Connection) -> None:
    answer = call("create_client", body=GOOD | {"name": " Ana Souza ", "email": " Ana.Souza@EXAMPLE.com "})
    assert answer.status == 201
    row = db.execute("SELECT client_id, email_key, rfc3339(created_at) FROM clients").fetchone()
    assert row
    client_id, key, created_at = row
    assert answer.json == {
        "client_id": str(client_id),
        "name": "Ana Souza",
        "email": "Ana.Souza@example.com",
        "role": "client",
        "created_at": created_at,
        "updated_at": created_at,
    }
    assert key == "ana.souza@example.com"
    assert answer.headers == {
        "Content-Type": "application/json",
        "Location": f"/clients/{client_id}",
        "Cache-Control": "private, no-cache",
    }


def test_taken_email_is_409() -> None:
    assert call("create_client").status == 201
    answer = call("create_client")
    assert (answer.status, answer.problem) == (409, "email-taken")


@pytest.mark.parametrize(
    "name", ["x", "x" * 200, " " + "x" * 200 + " ", "Zoë 李小龍 🎈", "O'Brien; DROP TABLE"]
)
def test_name_may_be_anything_of_1_to_200_characters(db: psycopg.Connection, name: str) -> None:
    answer = call("create_client", body=GOOD | {"name": name})
    assert (answer.status, answer.json["name"]) == (201, name.strip())
    assert db.execute("SELECT name FROM clients").fetchall() == [(name.strip(),)]


@pytest.mark.parametrize(
    "password", ["x1y2z3w4", "x" * 128, "  spaces count  ", "пароль на русском", "nul \0 is fine", "🦊" * 8]
)
def test_password_needs_no_composition_and_only_its_hash_is_stored(
    db: psycopg.Connection, password: str
) -> None:
    assert call("create_client", body=GOOD | {"password": password}).status == 201
    assert log_in(GOOD["email"], password)
    row = db.execute("SELECT clients::text FROM clients").fetchone()
    assert row
    assert password not in row[0]


def test_text_of_the_driver_is_not_shown(environment: pytest.MonkeyPatch) -> None:
    def run(*_: object, **__: object) -> None:
        raise psycopg.errors.UndefinedTable("relation clients")

    for name in ("fetch_one", "run", "transaction"):
        environment.setattr(database, name, run)
    answer = call("create_client")
    assert (answer.status, answer.problem) == (500, "internal-error")
    assert "relation" not in answer.body
    assert "psycopg" not in answer.body


@pytest.mark.parametrize(
    "headers", [{"content-type": None}, {"content-type": None, "Content-Type": "application/json"}]
)
@pytest.mark.parametrize("encoded", [False, True], ids=["plain", "base64"])
def test_json_is_read_without_a_content_type_and_in_base64(
    headers: dict[str, str | None], encoded: bool
) -> None:
    body = json.dumps(GOOD | {"name": "João 💥"}, ensure_ascii=False)
    if encoded:
        body = base64.b64encode(body.encode()).decode()
    answer = call("create_client", body=body, headers=headers, isBase64Encoded=encoded)
    assert (answer.status, answer.json["name"]) == (201, "João 💥")


def test_last_of_two_equal_fields_counts() -> None:
    answer = call("create_client", body=json.dumps(GOOD).replace("{", '{"name": "Eva", ', 1))
    assert (answer.status, answer.json["name"]) == (201, "Ana Souza")
