import pytest

from shared.accounts import sessions
from tests.unit import fakes
from tests.unit.calls import call
from tests.unit.fakes import Backends

backends = pytest.fixture(fakes.backends)

_REVOKE_FAMILY = "DELETE FROM refresh_tokens WHERE family_id"


def test_the_whole_family_of_the_token_is_revoked(backends: Backends) -> None:
    backends.postgres.on("FOR NO KEY UPDATE OF clients", [])
    backends.postgres.on(_REVOKE_FAMILY, 3)
    answer = call("logout", body={"refresh_token": "held"})
    assert (answer.status, answer.body) == (204, "")
    assert backends.postgres.asked_for(_REVOKE_FAMILY) == [{"token_hash": sessions._hash("held")}]


def test_a_token_that_is_not_good_is_401(backends: Backends) -> None:
    backends.postgres.on("FOR NO KEY UPDATE OF clients", [])
    backends.postgres.on(_REVOKE_FAMILY, 0)
    answer = call("logout")
    assert answer.status == 401
    assert answer.problem == "invalid-refresh-token"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_it_needs_no_access_token_nor_the_key_for_one(
    backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ACCESS_TOKEN_KEYS")
    backends.postgres.on("FOR NO KEY UPDATE OF clients", [])
    backends.postgres.on(_REVOKE_FAMILY, 1)
    assert call("logout", authorization=None).status == 204
