"""POST /auth/logout"""

import pytest

from tests.calls import call
from tests.integration.accounts import is_alive, log_in


@pytest.mark.usefixtures("ana")
def test_log_out_ends_one_session_and_needs_neither_access_token_nor_key(
    environment: pytest.MonkeyPatch,
) -> None:
    phone, laptop = log_in(), log_in()
    with environment.context() as without_keys:
        without_keys.delenv("ACCESS_TOKEN_KEYS")
        for token in (phone.refresh_token, phone.refresh_token, "unknown"):  # no error: RFC 7009 §2.2
            answer = call("logout", body={"refresh_token": token}, authorization=None)
            assert (answer.status, answer.body) == (204, "")
    assert (is_alive(phone), is_alive(laptop)) == (False, True)
