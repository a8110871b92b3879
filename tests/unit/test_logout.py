import pytest

from tests.calls import call
from tests.unit import fakes
from tests.unit.fakes import Backends

backends = pytest.fixture(fakes.backends)

_END = "DELETE FROM sessions"


def test_a_token_that_is_not_good_is_401(backends: Backends) -> None:
    backends.postgres.on(_END, [{"ended": 0}])
    answer = call("logout")
    assert answer.status == 401
    assert answer.problem == "invalid-refresh-token"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_it_needs_no_access_token_nor_the_key_for_one(
    backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ACCESS_TOKEN_KEYS")
    backends.postgres.on(_END, [{"ended": 1}])
    answer = call("logout", authorization=None)
    assert (answer.status, answer.body) == (204, "")
