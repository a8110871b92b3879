from datetime import UTC, datetime, timedelta
from typing import Any, get_args, get_type_hints

import pytest

from shared.errors import CatalogUnavailable, FavoritesFull, UnknownProduct
from shared.favorites.models import Refused
from shared.web import PROBLEMS
from tests.calls import call

pytestmark = pytest.mark.usefixtures("backends")


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
        (mark(at(days=-1)), _TIME),  # ahead, however long after its collection the test runs
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
def test_bad_input_is_422_and_named(body: object, wrong: list[str]) -> None:
    answer = call("change_favorites", body=body)
    assert answer.wrong == wrong


@pytest.mark.parametrize(
    ("when", "kind", "message"),
    [
        ("2026-11-20", "rfc_3339", "is no RFC 3339 time with an offset"),
        (at(days=-1), "ahead", "may not lie ahead"),
        (at(days=91), "too_old", "may lie 90 days back"),
    ],
    ids=["rfc_3339", "ahead", "too_old"],
)
def test_a_time_that_does_not_fit_is_told_why(when: str, kind: str, message: str) -> None:
    (error,) = call("change_favorites", body=mark(when)).json["errors"]
    assert (error["type"], error["message"]) == (kind, message)


def test_a_product_is_refused_with_the_types_of_the_problems_that_one_alone_has() -> None:
    kinds = (UnknownProduct, CatalogUnavailable, FavoritesFull)
    types, *_ = get_args(get_type_hints(Refused, include_extras=True)["type"])
    assert set(get_args(types)) == {f"/problems/{PROBLEMS[kind].slug}" for kind in kinds}
