"""GET /clients/{client_id}"""

import psycopg
import pytest

from shared.accounts.access_tokens import Caller
from tests.calls import SOMEBODY_ELSE
from tests.integration import accounts
from tests.integration.accounts import ask


@pytest.mark.parametrize("name", ["me", "{}", "{}:upper"])
def test_clients_read_themselves(ana: Caller, name: str) -> None:
    client_id = name.replace("{}", str(ana.client_id))
    if client_id.endswith(":upper"):
        client_id = client_id.removesuffix(":upper").upper()
    answer = ask("get_client", ana, path={"client_id": client_id})
    assert answer.status == 200
    assert answer.json["client_id"] == str(ana.client_id)
    assert answer.json.keys() == {"client_id", "name", "email", "role", "created_at", "updated_at"}
    assert answer.headers["Cache-Control"] == "private, no-cache"


def test_an_admin_reads_anybody_and_is_told_who_is_not_there(ana: Caller, db: psycopg.Connection) -> None:
    root = accounts.new_admin(db)
    answer = ask("get_client", root, path={"client_id": str(ana.client_id)})
    assert (answer.status, answer.json["client_id"]) == (200, str(ana.client_id))
    missing = ask("get_client", root, path={"client_id": str(SOMEBODY_ELSE)})
    assert (missing.status, missing.problem) == (404, "unknown-client")


def test_who_has_it_already_gets_a_304_until_it_changes(ana: Caller) -> None:
    etag = ask("get_client", ana).headers["ETag"]
    assert etag.startswith('"')  # a strong one
    same = ask("get_client", ana, headers={"if-none-match": etag})
    assert (same.status, same.body, same.headers["ETag"]) == (304, "", etag)
    assert same.headers["Cache-Control"] == "private, no-cache"
    changed = ask("update_client", ana, body={"name": "Ana Lima"})
    after = ask("get_client", ana, headers={"if-none-match": etag})
    assert after.status == 200
    assert after.headers["ETag"] == changed.headers["ETag"] != etag
