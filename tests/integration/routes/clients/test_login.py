"""POST /auth/login"""

from typing import Any

import pytest

from shared.errors import DatabaseUnavailable
from shared.platform import database
from tests.calls import Answer, call
from tests.integration import accounts
from tests.integration.accounts import PASSWORD

pytestmark = pytest.mark.usefixtures("environment")

EMAIL = "ana@example.com"


def log_in(email: str = EMAIL, password: str = PASSWORD) -> Answer:
    return call("login", body={"email": email, "password": password})


def test_email_and_password_give_tokens_that_nobody_may_keep() -> None:
    accounts.register(email=EMAIL)
    answer = log_in(" ANA@Example.COM")
    assert answer.status == 200
    assert answer.json.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("Bearer", 900)
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_wrong_password_and_an_unknown_email_get_the_same_answer() -> None:
    accounts.register(email=EMAIL)
    wrong, unknown = log_in(password="a guess"), log_in("nobody@example.com", "a guess")
    assert (wrong.status, wrong.problem) == (401, "invalid-credentials")
    assert wrong.headers["WWW-Authenticate"] == "Bearer"
    assert wrong == unknown


def test_the_fifth_failure_is_429_and_then_the_right_password_has_to_wait_too() -> None:
    accounts.register(email=EMAIL)
    *free, fifth = (log_in(password="a guess") for _ in range(5))
    assert [answer.problem for answer in free] == ["invalid-credentials"] * 4
    for answer in (fifth, log_in()):
        assert (answer.status, answer.problem) == (429, "too-many-attempts")
        assert answer.headers["Retry-After"] == "1"


def test_an_attempt_that_the_database_did_not_hear_is_503_and_not_counted(
    environment: pytest.MonkeyPatch,
) -> None:
    accounts.register(email=EMAIL)
    real = database.fetch_one

    def fetch_one(*_: Any, **__: Any) -> None:
        raise DatabaseUnavailable("The database cannot be reached.", retry_after=1)

    environment.setattr(database, "fetch_one", fetch_one)
    for _ in range(6):
        answer = log_in()
        assert (answer.status, answer.problem) == (503, "database-unavailable")
    environment.setattr(database, "fetch_one", real)
    assert log_in().status == 200
