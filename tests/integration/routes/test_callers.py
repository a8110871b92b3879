"""Whoever calls has to be there still, whatever they ask for."""

import pytest

from tests.calls import NEEDING_A_CALLER, call

pytestmark = pytest.mark.usefixtures("store")


@pytest.mark.parametrize("function", NEEDING_A_CALLER)
def test_a_token_of_a_client_who_is_gone_is_401(function: str) -> None:
    answer = call(function)
    assert (answer.status, answer.problem) == (401, "invalid-token")
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
