from uuid import UUID

import pytest

from shared.accounts import sessions
from tests.unit import fakes
from tests.unit.calls import call, sample
from tests.unit.fakes import ANA, Backends

backends = pytest.fixture(fakes.backends)

_CLIENT = "JOIN refresh_tokens USING (client_id)"
_USE = "UPDATE refresh_tokens"
_KEEP = "INSERT INTO refresh_tokens"
_REVOKE_FAMILY = "WHERE family_id ="
FAMILY = UUID("7d1c1f53-0b8e-4c59-9a64-4bb1a2d6e833")


@pytest.fixture
def logged_in(backends: Backends) -> Backends:
    """The backends, with a session of Ana's whose token is the sample's."""
    backends.postgres.on("DELETE FROM refresh_tokens WHERE client_id", 0)
    backends.postgres.on(_CLIENT, [{"client_id": ANA, "role": "client", "generation": 0}])
    backends.postgres.on(_USE, [{"family_id": FAMILY}])
    backends.postgres.on(_KEEP, 1)
    return backends


@pytest.fixture
def unknown(backends: Backends) -> Backends:
    """The backends, with no token that is good any more."""
    backends.postgres.on(_CLIENT, [])
    backends.postgres.on(_USE, [])
    backends.postgres.on(_REVOKE_FAMILY, 0)
    return backends


def test_a_good_token_gives_new_ones_that_nobody_may_keep(logged_in: Backends) -> None:
    answer = call("refresh_token")
    assert answer.status == 200
    assert answer.json.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert answer.json["refresh_token"] not in sample("refresh_token")["body"]
    assert answer.headers["Cache-Control"] == "no-store"
    logged_in.postgres.on("DELETE FROM favorites", 1)
    assert call("remove_favorite", authorization=f"Bearer {answer.json['access_token']}").status == 204


def test_the_old_token_is_used_up_and_the_new_one_kept_in_one_transaction(logged_in: Backends) -> None:
    call("refresh_token")
    begin, lock, use, *_, keep, commit = logged_in.postgres.statements
    assert (begin, commit) == ("BEGIN", "COMMIT")
    assert "FOR NO KEY UPDATE OF clients" in lock
    assert use.startswith(_USE)
    assert keep.startswith(_KEEP)


def test_the_new_token_is_of_the_same_family(logged_in: Backends) -> None:
    token = call("refresh_token").json["refresh_token"]
    (kept,) = logged_in.postgres.asked_for(_KEEP)
    assert kept["family_id"] == FAMILY
    assert kept["token_hash"] == sessions._hash(token)


def test_the_new_access_token_has_the_role_of_now(logged_in: Backends) -> None:
    logged_in.postgres.on(_CLIENT, [{"client_id": ANA, "role": "admin", "generation": 0}])
    logged_in.postgres.on("SELECT role FROM clients", [{"role": "admin"}])
    logged_in.postgres.on("FROM clients WHERE (", [])
    token = call("refresh_token").json["access_token"]
    assert call("list_clients", authorization=f"Bearer {token}").status == 200


def test_a_token_that_is_not_good_is_401(unknown: Backends) -> None:
    answer = call("refresh_token")
    assert answer.status == 401
    assert answer.problem == "invalid-refresh-token"
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert unknown.postgres.asked_for(_KEEP) == []


def test_a_token_that_was_used_before_revokes_its_family_for_good(unknown: Backends) -> None:
    unknown.postgres.on(_CLIENT, [{"client_id": ANA, "role": "client", "generation": 0}])
    unknown.postgres.on(_REVOKE_FAMILY, 4)
    assert call("refresh_token").status == 401
    assert len(unknown.postgres.asked_for(_REVOKE_FAMILY)) == 1
    assert unknown.postgres.statements[-1] == "COMMIT"  # the refusal does not undo it


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, ["body.refresh_token"]),
        ({"refresh_token": None}, ["body.refresh_token"]),
        ({"refresh_token": ""}, ["body.refresh_token"]),
        ({"refresh_token": "x" * 513}, ["body.refresh_token"]),
        ({"refresh_token": 7}, ["body.refresh_token"]),
        ({"refresh_token": "\ud800"}, ["body.refresh_token"]),
        ({"refresh_token": "x", "scope": "all"}, ["body.scope"]),
    ],
)
@pytest.mark.parametrize("function", ["refresh_token", "logout"])
def test_bad_input_is_422_and_named(
    backends: Backends, function: str, body: object, wrong: list[str]
) -> None:
    assert call(function, body=body).wrong == wrong
    assert backends.postgres.asked == []


@pytest.mark.parametrize("token", ["x", "\0", "💥", "' OR true --", "a" * 512])
def test_nonsense_in_the_right_shape_is_401(unknown: Backends, token: str) -> None:
    assert call("refresh_token", body={"refresh_token": token}).problem == "invalid-refresh-token"
    assert unknown.postgres.statements[-1] == "COMMIT"
