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
    with environment.context() as without_keys:
        without_keys.delenv("ACCESS_TOKEN_KEYS")
        for sent in (token, token, "of nobody"):  # RFC 7009 §2.2: an invalid token is no error
            answer = call("logout", body={"refresh_token": sent}, authorization=None)
            assert (answer.status, answer.body) == (204, "")
    refused = call("refresh_token", body={"refresh_token": token}, authorization=None)
    assert (refused.status, refused.problem) == (401, "invalid-refresh-token")
    assert refused.headers["WWW-Authenticate"] == "Bearer"
