import pytest

from shared import health
from tests.calls import Answer, call
from tests.unit import fakes
from tests.unit.fakes import Backends, FakeAnswer

backends = pytest.fixture(fakes.backends)


@pytest.fixture(autouse=True)
def _all_is_well(backends: Backends) -> None:
    backends.postgres.on("SELECT 1", [{"?column?": 1}])
    backends.catalog.on("/products/1", {"id": 1, "title": "Teapot", "price": 22})


def states(answer: Answer) -> dict[str, str]:
    """The state of each part."""
    return {part: answer.json[part]["state"] for part in ("database", "cache", "catalog")}


def test_when_all_is_well_it_is_200_and_each_part_tells_its_time() -> None:
    answer = call("get_health")
    assert answer.status == 200
    assert answer.json["status"] == "ok"
    assert states(answer) == {"database": "up", "cache": "up", "catalog": "up"}
    assert all(0 <= answer.json[part]["milliseconds"] < 10_000 for part in ("database", "cache", "catalog"))
    assert answer.headers["Cache-Control"] == "no-store"


def test_without_the_database_it_is_503_and_says_so(backends: Backends) -> None:
    backends.postgres.is_down = True
    answer = call("get_health")
    assert answer.status == 503
    assert answer.json["status"] == "down"
    assert states(answer) == {"database": "down", "cache": "up", "catalog": "up"}
    assert answer.headers["Content-Type"] == "application/json"


def test_without_the_cache_answers_are_still_served(backends: Backends) -> None:
    backends.valkey.is_down = True
    answer = call("get_health")
    assert answer.status == 200
    assert answer.json["status"] == "degraded"
    assert states(answer) == {"database": "up", "cache": "down", "catalog": "up"}


@pytest.mark.parametrize("failure", [FakeAnswer(status=500), FakeAnswer(b"<html>"), TimeoutError()])
def test_without_the_catalog_answers_are_still_served(
    backends: Backends, failure: FakeAnswer | Exception
) -> None:
    backends.catalog.on("/products/1", failure)
    answer = call("get_health")
    assert answer.status == 200
    assert answer.json["status"] == "degraded"
    assert states(answer) == {"database": "up", "cache": "up", "catalog": "down"}


def test_a_catalog_without_product_1_is_up(backends: Backends) -> None:
    backends.catalog.on("/products/1", FakeAnswer(b"null"))
    assert call("get_health").json["status"] == "ok"


def test_polling_does_not_reach_the_catalog_each_time(
    backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        call("get_health")
    assert len(backends.catalog.asked) == 1
    monkeypatch.setattr(health, "CATALOG_EVERY", -1.0)
    call("get_health")
    assert len(backends.catalog.asked) == 2


def test_it_tells_nothing_of_where_things_are(backends: Backends) -> None:
    backends.postgres.is_down = True
    backends.valkey.is_down = True
    backends.catalog.on("/products/1", OSError("catalog.test refused"))
    answer = call("get_health")
    assert ".test" not in answer.body
    assert "refused" not in answer.body
