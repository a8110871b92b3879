from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.calls import ANA, call
from tests.unit import fakes
from tests.unit.fakes import Backends

backends = pytest.fixture(fakes.backends)

_UNKNOWN = "AS product_ids FROM clients"
_LOCK = "FOR NO KEY UPDATE"
_CHANGE = "WITH asked AS"


def known(backends: Backends, *outcomes: tuple[str, str], count: int = 30) -> None:
    """Let the copy have all products, and the change of each have that outcome."""
    backends.postgres.on(_UNKNOWN, [{"product_ids": []}])
    backends.postgres.on(_LOCK, [{"favorites_count": count}])
    backends.postgres.on(
        _CHANGE, [{"product_id": product_id, "outcome": outcome} for product_id, outcome in outcomes]
    )


def test_each_product_is_in_the_list_of_what_became_of_it(backends: Backends) -> None:
    known(
        backends,
        ("1", "removed"),
        ("2", "absent"),
        ("3", "added"),
        ("4", "already"),
        ("5", "unknown"),
        ("6", "full"),
        ("7", "added"),
    )
    answer = call("change_favorites")
    assert answer.status == 200
    assert answer.json == {
        "added": ["3", "7"],
        "already": ["4"],
        "removed": ["1"],
        "absent": ["2"],
        "refused": [
            {"product_id": "5", "type": "/problems/unknown-product"},
            {"product_id": "6", "type": "/problems/favorites-full"},
        ],
        "count": 31,
    }
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert backends.catalog.asked == []


def test_a_guests_time_is_kept_as_the_moment_that_it_is(backends: Backends) -> None:
    known(backends, ("7", "added"), ("8", "added"))
    moment = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
    there = (moment - timedelta(hours=3)).replace(tzinfo=None).isoformat() + "-03:00"
    call(
        "change_favorites",
        body={"add": [{"product_id": "7", "favorited_at": there}, {"product_id": "8", "favorited_at": None}]},
    )
    [asked] = backends.postgres.asked_for(_CHANGE)
    assert (asked["client_id"], asked["add"], asked["remove"]) == (ANA, ["7", "8"], [])
    assert asked["favorited_at"] == [moment, None]


def test_a_removed_client_gets_401_and_the_catalog_is_not_asked(backends: Backends) -> None:
    backends.postgres.on(_UNKNOWN, [])
    assert call("change_favorites").problem == "invalid-token"
    assert backends.catalog.asked == []


def at(**ago: float) -> str:
    return (datetime.now(UTC) - timedelta(**ago)).isoformat()


def mark(favorited_at: object) -> dict[str, Any]:
    return {"add": [{"product_id": "7", "favorited_at": favorited_at}]}


_TIME = ["body.add.0.favorited_at"]


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, ["body"]),
        ({"add": [], "remove": []}, ["body"]),
        ({"add": None}, ["body.add"]),
        ({"add": ["7"]}, ["body.add.0"]),
        ({"add": [{}]}, ["body.add.0.product_id"]),
        ({"add": [{"product_id": 7}]}, ["body.add.0.product_id"]),
        ({"add": [{"product_id": "7", "price": 1}]}, ["body.add.0.price"]),
        ({"remove": [{"product_id": "7"}]}, ["body.remove.0"]),
        ({"remove": ["a b"]}, ["body.remove.0"]),
        ({"remove": ["7", "8", "7"]}, ["body.remove.2"]),
        ({"add": [{"product_id": "7"}, {"product_id": "7"}]}, ["body.add.1.product_id"]),
        ({"add": [{"product_id": "7"}], "remove": ["8", "7"]}, ["body.remove.1"]),
        ({"remove": [str(number) for number in range(101)]}, ["body.remove"]),
        ({"add": [{"product_id": "x"}], "remove": [str(number) for number in range(100)]}, ["body"]),
        ({"adds": []}, ["body.adds"]),
        (mark(at(minutes=-1)), _TIME),
        (mark(at(days=90, minutes=1)), _TIME),
        (mark(1795435212), _TIME),
        (mark("1795435212"), _TIME),
        (mark("2026-11-20"), _TIME),
        (mark("2026-11-20T12:00:00"), _TIME),
        (mark("2026-11-20 12:00:00Z"), _TIME),
        (mark("2026-11-20T25:00:00Z"), _TIME),
        (mark("2026-11-20T12:00Z"), _TIME),
        (mark(""), _TIME),
    ],
)
def test_bad_input_is_422_and_named(backends: Backends, body: object, wrong: list[str]) -> None:
    answer = call("change_favorites", body=body)
    assert answer.wrong == wrong
    assert backends.postgres.asked == []


@pytest.mark.parametrize(
    "moment",
    [at(days=90, minutes=-1), at(), at(days=1).replace("+00:00", "Z")],
    ids=["almost ninety days ago", "now", "in UTC by its letter"],
)
def test_a_guest_may_have_marked_it_up_to_ninety_days_ago(backends: Backends, moment: str) -> None:
    known(backends, ("7", "added"))
    assert call("change_favorites", body=mark(moment)).status == 200


def test_a_hundred_products_may_change_at_once(backends: Backends) -> None:
    known(backends)
    ids = [("x" * 60) + f"{number:04}" for number in range(100)]
    body = {
        "add": [{"product_id": name, "favorited_at": at(days=1)} for name in ids[:60]],
        "remove": ids[60:],
    }
    assert call("change_favorites", body=body).status == 200
