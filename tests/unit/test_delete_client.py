import time

import pytest

from shared.accounts import access_tokens
from tests.calls import ADMIN, ANA, SOMEBODY_ELSE, call, token
from tests.unit import fakes
from tests.unit.fakes import Backends

backends = pytest.fixture(fakes.backends)

_DELETE = "DELETE FROM clients"


_READ = "SELECT email, role FROM clients"


@pytest.fixture
def ana(backends: Backends) -> Backends:
    """The backends, with Ana in the database."""
    backends.postgres.on(_READ, [{"email": "ana@example.com", "role": "client"}])
    backends.postgres.on(_DELETE, 1)
    return backends


@pytest.mark.parametrize("name", ["me", str(ANA)])
def test_clients_remove_themselves(ana: Backends, name: str) -> None:
    answer = call("delete_client", path={"client_id": name})
    assert (answer.status, answer.body) == (204, "")
    assert ana.postgres.asked_for(_DELETE) == [{"client_id": ANA}]


def test_an_admin_removes_anybody(ana: Backends) -> None:
    ana.postgres.on("SELECT role FROM clients", [{"role": "admin"}])
    answer = call("delete_client", authorization=token(ADMIN, "admin"), path={"client_id": str(ANA)})
    assert answer.status == 204
    assert ana.postgres.asked_for(_DELETE) == [{"client_id": ANA}]


def test_a_log_in_too_long_ago_is_401_with_the_age_that_is_wanted(ana: Backends) -> None:
    old = access_tokens.issue(ANA, "client", authenticated_at=int(time.time()) - 301)
    answer = call("delete_client", authorization=f"Bearer {old}")
    assert answer.status == 401
    assert answer.problem == "insufficient-user-authentication"
    assert (
        answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_user_authentication", max_age="300"'
    )
    assert ana.postgres.asked_for(_DELETE) == []


def test_the_last_admin_is_409(backends: Backends) -> None:
    backends.postgres.on(_READ, [{"email": "ana@example.com", "role": "admin"}])
    backends.postgres.on("ORDER BY client_id FOR UPDATE", [{"client_id": ANA}])
    answer = call("delete_client")
    assert answer.status == 409
    assert answer.problem == "last-admin"


def test_another_client_is_403_without_a_look_at_the_database(backends: Backends) -> None:
    answer = call("delete_client", path={"client_id": str(SOMEBODY_ELSE)})
    assert answer.status == 403
    assert answer.problem == "forbidden"
    assert backends.postgres.asked == []


def test_a_former_admin_removes_nobody(backends: Backends) -> None:
    backends.postgres.on("SELECT role FROM clients", [{"role": "client"}])
    answer = call("delete_client", authorization=token(ADMIN, "admin"), path={"client_id": str(ANA)})
    assert answer.status == 403
    assert backends.postgres.asked_for(_DELETE) == []


def test_an_admin_is_told_that_there_is_no_such_client(backends: Backends) -> None:
    backends.postgres.on(_READ, [])
    backends.postgres.on("SELECT role FROM clients", [{"role": "admin"}])
    answer = call("delete_client", authorization=token(ADMIN, "admin"), path={"client_id": str(ANA)})
    assert answer.status == 404
    assert answer.problem == "unknown-client"


def test_who_was_removed_before_gets_401(backends: Backends) -> None:
    backends.postgres.on(_READ, [])
    answer = call("delete_client")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("name", ["42", "all", "*"])
def test_an_id_that_is_no_uuid_is_404(backends: Backends, name: str) -> None:
    answer = call("delete_client", path={"client_id": name})
    assert answer.status == 404
    assert backends.postgres.asked == []
