import pytest

from tests.calls import ADMIN, ANA, SOMEBODY_ELSE, call, token
from tests.unit import fakes
from tests.unit.fakes import Backends, client_row
from tests.unit.test_create_client import ANA_AS_JSON

backends = pytest.fixture(fakes.backends)

_READ = "FROM clients WHERE client_id"


@pytest.mark.parametrize("name", ["me", str(ANA), str(ANA).upper()])
def test_clients_read_themselves(backends: Backends, name: str) -> None:
    backends.postgres.on(_READ, [client_row()])
    answer = call("get_client", path={"client_id": name})
    assert answer.status == 200
    assert answer.json == ANA_AS_JSON
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert backends.postgres.asked_for(_READ) == [{"client_id": ANA, "generation": 0}]


def test_an_admin_reads_anybody(backends: Backends) -> None:
    backends.postgres.on(_READ, [client_row()])
    backends.postgres.on("SELECT role FROM clients", [{"role": "admin"}])
    answer = call("get_client", authorization=token(ADMIN, "admin"), path={"client_id": str(ANA)})
    assert answer.status == 200
    assert answer.json["client_id"] == str(ANA)


def test_another_client_is_403_without_a_look_at_the_database(backends: Backends) -> None:
    answer = call("get_client", path={"client_id": str(SOMEBODY_ELSE)})
    assert answer.status == 403
    assert answer.problem == "forbidden"
    assert backends.postgres.asked == []


def test_an_admin_is_told_that_there_is_no_such_client(backends: Backends) -> None:
    backends.postgres.on(_READ, [])
    backends.postgres.on("SELECT role FROM clients", [{"role": "admin"}])
    answer = call("get_client", authorization=token(ADMIN, "admin"), path={"client_id": str(SOMEBODY_ELSE)})
    assert answer.status == 404
    assert answer.problem == "unknown-client"


def test_a_removed_client_gets_401(backends: Backends) -> None:
    backends.postgres.on(_READ, [])
    answer = call("get_client")
    assert answer.status == 401
    assert answer.problem == "invalid-token"
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize(
    "name", ["42", "ME", "me ", "null", str(ANA)[:-1], str(ANA) + "0", "%00", "é", "'--"]
)
def test_an_id_that_is_no_uuid_is_404(backends: Backends, name: str) -> None:
    answer = call("get_client", path={"client_id": name})
    assert answer.status == 404
    assert answer.problem in ("unknown-client", "not-found")
    assert backends.postgres.asked == []


def test_who_has_it_already_gets_a_304_without_a_body(backends: Backends) -> None:
    backends.postgres.on(_READ, [client_row()])
    etag = call("get_client").headers["ETag"]
    assert etag.startswith('"')  # a strong one
    answer = call("get_client", headers={"if-none-match": etag})
    assert (answer.status, answer.body) == (304, "")
    assert answer.headers["ETag"] == etag
    assert answer.headers["Cache-Control"] == "private, no-cache"


def test_a_changed_client_has_another_etag(backends: Backends) -> None:
    backends.postgres.on(_READ, [client_row()], [client_row(name="Ana Lima")])
    before = call("get_client").headers["ETag"]
    after = call("get_client", headers={"if-none-match": before})
    assert after.status == 200
    assert after.headers["ETag"] != before
