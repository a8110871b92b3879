import pytest

from tests.calls import SOMEBODY_ELSE, call
from tests.unit import fakes
from tests.unit.fakes import Backends

backends = pytest.fixture(fakes.backends)


@pytest.mark.parametrize(
    "function", ["get_client", "update_client", "delete_client", "export_client", "end_sessions"]
)
def test_another_client_is_403_without_a_look_at_the_database(backends: Backends, function: str) -> None:
    answer = call(function, path={"client_id": str(SOMEBODY_ELSE)})
    assert (answer.status, answer.problem) == (403, "forbidden")
    assert backends.postgres.asked == []
