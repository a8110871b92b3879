"""What holds for every caller and every function."""

import pytest

from tests.calls import NEEDING_A_CALLER, call, token
from tests.integration import accounts
from tests.integration.conftest import NO_DATABASE, cold_start

pytestmark = pytest.mark.usefixtures("catalog")


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
@pytest.mark.parametrize("header", ["authorization", "Authorization"])
def test_case_of_the_scheme_and_of_the_header_is_ignored(scheme: str, header: str) -> None:
    signed = token(accounts.register().client_id).removeprefix("Bearer ")
    answer = call("get_client", authorization=None, headers={header: scheme + signed})
    assert answer.status == 200


def test_caller_is_forgotten_before_the_next_request() -> None:
    ana, eva = accounts.register(), accounts.register("Eva")
    seen = [
        call("get_client", authorization=authorization).json.get("name")
        for authorization in (token(ana.client_id), None, token(eva.client_id))
    ]
    assert seen == ["Ana", None, "Eva"]


def test_public_function_ignores_tokens() -> None:
    assert call("create_client", authorization="Bearer nonsense").status == 201


@pytest.mark.parametrize("function", sorted({*NEEDING_A_CALLER, "create_client"} - {"update_client"}))
def test_without_the_database_it_is_503_with_retry_after(
    environment: pytest.MonkeyPatch, function: str
) -> None:
    environment.setenv("DATABASE_URL", NO_DATABASE)
    cold_start()
    answer = call(function, authorization=token(role="admin"))
    assert (answer.status, answer.problem) == (503, "database-unavailable")
    assert answer.headers["Retry-After"] == "1"
