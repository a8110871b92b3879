from datetime import timedelta
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest

from tests.calls import ANA, SOMEBODY_ELSE, call, token
from tests.unit import fakes
from tests.unit.fakes import NONE_LISTED, NOON, Backends, listed_row
from tests.unit.test_add_favorite import FAVORITE_AS_JSON

backends = pytest.fixture(fakes.backends)

_NEWEST_FIRST = "ORDER BY favorited_at DESC, product_id ASC LIMIT"
_OLDEST_FIRST = "ORDER BY favorited_at ASC, product_id DESC LIMIT"
_BY_PRICE_CHANGE = "ORDER BY price - price_when_favorited ASC, product_id ASC LIMIT"


def test_a_page_is_one_statement_and_no_other_call(backends: Backends) -> None:
    backends.postgres.on(_NEWEST_FIRST, [listed_row(), listed_row(product_id="8", available=False)])
    answer = call("list_favorites")
    assert answer.status == 200
    assert answer.json == {
        "items": [FAVORITE_AS_JSON, FAVORITE_AS_JSON | {"product_id": "8", "available": False}],
        "next_cursor": None,
        "count": 30,
    }
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert len(backends.postgres.asked) == 1
    assert backends.valkey.commands == []
    assert backends.catalog.asked == []


def test_who_has_no_favorites_gets_an_empty_page(backends: Backends) -> None:
    backends.postgres.on(_NEWEST_FIRST, [NONE_LISTED])
    assert call("list_favorites").json == {"items": [], "next_cursor": None, "count": 30}


def test_a_removed_client_gets_401(backends: Backends) -> None:
    backends.postgres.on(_NEWEST_FIRST, [])
    answer = call("list_favorites")
    assert answer.status == 401
    assert answer.problem == "invalid-token"


def test_they_sort_by_when_they_were_marked_either_way(backends: Backends) -> None:
    backends.postgres.on(_NEWEST_FIRST, [listed_row(product_id="new")])
    backends.postgres.on(_OLDEST_FIRST, [listed_row(product_id="old")])
    answers = [call("list_favorites", query=query) for query in ({}, {"sort": "favorited_at"})]
    assert [answer.json["items"][0]["product_id"] for answer in answers] == ["new", "old"]


def test_the_next_page_begins_where_this_one_ends(backends: Backends) -> None:
    older = NOON - timedelta(microseconds=1)
    second = listed_row(product_id="8", favorited_at="2026-11-23T11:59:59.999999Z")
    rows = [listed_row(), second, listed_row(product_id="9")]
    backends.postgres.on(_NEWEST_FIRST, rows)
    first = call("list_favorites", query={"limit": "2"})
    assert [item["product_id"] for item in first.json["items"]] == ["7", "8"]
    call("list_favorites", query={"limit": "2", "cursor": first.json["next_cursor"]})
    start, following = backends.postgres.asked_for(_NEWEST_FIRST)
    whole = {"client_id": ANA, "generation": 0, "available": None, "category": None, "price_dropped": None}
    assert start == whole | {"limit": 3, "value": None, "product_id": None}
    assert following == whole | {"limit": 3, "value": older, "product_id": "8"}


def test_a_list_may_leave_others_out(backends: Backends) -> None:
    backends.postgres.on(_BY_PRICE_CHANGE, [listed_row()])
    wanted = {"available": "true", "category": "kitchen", "price_dropped": "false", "sort": "price_change"}
    assert call("list_favorites", query=wanted).status == 200
    [asked] = backends.postgres.asked_for(_BY_PRICE_CHANGE)
    assert (asked["available"], asked["category"], asked["price_dropped"]) == (True, "kitchen", False)


def test_who_has_the_page_already_gets_a_304(backends: Backends) -> None:
    backends.postgres.on(_NEWEST_FIRST, [listed_row()], [listed_row()], [listed_row(price=20)])
    etag = call("list_favorites").headers["ETag"]
    same, cheaper = (call("list_favorites", headers={"if-none-match": etag}) for _ in range(2))
    assert (same.status, same.body, same.headers["ETag"]) == (304, "", etag)
    assert cheaper.status == 200
    assert cheaper.headers["ETag"] != etag


def test_the_link_leads_to_the_next_page_with_the_same_parameters(backends: Backends) -> None:
    backends.postgres.on(_OLDEST_FIRST, [listed_row(), listed_row()])
    answer = call("list_favorites", query={"limit": "1", "sort": "favorited_at"})
    target, relation = answer.headers["Link"].split("; ")
    assert relation == 'rel="next"'
    address = urlsplit(target.strip("<>"))
    assert address.path == "/favorites"
    assert parse_qs(address.query) == {
        "limit": ["1"],
        "sort": ["favorited_at"],
        "cursor": [answer.json["next_cursor"]],
    }


@pytest.mark.parametrize(
    ("others", "client_id"),
    [
        ({"sort": "favorited_at"}, ANA),
        ({}, SOMEBODY_ELSE),
        ({"available": "true"}, ANA),
        ({"category": "kitchen"}, ANA),
        ({"price_dropped": "true"}, ANA),
    ],
    ids=["order", "client", "available", "category", "price_dropped"],
)
def test_a_cursor_is_good_for_its_own_list_and_client_only(
    backends: Backends, others: dict[str, str], client_id: UUID
) -> None:
    backends.postgres.on(_NEWEST_FIRST, [listed_row(), listed_row()])
    cursor = call("list_favorites", query={"limit": "1"}).json["next_cursor"]
    answer = call("list_favorites", authorization=token(client_id), query={"cursor": cursor} | others)
    assert answer.wrong == ["query.cursor"]
    assert len(backends.postgres.asked) == 1


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ({"limit": "0"}, ["query.limit"]),
        ({"limit": "101"}, ["query.limit"]),
        ({"limit": "abc"}, ["query.limit"]),
        ({"limit": ""}, ["query.limit"]),
        ({"sort": "-title"}, ["query.sort"]),
        ({"available": "maybe"}, ["query.available"]),
        ({"price_dropped": ""}, ["query.price_dropped"]),
        ({"category": "x" * 201}, ["query.category"]),
        ({"category": "\0"}, ["query.category"]),
        ({"sort": "FAVORITED_AT"}, ["query.sort"]),
        ({"sort": ""}, ["query.sort"]),
        ({"cursor": "forged"}, ["query.cursor"]),
        ({"cursor": ""}, ["query.cursor"]),
        ({"limit": "0", "sort": "x"}, ["query.limit", "query.sort"]),
    ],
)
def test_bad_parameters_are_422_and_named(
    backends: Backends, query: dict[str, str], wrong: list[str]
) -> None:
    assert call("list_favorites", query=query).wrong == wrong
    assert backends.postgres.asked == []


@pytest.mark.parametrize("name", ["limit", "sort", "cursor"])
def test_a_repeated_parameter_is_422_and_not_guessed(backends: Backends, name: str) -> None:
    answer = call("list_favorites", rawQueryString=f"{name}=1&{name}=2", queryStringParameters={name: "1,2"})
    assert answer.wrong == [f"query.{name}"]
    assert backends.postgres.asked == []
