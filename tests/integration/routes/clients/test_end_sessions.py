"""DELETE /clients/{client_id}/sessions"""

import psycopg
import pytest

from shared.accounts.access_tokens import Caller
from tests.calls import SOMEBODY_ELSE
from tests.integration import accounts
from tests.integration.accounts import ask, is_alive, log_in


@pytest.mark.parametrize("by", ["me", "id", "admin"])
def test_all_sessions_and_tokens_of_one_client_end(ana: Caller, db: psycopg.Connection, by: str) -> None:
    accounts.register(email="ben@example.com")
    phone, laptop, bens = log_in(), log_in(), log_in("ben@example.com")
    caller = accounts.new_admin(db) if by == "admin" else ana
    answer = ask("end_sessions", caller, path={"client_id": "me" if by == "me" else str(ana.client_id)})
    assert (answer.status, answer.body) == (204, "")
    assert [is_alive(tokens) for tokens in (phone, laptop, bens)] == [False, False, True]
    assert ask("get_client", ana).problem == "invalid-token"
    assert is_alive(log_in())


def test_unknown_client_is_404_for_an_admin(environment: pytest.MonkeyPatch, db: psycopg.Connection) -> None:
    assert environment
    answer = ask("end_sessions", accounts.new_admin(db), path={"client_id": str(SOMEBODY_ELSE)})
    assert (answer.status, answer.problem) == (404, "unknown-client")
