"""PATCH /favorites/{product_id}"""

from typing import Any

import psycopg
import pytest

from shared.accounts.access_tokens import Caller
from shared.favorites import items
from tests.integration.accounts import ask

pytestmark = pytest.mark.usefixtures("catalog")

SEVEN = {"product_id": "7"}


@pytest.fixture
def ana(ana: Caller, db: psycopg.Connection) -> Caller:
    """Somebody who holds product 7, of 10.00 BRL, marked at 20.00 BRL."""
    items.add(ana, "7")
    db.execute("UPDATE favorites SET price_when_favorited = 20, currency_when_favorited = 'BRL'")
    db.execute("UPDATE products SET price = 10.00, currency = 'BRL'")
    return ana


def alert(ana: Caller, value: object) -> Any:
    return ask("update_favorite", ana, path=SEVEN, body={"alert": value})


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"price_at_or_below": 9.9}, {"price_at_or_below": 9.9, "currency": "BRL"}),
        ({"price_at_or_below": 0, "currency": "BRL"}, {"price_at_or_below": 0, "currency": "BRL"}),
        ({"percent_off": 60}, {"percent_off": 60}),
        # As a merge patch from another kind of alert has it.
        ({"percent_off": 60, "price_at_or_below": None, "available_again": None}, {"percent_off": 60}),
    ],
)
def test_an_alert_is_shown_wherever_the_favorite_is(
    ana: Caller, given: object, shown: dict[str, Any]
) -> None:
    answer = alert(ana, given)
    assert answer.status == 200
    assert {name: float(v) if name != "currency" else v for name, v in answer.json["alert"].items()} == shown
    seen = ask("get_favorite", ana, path=SEVEN)
    assert (seen.json, seen.headers["ETag"]) == (answer.json, answer.headers["ETag"])
    assert ask("list_favorites", ana, query={}).json["items"] == [answer.json]
    assert ask("add_favorite", ana, path=SEVEN).json == answer.json
    assert " : " not in answer.body  # one form of JSON everywhere


def test_null_takes_the_alert_away_and_nothing_changes_nothing(ana: Caller) -> None:
    with_alert = alert(ana, {"percent_off": 60}).json
    assert ask("update_favorite", ana, path=SEVEN, body={}).json == with_alert
    assert alert(ana, None).json == with_alert | {"alert": None}


def test_an_alert_for_a_product_that_is_gone(ana: Caller, db: psycopg.Connection) -> None:
    assert alert(ana, {"available_again": True}).problem == "impossible-alert"
    db.execute("UPDATE products SET removed_at = now()")
    assert alert(ana, {"available_again": True}).json["alert"] == {"available_again": True}


@pytest.mark.parametrize(
    "given",
    [
        {"price_at_or_below": 10},
        {"price_at_or_below": 10.01},
        {"price_at_or_below": 5, "currency": "USD"},
        {"percent_off": 50},  # of 20 that is the price of now
        {"percent_off": 1},
    ],
)
def test_an_alert_that_could_not_fire_is_refused_and_changes_nothing(ana: Caller, given: object) -> None:
    answer = alert(ana, given)
    assert (answer.status, answer.problem) == (422, "impossible-alert")
    assert ask("get_favorite", ana, path=SEVEN).json["alert"] is None


def test_percent_off_a_price_in_another_currency_is_refused(ana: Caller, db: psycopg.Connection) -> None:
    db.execute("UPDATE products SET currency = 'USD'")
    assert alert(ana, {"percent_off": 60}).problem == "impossible-alert"


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({}, "body.alert"),
        ({"price_at_or_below": 5, "percent_off": 60}, "body.alert"),
        ({"percent_off": 60, "currency": "BRL"}, "body.alert"),
        ({"price_at_or_below": -1}, "body.alert.price_at_or_below"),
        ({"price_at_or_below": "5"}, "body.alert.price_at_or_below"),
        ({"price_at_or_below": 5.00001}, "body.alert.price_at_or_below"),
        ({"price_at_or_below": 5, "currency": "brl"}, "body.alert.currency"),
        *(({"percent_off": percent}, "body.alert.percent_off") for percent in (0, 100, 12.5, "10", True)),
        ({"available_again": False}, "body.alert.available_again"),
        ({"available_again": 1}, "body.alert.available_again"),
        ({"percent_off": None}, "body.alert"),
        ({"price": 5}, "body.alert.price"),
        (5, "body.alert"),
    ],
)
def test_what_is_no_alert_is_422_and_named(ana: Caller, given: object, wrong: str) -> None:
    assert wrong in alert(ana, given).wrong


def test_only_a_favorite_has_an_alert(ana: Caller) -> None:
    answer = ask("update_favorite", ana, path={"product_id": "3"}, body={"alert": {"percent_off": 10}})
    assert (answer.status, answer.problem) == (404, "not-favorite")


def test_preconditions_hold(ana: Caller) -> None:
    etag = ask("get_favorite", ana, path=SEVEN).headers["ETag"]
    body = {"alert": {"percent_off": 60}}
    first, second = (
        ask("update_favorite", ana, path=SEVEN, body=body, headers={"if-match": etag}) for _ in range(2)
    )
    assert (first.status, second.problem) == (200, "changed-meanwhile")


def test_a_bulk_change_sets_alerts_and_refuses_what_could_not_fire(ana: Caller) -> None:
    add = [
        {"product_id": "7", "alert": {"price_at_or_below": 9}},
        {"product_id": "3", "alert": {"percent_off": 10}},
        {"product_id": "5", "alert": {"price_at_or_below": 1_000}},
    ]
    answer = ask("change_favorites", ana, body={"add": add}).json
    assert (answer["added"], answer["already"], answer["count"]) == (["3", "5"], ["7"], 3)
    assert answer["refused"] == []
    assert answer["alerts_refused"] == [{"product_id": "5", "type": "/problems/impossible-alert"}]
    for has_alert, expected in (("true", ["3", "7"]), ("false", ["5"])):
        shown = ask("list_favorites", ana, query={"has_alert": has_alert}).json["items"]
        assert [favorite["product_id"] for favorite in shown] == expected
