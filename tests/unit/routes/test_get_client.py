import pytest

from tests.calls import ANA, call

pytestmark = pytest.mark.usefixtures("backends")


@pytest.mark.parametrize("function", ["get_client", "delete_client"])
@pytest.mark.parametrize(
    "name", ["42", "ME", "me ", "null", str(ANA)[:-1], str(ANA) + "0", "%00", "é", "'--"]
)
def test_an_id_that_is_no_uuid_is_404(function: str, name: str) -> None:
    answer = call(function, path={"client_id": name})
    assert answer.status == 404
    assert answer.problem in ("unknown-client", "not-found")
