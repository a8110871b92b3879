import json
import time
from decimal import Decimal
from typing import Any

import pytest

from functions.refresh_product_cache.handler import lambda_handler
from shared.products import product_cache
from shared.products.push import AHEAD
from tests.calls import call, sample
from tests.unit import fakes
from tests.unit.fakes import NOON, Backends, list_was_read, product_row

backends = pytest.fixture(fakes.backends)

_SAVE = "WITH seen AS"
_LISTING = "SELECT generation, synced_at"
_REMOVE = "WITH gone AS"
CHANGED, REMOVED = (json.loads(record["body"]) for record in sample("refresh_product_cache")["Records"])


@pytest.fixture(autouse=True)
def _copy(backends: Backends) -> None:
    """A copy that takes every change."""
    backends.postgres.on(_LISTING, [{"generation": 2, "synced_at": None, "is_scheduled": False}])
    backends.postgres.on(_SAVE, [product_row(changed=True)])
    backends.postgres.on(_REMOVE, [product_row(product_id="8", removed_at=NOON, changed=True)])


def take(*bodies: object) -> list[str]:
    """The ids of the messages that failed, of those with these bodies; they are numbered from 1."""
    record = sample("refresh_product_cache")["Records"][0]
    records = [
        record | {"messageId": str(number), "body": body if isinstance(body, str) else json.dumps(body)}
        for number, body in enumerate(bodies, 1)
    ]
    return failed(lambda_handler({"Records": records}, None))


def failed(response: Any) -> list[str]:
    return [item["itemIdentifier"] for item in response["batchItemFailures"]]


def test_the_sample_changes_one_product_and_removes_another(backends: Backends) -> None:
    assert failed(lambda_handler(sample("refresh_product_cache"), None)) == []
    (saved,) = backends.postgres.asked_for(_SAVE)
    assert (saved["product_id"], saved["price"]) == (["7"], [Decimal("22.3")])
    assert saved["version"] == [CHANGED["detail"]["version"]]
    (removed,) = backends.postgres.asked_for(_REMOVE)
    assert (removed["product_ids"], removed["version"]) == (["8"], REMOVED["detail"]["version"])
    assert removed["remember"] is True  # a change that is older may still arrive


def test_a_changed_product_is_a_hit_from_then_on(backends: Backends) -> None:
    assert take(CHANGED) == []
    answer = call("get_product")
    assert answer.headers["X-Cache"] == "hit"
    assert answer.json["price"] == Decimal("22.30")
    assert backends.catalog.asked == []


def test_a_removed_product_is_404_from_then_on(backends: Backends) -> None:
    assert take(REMOVED) == []
    assert call("get_product", path={"product_id": "8"}).problem == "unknown-product"
    assert backends.catalog.asked == []


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 2), (3, 3)])
def test_list_pages_of_a_generation_before_the_copys_are_out_of_reach(
    backends: Backends, before: int, after: int
) -> None:
    list_was_read(backends.valkey, at=NOON.timestamp(), generation=before)
    assert take(CHANGED) == []
    state = product_cache.list_state()
    assert state is not None
    assert state.generation == after


def test_the_cache_gets_what_the_copy_has_even_if_that_is_newer(backends: Backends) -> None:
    backends.postgres.on(_SAVE, [product_row(title="Newer")])
    assert take(CHANGED) == []
    assert call("get_product").json["title"] == "Newer"


BAD = {
    "not JSON": "oops",
    "no UTF-8 text": "\ud800",
    "deep": "[" * 100_000,
    "null": "null",
    "no envelope": {},
    "of another source": CHANGED | {"source": "orders"},
    "of another type": CHANGED | {"detail-type": "ProductPainted"},
    "a detail of the other type": CHANGED | {"detail-type": "ProductRemoved"},
    "no version": CHANGED | {"detail": {"product": CHANGED["detail"]["product"]}},
    "a version in quotes": CHANGED | {"detail": CHANGED["detail"] | {"version": "1795435200000"}},
    "a version below zero": CHANGED | {"detail": CHANGED["detail"] | {"version": -1}},
    "a version beyond what Lua counts": CHANGED | {"detail": CHANGED["detail"] | {"version": 2**53}},
    "a version that is true": CHANGED | {"detail": CHANGED["detail"] | {"version": True}},
    "a price that is none": CHANGED
    | {"detail": {"version": 1, "product": CHANGED["detail"]["product"] | {"price": "free"}}},
    "a product without an id": CHANGED | {"detail": {"version": 1, "product": {"title": "x", "price": 1}}},
    "an id that no product has": REMOVED | {"detail": {"version": 1, "product_id": "a b"}},
    "an id with a NUL": REMOVED | {"detail": {"version": 1, "product_id": "\0"}},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_event_fails_alone_and_the_others_are_taken(backends: Backends, bad: object) -> None:
    assert take(CHANGED, bad, REMOVED) == ["2"]
    assert len(backends.postgres.asked_for(_SAVE)) == 1
    assert len(backends.postgres.asked_for(_REMOVE)) == 1


def test_without_the_database_all_are_delivered_again(backends: Backends) -> None:
    backends.postgres.is_down = True
    assert take(CHANGED, REMOVED) == ["1", "2"]


def test_without_the_cache_the_copy_takes_them_and_they_are_delivered_again(backends: Backends) -> None:
    backends.valkey.is_down = True
    assert take(CHANGED, REMOVED) == ["1", "2"]
    assert len(backends.postgres.asked_for(_SAVE)) == 1


@pytest.mark.parametrize(
    ("version", "failed"),
    [
        (0, []),
        (1_795_435_200_000 + AHEAD, []),
        (1_795_435_200_001 + AHEAD, ["1"]),
        (1_795_435_200_000_000, ["1"]),
    ],
)
def test_a_version_far_ahead_of_the_clock_is_refused(
    backends: Backends, monkeypatch: pytest.MonkeyPatch, version: int, failed: list[str]
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_795_435_200_000_000_000)
    for event in (CHANGED, REMOVED):
        assert take(event | {"detail": event["detail"] | {"version": version}}) == failed
    assert len(backends.postgres.asked) == (0 if failed else 4)


def test_failures_of_one_batch_do_not_show_in_the_next() -> None:
    assert take("oops") == ["1"]
    assert take(CHANGED) == []
