"""DELETE /clients/{client_id}"""

import time
from dataclasses import replace

import psycopg
import pytest

from shared.accounts.access_tokens import Caller
from tests.calls import SOMEBODY_ELSE
from tests.integration import accounts
from tests.integration.accounts import ask


@pytest.mark.parametrize("name", ["me", "id"])
def test_clients_remove_themselves(ana: Caller, name: str) -> None:
    path = {"client_id": name if name == "me" else str(ana.client_id)}
    answer = ask("delete_client", ana, path=path)
    assert (answer.status, answer.body) == (204, "")
    assert ask("get_client", ana).problem == "invalid-token"


def test_an_admin_removes_anybody_and_is_told_who_is_not_there(ana: Caller, db: psycopg.Connection) -> None:
    root = accounts.new_admin(db)
    assert ask("delete_client", root, path={"client_id": str(ana.client_id)}).status == 204
    for gone in (ana.client_id, SOMEBODY_ELSE):
        missing = ask("delete_client", root, path={"client_id": str(gone)})
        assert (missing.status, missing.problem) == (404, "unknown-client")


def test_a_log_in_too_long_ago_is_401_with_the_age_that_is_wanted(ana: Caller) -> None:
    answer = ask("delete_client", replace(ana, authenticated_at=int(time.time()) - 301))
    assert (answer.status, answer.problem) == (401, "insufficient-user-authentication")
    challenge = 'Bearer error="insufficient_user_authentication", max_age="300"'
    assert answer.headers["WWW-Authenticate"] == challenge
    assert ask("get_client", ana).status == 200


def test_the_last_admin_is_409(db: psycopg.Connection, environment: pytest.MonkeyPatch) -> None:
    assert environment
    answer = ask("delete_client", accounts.new_admin(db))
    assert (answer.status, answer.problem) == (409, "last-admin")


def test_a_former_admin_removes_nobody(ana: Caller) -> None:
    former = replace(accounts.new_caller(), role="admin")
    answer = ask("delete_client", former, path={"client_id": str(ana.client_id)})
    assert answer.status == 403
    assert ask("get_client", ana).status == 200
