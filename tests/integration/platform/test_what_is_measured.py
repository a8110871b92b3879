"""Which metrics each of the things that happen leaves in the log, and with which values."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from functions.publish_events.handler import lambda_handler as publish_events
from functions.warm_product_cache.handler import lambda_handler as warm_product_cache
from shared.events import event_bridge, outbox_reader
from shared.platform import metrics as metrics_of_the_log
from tests.calls import call
from tests.hostile_catalog import Answer, HostileCatalog, product
from tests.integration import accounts, recorder
from tests.integration.catalog_messages import changed_product, deliver, deliver_texts, removed
from tests.integration.conftest import Age

pytestmark = pytest.mark.usefixtures("environment")

Metrics = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept back to be written with what comes next."""
    monkeypatch.setattr(metrics_of_the_log, "GATHERED", 0)
    monkeypatch.setattr(metrics_of_the_log, "_kept_back", {})


@pytest.fixture(autouse=True)
def seven(catalog: HostileCatalog) -> None:
    catalog.answer("/products/7", Answer.json(product(7)).after(0.05))
    catalog.answer("/products", Answer.json([product(7), product(8)]).after(0.05))


@pytest.fixture
def measured(capsys: pytest.CaptureFixture[str]) -> Metrics:
    """The metrics since this was last asked."""
    return lambda: recorder.metrics(capsys)


def get(product_id: str = "7") -> str | None:
    """X-Cache."""
    return call("get_product", path={"product_id": product_id}).headers.get("X-Cache")


def named(metrics: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [metric for metric in metrics if name in metric]


def test_miss_is_an_answer_a_refresh_on_demand_and_a_time_of_the_catalog(measured: Metrics) -> None:
    assert get() == "miss"
    metrics = measured()
    assert Counter(name for metric in metrics for name in metric) == {
        "ProductAnswers": 1, "ProductAge": 1, "state": 1, "Refreshes": 1, "cause": 1, "CatalogTime": 1,
    }  # fmt: skip
    assert {"Refreshes": 1, "cause": "demand"} in metrics
    (answer,) = named(metrics, "ProductAnswers")
    assert (answer["state"], answer["ProductAnswers"]) == ("miss", 1)
    assert 0 <= answer["ProductAge"] < 5
    (call,) = named(metrics, "CatalogTime")
    assert 50 <= call["CatalogTime"] < 2_000  # milliseconds


def test_hit_is_an_answer_with_its_age_and_nothing_else(measured: Metrics, age_everything: Age) -> None:
    get()
    age_everything(100)
    measured()
    assert get() == "hit"
    (answer,) = measured()
    assert (answer["state"], answer["ProductAnswers"]) == ("hit", 1)
    assert 100 <= answer["ProductAge"] < 110


def test_stale_answer_has_its_own_state_and_a_failure_no_time(
    measured: Metrics, age_everything: Age, catalog: HostileCatalog
) -> None:
    get()
    age_everything(400)
    catalog.answer("/products/7", Answer.status(500))
    measured()
    assert get() == "stale"
    metrics = measured()
    (answer,) = named(metrics, "ProductAnswers")
    assert answer["state"] == "stale"
    assert 400 <= answer["ProductAge"] < 410
    assert {"CatalogFailures": 1} in metrics
    assert not named(metrics, "CatalogTime")  # how long it took to fail says nothing of its answers


def test_page_of_the_list_is_an_answer_too(measured: Metrics) -> None:
    states = []
    for _ in range(2):
        assert call("list_products").status == 200
        (answer,) = named(measured(), "ProductAnswers")
        states.append(answer["state"])
    assert states == ["miss", "hit"]


def test_unknown_product_is_no_answer(measured: Metrics, catalog: HostileCatalog) -> None:
    catalog.answer("/products/9", Answer.null())
    assert get("9") is None
    assert not named(measured(), "ProductAnswers")


@pytest.mark.parametrize(
    "failure", [Answer.status(503), Answer.reset(), Answer.html()], ids=["503", "reset", "html"]
)
def test_failure_of_the_catalog_is_counted_once(
    measured: Metrics, catalog: HostileCatalog, failure: Answer
) -> None:
    catalog.answer("/products/7", failure)
    assert call("get_product").status == 503
    assert [metric["CatalogFailures"] for metric in named(measured(), "CatalogFailures")] == [1]


def test_push_is_counted_with_its_cause_unless_it_failed(measured: Metrics) -> None:
    version = time.time_ns() // 1_000_000
    deliver(changed_product(version), removed(version, "8"))
    deliver_texts("no JSON")
    assert measured() == [{"Refreshes": 1, "cause": "push"}] * 2


def test_poll_counts_what_it_refreshed(measured: Metrics) -> None:
    warm_product_cache({}, None)
    metrics = measured()
    assert {"Refreshes": 2, "cause": "pull"} in metrics
    (call,) = named(metrics, "CatalogTime")
    assert 50 <= call["CatalogTime"] < 2_000
    assert not named(metrics, "ProductAnswers")  # nobody asked


def test_failed_poll_is_counted_as_such(measured: Metrics, catalog: HostileCatalog) -> None:
    catalog.answer("/products", Answer.status(500))
    assert list(warm_product_cache({}, None)) == ["failed"]
    assert measured() == [{"CatalogFailures": 1}, {"CatalogPollsFailed": 1}]


def test_relay_measures_how_long_the_oldest_event_waited(
    measured: Metrics, db: psycopg.Connection, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("EVENT_BUS_NAME", "bus")
    environment.setattr(event_bridge, "sender", lambda: lambda entries: [True] * len(entries))
    environment.setattr(
        outbox_reader, "EVENTS_PER_STREAM", 1
    )  # the outbox is read twice, and it is told once
    accounts.register()
    accounts.register()
    db.execute("UPDATE outbox SET created_at = created_at - interval '90 seconds' WHERE outbox_id = 1")
    measured()
    publish_events({}, None)
    (lag,) = named(measured(), "OutboxLag")
    assert 90 <= lag["OutboxLag"] < 100  # seconds


def test_empty_outbox_has_no_lag(measured: Metrics, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("EVENT_BUS_NAME", "bus")
    publish_events({}, None)
    assert measured() == [{"OutboxWaiting": 0}]
