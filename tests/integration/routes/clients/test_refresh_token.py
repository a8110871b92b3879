"""POST /auth/refresh"""

import pytest

from shared.accounts.sessions import starts
from tests.calls import call
from tests.integration import accounts
from tests.integration.accounts import PASSWORD

pytestmark = pytest.mark.usefixtures("environment")


def test_the_next_tokens_are_answered_that_nobody_may_keep() -> None:
    client = accounts.register()
    first = starts.log_in(client.email, PASSWORD)
    answer = call("refresh_token", body={"refresh_token": first.refresh_token})
    assert answer.status == 200
    assert answer.json.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert answer.json["refresh_token"] != first.refresh_token
    assert answer.headers["Cache-Control"] == "no-store"
    again = call("refresh_token", body={"refresh_token": first.refresh_token})
    assert again.json["refresh_token"] == answer.json["refresh_token"]


@pytest.mark.parametrize("token", ["x", "\0", "💥", "' OR true --", "a" * 512])
def test_nonsense_in_the_right_shape_is_401(token: str) -> None:
    answer = call("refresh_token", body={"refresh_token": token})
    assert (answer.status, answer.problem) == (401, "invalid-refresh-token")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
