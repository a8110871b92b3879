"""GET /clients/{client_id}"""

import psycopg
import pytest

from shared.accounts.access_tokens import Caller
from tests.calls import SOMEBODY_ELSE
from tests.integration import accounts
from tests.integration.accounts import ask


@pytest.mark.parametrize("name", ["me", "id", "ID"])
def test_clients_read_themselves(ana: Caller, name: str) -> None:
    client_id = {"me": "me", "id": str(ana.client_id), "ID": str(ana.client_id).upper()}[name]
    answer = ask("get_client", ana, path={"client_id": client_id})
    assert answer.status == 200
    assert answer.json["client_id"] == str(ana.client_id)
    assert answer.json.keys() == {"client_id", "name", "email", "role", "created_at", "updated_at"}
    assert answer.headers["Cache-Control"] == "private, no-cache"


def test_admin_reads_others_and_an_unknown_client_is_404(ana: Caller, db: psycopg.Connection) -> None:
    root = accounts.new_admin(db)
    answer = ask("get_client", root, path={"client_id": str(ana.client_id)})
    assert (answer.status, answer.json["client_id"]) == (200, str(ana.client_id))
    missing = ask("get_client", root, path={"client_id": str(SOMEBODY_ELSE)})
    assert (missing.status, missing.problem) == (404, "unknown-client")


def test_etag_is_304_until_the_client_changes(ana: Caller) -> None:
    etag = ask("get_client", ana).headers["ETag"]
    assert etag.startswith('"')  # a strong one
    same = ask("get_client", ana, headers={"if-none-match": etag})
    assert (same.status, same.body, same.headers["ETag"]) == (304, "", etag)
    assert same.headers["Cache-Control"] == "private, no-cache"
    changed = ask("update_client", ana, body={"name": "Ana Lima"})
    after = ask("get_client", ana, headers={"if-none-match": etag})
    assert after.status == 200
    assert after.headers["ETag"] == changed.headers["ETag"] != etag
