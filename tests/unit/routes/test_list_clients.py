import pytest

from tests.calls import ADMIN, call, token

pytestmark = pytest.mark.usefixtures("backends")


@pytest.mark.parametrize("limit", ["0", "101", "-1", "abc", "", "1.5", "9" * 5_000, "10,20"])
def test_a_bad_limit_is_422(limit: str) -> None:
    answer = call("list_clients", authorization=token(ADMIN, "admin"), query={"limit": limit})
    assert answer.wrong == ["query.limit"]


def test_a_repeated_parameter_is_422_and_not_guessed() -> None:
    answer = call(
        "list_clients",
        authorization=token(ADMIN, "admin"),
        rawQueryString="limit=10&limit=20",
        queryStringParameters={"limit": "10,20"},  # as API Gateway joins them
    )
    assert answer.wrong == ["query.limit"]
