"""DELETE /clients/{client_id}"""

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


def test_client_that_is_gone_or_never_was_is_404_for_an_admin(ana: Caller, db: psycopg.Connection) -> None:
    root = accounts.new_admin(db)
    assert ask("delete_client", root, path={"client_id": str(ana.client_id)}).status == 204
    for gone in (ana.client_id, SOMEBODY_ELSE):
        missing = ask("delete_client", root, path={"client_id": str(gone)})
        assert (missing.status, missing.problem) == (404, "unknown-client")


@pytest.mark.parametrize("by", ["self", "admin"])
def test_log_in_too_long_ago_is_401_with_the_age_that_is_wanted(
    ana: Caller, db: psycopg.Connection, by: str
) -> None:
    caller = ana if by == "self" else accounts.new_admin(db)
    long_ago = replace(caller, authenticated_at=caller.authenticated_at - 301)
    path = {"client_id": str(ana.client_id)}
    answer = ask("delete_client", long_ago, path=path)
    assert (answer.status, answer.problem) == (401, "insufficient-user-authentication")
    challenge = 'Bearer error="insufficient_user_authentication", max_age="300"'
    assert answer.headers["WWW-Authenticate"] == challenge
    assert ask("get_client", ana).status == 200
    in_time = replace(caller, authenticated_at=caller.authenticated_at - 200)
    assert ask("delete_client", in_time, path=path).status == 204


def test_last_admin_is_409(ana: Caller, db: psycopg.Connection) -> None:
    assert ana
    root = accounts.new_admin(db)
    answer = ask("delete_client", root)
    assert (answer.status, answer.problem) == (409, "last-admin")
    other = accounts.new_admin(db)
    assert [ask("delete_client", each).status for each in (root, other)] == [204, 409]
    assert ask("get_client", other).json["role"] == "admin"
