"""POST /auth/logout"""

import pytest

from shared.accounts.sessions import starts
from tests.calls import call
from tests.integration import accounts
from tests.integration.accounts import PASSWORD


def test_it_ends_the_session_and_needs_no_access_token_nor_the_key_for_one(
    environment: pytest.MonkeyPatch,
) -> None:
    client = accounts.register()
    token = starts.log_in(client.email, PASSWORD).refresh_token
    environment.delenv("ACCESS_TOKEN_KEYS")
    answer = call("logout", body={"refresh_token": token}, authorization=None)
    assert (answer.status, answer.body) == (204, "")
    again = call("logout", body={"refresh_token": token}, authorization=None)
    assert (again.status, again.problem) == (401, "invalid-refresh-token")
    assert again.headers["WWW-Authenticate"] == "Bearer"
    assert again.json["detail"] == "The refresh token is unknown, expired, revoked or was used before."
