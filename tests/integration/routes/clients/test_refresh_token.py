"""POST /auth/refresh"""

import pytest

from tests.calls import call
from tests.integration.accounts import log_in

pytestmark = pytest.mark.usefixtures("ana")


def test_next_tokens_are_answered_once_more_and_no_cache_may_keep_them() -> None:
    first = log_in().refresh_token
    answer, again = (call("refresh_token", body={"refresh_token": first}) for _ in range(2))
    assert answer.status == 200
    assert answer.json.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert first != answer.json["refresh_token"] == again.json["refresh_token"]
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("token", ["x", "\0", "💥", "' OR true --", "a" * 512])
def test_unknown_token_is_401(token: str) -> None:
    answer = call("refresh_token", body={"refresh_token": token}, authorization=None)
    assert (answer.status, answer.problem) == (401, "invalid-refresh-token")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
