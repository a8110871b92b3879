import pytest

from tests.calls import ANA, call
from tests.unit import fakes
from tests.unit.fakes import Backends

backends = pytest.fixture(fakes.backends)

_DELETE = "DELETE FROM favorites"


def test_a_favorite_is_one_no_more(backends: Backends) -> None:
    backends.postgres.on(_DELETE, [{"was_favorite": True}])
    answer = call("remove_favorite")
    assert (answer.status, answer.body) == (204, "")
    assert backends.postgres.asked_for(_DELETE) == [{"client_id": ANA, "generation": 0, "product_id": "7"}]
    assert len(backends.postgres.asked) == 1


def test_what_is_no_favorite_is_404(backends: Backends) -> None:
    backends.postgres.on(_DELETE, [{"was_favorite": False}])
    answer = call("remove_favorite")
    assert answer.status == 404
    assert answer.problem == "not-favorite"


def test_a_removed_client_gets_401(backends: Backends) -> None:
    backends.postgres.on(_DELETE, [])
    answer = call("remove_favorite")
    assert answer.status == 401
    assert answer.problem == "invalid-token"


def test_an_id_that_no_product_can_have_is_404(backends: Backends) -> None:
    assert call("remove_favorite", path={"product_id": "x" * 65}).status == 404
    assert backends.postgres.asked == []
