import pytest

from tests.unit import fakes
from tests.unit.calls import call
from tests.unit.fakes import ANA, NO_FAVORITE, Backends, favorite_row
from tests.unit.test_add_favorite import FAVORITE_AS_JSON

backends = pytest.fixture(fakes.backends)

_READ = "FROM favorites JOIN products"


def test_a_favorite_is_answered_with_its_product(backends: Backends) -> None:
    backends.postgres.on(_READ, [favorite_row()])
    answer = call("get_favorite")
    assert answer.status == 200
    assert answer.json == FAVORITE_AS_JSON
    assert answer.headers == {"Content-Type": "application/json", "Cache-Control": "private, no-cache"}
    assert backends.postgres.asked_for(_READ) == [{"client_id": ANA, "generation": 0, "product_id": "7"}]


def test_a_removed_product_stays_a_favorite_that_is_not_available(backends: Backends) -> None:
    backends.postgres.on(_READ, [favorite_row(available=False)])
    assert call("get_favorite").json["available"] is False


def test_a_product_that_is_none_of_mine_is_404(backends: Backends) -> None:
    backends.postgres.on(_READ, [NO_FAVORITE])
    answer = call("get_favorite")
    assert answer.status == 404
    assert answer.problem == "not-favorite"


def test_an_id_that_no_product_can_have_is_404(backends: Backends) -> None:
    assert call("get_favorite", path={"product_id": "x" * 65}).status == 404
    assert backends.postgres.asked == []


def test_a_removed_client_gets_401(backends: Backends) -> None:
    backends.postgres.on(_READ, [])
    assert call("get_favorite").problem == "invalid-token"
