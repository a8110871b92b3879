"""DELETE /clients/{client_id}/sessions"""

import psycopg
import pytest

from shared.accounts.access_tokens import Caller
from shared.accounts.sessions import starts
from tests.calls import SOMEBODY_ELSE, call
from tests.integration import accounts
from tests.integration.accounts import PASSWORD, ask


@pytest.mark.parametrize("name", ["me", "id"])
def test_clients_log_themselves_out_everywhere(ana: Caller, db: psycopg.Connection, name: str) -> None:
    row = db.execute("SELECT email FROM clients").fetchone()
    assert row
    held = starts.log_in(row[0], PASSWORD)
    path = {"client_id": name if name == "me" else str(ana.client_id)}
    answer = ask("end_sessions", ana, path=path)
    assert (answer.status, answer.body) == (204, "")
    refused = call("refresh_token", body={"refresh_token": held.refresh_token})
    assert refused.problem == "invalid-refresh-token"
    assert ask("get_client", ana).problem == "invalid-token"


def test_an_admin_is_told_that_there_is_no_such_client(ana: Caller, db: psycopg.Connection) -> None:
    root = accounts.new_admin(db)
    missing = {"client_id": str(SOMEBODY_ELSE)}
    assert ask("end_sessions", root, path=missing).problem == "unknown-client"
    assert ask("end_sessions", root, path={"client_id": str(ana.client_id)}).status == 204
