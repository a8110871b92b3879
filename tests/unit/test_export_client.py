import pytest

from tests.calls import SOMEBODY_ELSE, call
from tests.unit import fakes
from tests.unit.fakes import Backends

backends = pytest.fixture(fakes.backends)

_READ = "SELECT json_build_object("


def test_an_export_is_a_file_that_nobody_else_may_keep(backends: Backends) -> None:
    backends.postgres.on(_READ, [{"export": '{"clients": []}'}])
    answer = call("export_client")
    assert (answer.status, answer.json) == (200, {"clients": []})
    assert answer.headers["Content-Disposition"] == 'attachment; filename="favorites-export.json"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"


def test_another_client_is_403_without_a_look_at_the_database(backends: Backends) -> None:
    answer = call("export_client", path={"client_id": str(SOMEBODY_ELSE)})
    assert answer.problem == "forbidden"
    assert backends.postgres.asked == []


def test_who_is_gone_gets_401(backends: Backends) -> None:
    backends.postgres.on(_READ, [])
    assert call("export_client").problem == "invalid-token"
