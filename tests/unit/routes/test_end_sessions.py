import pytest

from tests.calls import SOMEBODY_ELSE, call

pytestmark = pytest.mark.usefixtures("backends")


@pytest.mark.parametrize(
    "function", ["get_client", "update_client", "delete_client", "export_client", "end_sessions"]
)
def test_another_client_is_403_without_a_look_at_the_database(function: str) -> None:
    answer = call(function, path={"client_id": str(SOMEBODY_ELSE)})
    assert (answer.status, answer.problem) == (403, "forbidden")
