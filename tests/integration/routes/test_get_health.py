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


def test_when_all_is_well_it_is_200_and_each_part_tells_its_time() -> None:
    answer = call("get_health")
    assert (answer.status, answer.json["status"]) == (200, "ok")
    assert states(answer) == {"database": "up", "cache": "up", "catalog": "up"}
    assert all(0 <= answer.json[part]["milliseconds"] < 10_000 for part in ("database", "cache", "catalog"))
    assert answer.headers["Cache-Control"] == "no-store"


def test_without_the_database_it_is_503_and_says_so(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_URL", NO_DATABASE)
    cold_start()
    answer = call("get_health")
    assert (answer.status, answer.json["status"]) == (503, "down")
    assert states(answer) == {"database": "down", "cache": "up", "catalog": "up"}
    assert answer.headers["Content-Type"] == "application/json"


def test_without_the_cache_answers_are_still_served(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("REDIS_URL", "redis://127.0.0.1:9")
    cold_start()
    answer = call("get_health")
    assert (answer.status, answer.json["status"]) == (200, "degraded")
    assert states(answer) == {"database": "up", "cache": "down", "catalog": "up"}


@pytest.mark.parametrize("failure", [Answer.status(500), Answer.html(), Answer.reset()])
def test_without_the_catalog_answers_are_still_served(catalog: HostileCatalog, failure: Answer) -> None:
    catalog.answer_all(failure)
    answer = call("get_health")
    assert (answer.status, answer.json["status"]) == (200, "degraded")
    assert states(answer) == {"database": "up", "cache": "up", "catalog": "down"}


def test_a_catalog_without_product_1_is_up(catalog: HostileCatalog) -> None:
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


def test_polling_does_not_reach_the_catalog_each_time(
    catalog: HostileCatalog, environment: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        call("get_health")
    assert catalog.calls == {"/products/1": 1}
    environment.setattr(health, "CATALOG_EVERY", -1.0)
    call("get_health")
    assert catalog.calls == {"/products/1": 2}


def test_it_tells_nothing_of_where_things_are(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_URL", NO_DATABASE)
    environment.setenv("REDIS_URL", "redis://127.0.0.1:9")
    environment.setenv("CATALOG_URL", NOBODY_LISTENS)
    cold_start()
    answer = call("get_health")
    assert states(answer) == {"database": "down", "cache": "down", "catalog": "down"}
    assert "127.0.0.1" not in answer.body
    assert "refused" not in answer.body
