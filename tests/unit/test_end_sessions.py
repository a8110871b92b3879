import pytest

from tests.calls import ADMIN, ANA, SOMEBODY_ELSE, call, token
from tests.unit import fakes
from tests.unit.fakes import Backends

backends = pytest.fixture(fakes.backends)

_END = "UPDATE clients SET token_generation"


@pytest.mark.parametrize("name", ["me", str(ANA)])
def test_clients_log_themselves_out_everywhere(backends: Backends, name: str) -> None:
    backends.postgres.on(_END, 1)
    backends.postgres.on("DELETE FROM sessions", 2)
    answer = call("end_sessions", path={"client_id": name})
    assert (answer.status, answer.body) == (204, "")
    assert backends.postgres.statements[-1] == "COMMIT"


def test_another_client_is_403_without_a_look_at_the_database(backends: Backends) -> None:
    answer = call("end_sessions", path={"client_id": str(SOMEBODY_ELSE)})
    assert answer.problem == "forbidden"
    assert backends.postgres.asked == []


def test_an_admin_is_told_that_there_is_no_such_client(backends: Backends) -> None:
    backends.postgres.on(_END, 0)
    backends.postgres.on("SELECT role FROM clients", [{"role": "admin"}])
    answer = call("end_sessions", authorization=token(ADMIN, "admin"), path={"client_id": str(ANA)})
    assert answer.problem == "unknown-client"


def test_who_is_gone_gets_401(backends: Backends) -> None:
    backends.postgres.on(_END, 0)
    assert call("end_sessions").problem == "invalid-token"
