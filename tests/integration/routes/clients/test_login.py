"""POST /auth/login"""

import pytest

from tests.calls import Answer, call
from tests.integration.accounts import EMAIL, PASSWORD

pytestmark = pytest.mark.usefixtures("ana")


def log_in(email: str = EMAIL, password: str = PASSWORD) -> Answer:
    return call("login", body={"email": email, "password": password})


def test_email_and_password_give_tokens_that_no_cache_may_keep() -> None:
    answer = log_in(" ANA@Example.COM")
    assert answer.status == 200
    assert answer.json.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("Bearer", 900)
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("email", "password"),
    [
        (EMAIL, PASSWORD.upper()),
        (EMAIL, PASSWORD + " "),
        ("nobody@example.com", PASSWORD),
        ("no e-mail at all", PASSWORD),
        ("' OR true; --", PASSWORD),
    ],
)
def test_wrong_email_and_wrong_password_get_the_same_answer(email: str, password: str) -> None:
    answer = log_in(email, password)
    assert (answer.status, answer.problem) == (401, "invalid-credentials")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer == log_in(password="a guess")


def test_fifth_failure_is_429_and_then_the_right_password_has_to_wait_too() -> None:
    *free, fifth = (log_in(password="a guess") for _ in range(5))
    assert [answer.problem for answer in free] == ["invalid-credentials"] * 4
    for answer in (fifth, log_in()):
        assert (answer.status, answer.problem) == (429, "too-many-attempts")
        assert answer.headers["Retry-After"] == "1"
