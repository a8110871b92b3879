"""GET /health"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from shared import health
from shared.errors import CatalogUnavailable
from shared.products import poll
from tests.calls import Answer as Answered
from tests.calls import call
from tests.hostile_catalog import Answer, HostileCatalog
from tests.integration.conftest import NO_DATABASE, NOBODY_LISTENS, cold_start

pytestmark = pytest.mark.usefixtures("catalog")


def states(answer: Answered) -> dict[str, str]:
    """The state of each part."""
    return {part: answer.json[part]["state"] for part in ("database", "cache", "catalog")}


def test_all_parts_up_is_200_with_the_time_of_each() -> None:
    answer = call("get_health")
    assert (answer.status, answer.json["status"]) == (200, "ok")
    assert states(answer) == {"database": "up", "cache": "up", "catalog": "up"}
    assert all(0 <= answer.json[part]["milliseconds"] < 10_000 for part in ("database", "cache", "catalog"))
    assert answer.headers["Cache-Control"] == "no-store"


DOWN = {
    "database": ("DATABASE_URL", NO_DATABASE, 503, "down"),
    "cache": ("REDIS_URL", "redis://127.0.0.1:9", 200, "degraded"),
    "catalog": ("CATALOG_URL", NOBODY_LISTENS, 200, "degraded"),
}


@pytest.mark.parametrize("part", DOWN)
def test_part_that_is_down_is_named_and_answers_are_served_unless_it_is_the_database(
    environment: pytest.MonkeyPatch, part: str
) -> None:
    variable, url, code, status = DOWN[part]
    environment.setenv(variable, url)
    cold_start()
    answer = call("get_health")
    assert (answer.status, answer.json["status"]) == (code, status)
    assert states(answer) == {"database": "up", "cache": "up", "catalog": "up"} | {part: "down"}
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("failure", [Answer.status(500), Answer.html(), Answer.reset()])
def test_catalog_that_fails_is_down(catalog: HostileCatalog, failure: Answer) -> None:
    catalog.answer_all(failure)
    assert states(call("get_health"))["catalog"] == "down"


def test_catalog_without_product_1_is_up(catalog: HostileCatalog) -> None:
    catalog.answer("/products/1", Answer.null())
    assert call("get_health").json["status"] == "ok"


def test_a_cache_that_takes_no_writes_is_down(refuse_writes: Callable[[], None]) -> None:
    refuse_writes()
    answer = call("get_health")
    assert (answer.json["status"], states(answer)["cache"]) == ("degraded", "down")


def test_it_tells_the_last_good_poll_and_that_the_catalogs_list_is_refused(catalog: HostileCatalog) -> None:
    assert call("get_health").json["polled_at"] is None
    before = datetime.now(UTC)
    poll.run()
    answer = call("get_health")
    polled_at = datetime.fromisoformat(answer.json["polled_at"])
    assert before - timedelta(seconds=1) < polled_at <= datetime.now(UTC)
    catalog.answer("/products", Answer.json([]))
    with pytest.raises(CatalogUnavailable):
        poll.run()
    refused = call("get_health")
    assert (refused.status, refused.json["status"]) == (200, "degraded")
    assert states(refused) == {"database": "up", "cache": "up", "catalog": "degraded"}
    assert refused.json["polled_at"] == answer.json["polled_at"]
    catalog.behave()
    poll.run()
    assert call("get_health").json["status"] == "ok"


def test_catalog_is_not_called_for_each_health_check(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        call("get_health")
    assert catalog.calls == {"/products/1": 1}
    environment.setattr(health, "CATALOG_EVERY", -1.0)
    call("get_health")
    assert catalog.calls == {"/products/1": 2}


def test_addresses_and_reasons_are_not_shown(environment: pytest.MonkeyPatch) -> None:
    for variable, url, _, _ in DOWN.values():
        environment.setenv(variable, url)
    cold_start()
    answer = call("get_health")
    assert set(states(answer).values()) == {"down"}
    assert "127.0.0.1" not in answer.body
    assert "refused" not in answer.body
