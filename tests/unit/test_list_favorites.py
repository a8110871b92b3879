from datetime import timedelta
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest

from tests.unit import fakes
from tests.unit.calls import call, token
from tests.unit.fakes import ANA, NO_FAVORITE, NOON, SOMEBODY_ELSE, Backends, favorite_row
from tests.unit.test_add_favorite import FAVORITE_AS_JSON

backends = pytest.fixture(fakes.backends)

_NEWEST_FIRST = "ORDER BY favorited_at DESC, product_id LIMIT"
_OLDEST_FIRST = "ORDER BY favorited_at, product_id DESC LIMIT"


def test_a_page_is_one_statement_and_no_other_call(backends: Backends) -> None:
    backends.postgres.on(_NEWEST_FIRST, [favorite_row(), favorite_row(product_id="8", available=False)])
    answer = call("list_favorites")
    assert answer.status == 200
    assert answer.json == {
        "items": [FAVORITE_AS_JSON, FAVORITE_AS_JSON | {"product_id": "8", "available": False}],
        "next_cursor": None,
    }
    assert answer.headers == {"Content-Type": "application/json", "Cache-Control": "private, no-cache"}
    assert len(backends.postgres.asked) == 1
    assert backends.valkey.commands == []
    assert backends.catalog.asked == []


def test_who_has_no_favorites_gets_an_empty_page(backends: Backends) -> None:
    backends.postgres.on(_NEWEST_FIRST, [NO_FAVORITE])
    assert call("list_favorites").json == {"items": [], "next_cursor": None}


def test_a_removed_client_gets_401(backends: Backends) -> None:
    backends.postgres.on(_NEWEST_FIRST, [])
    answer = call("list_favorites")
    assert answer.status == 401
    assert answer.problem == "invalid-token"


def test_they_sort_by_when_they_were_marked_either_way(backends: Backends) -> None:
    backends.postgres.on(_NEWEST_FIRST, [favorite_row(product_id="new")])
    backends.postgres.on(_OLDEST_FIRST, [favorite_row(product_id="old")])
    answers = [call("list_favorites", query=query) for query in ({}, {"sort": "favorited_at"})]
    assert [answer.json["items"][0]["product_id"] for answer in answers] == ["new", "old"]


def test_the_next_page_begins_where_this_one_ends(backends: Backends) -> None:
    older = NOON - timedelta(microseconds=1)
    rows = [favorite_row(), favorite_row(product_id="8", favorited_at=older), favorite_row(product_id="9")]
    backends.postgres.on(_NEWEST_FIRST, rows)
    first = call("list_favorites", query={"limit": "2"})
    assert [item["product_id"] for item in first.json["items"]] == ["7", "8"]
    call("list_favorites", query={"limit": "2", "cursor": first.json["next_cursor"]})
    start, following = backends.postgres.asked_for(_NEWEST_FIRST)
    assert start == {"client_id": ANA, "generation": 0, "limit": 3, "favorited_at": None, "product_id": None}
    assert following == {
        "client_id": ANA,
        "generation": 0,
        "limit": 3,
        "favorited_at": older,
        "product_id": "8",
    }


def test_the_link_leads_to_the_next_page_with_the_same_parameters(backends: Backends) -> None:
    backends.postgres.on(_OLDEST_FIRST, [favorite_row(), favorite_row()])
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
    ("sort", "client_id"), [("favorited_at", ANA), ("-favorited_at", SOMEBODY_ELSE)], ids=["order", "client"]
)
def test_a_cursor_is_good_for_its_own_order_and_client_only(
    backends: Backends, sort: str, client_id: UUID
) -> None:
    backends.postgres.on(_NEWEST_FIRST, [favorite_row(), favorite_row()])
    cursor = call("list_favorites", query={"limit": "1"}).json["next_cursor"]
    answer = call("list_favorites", authorization=token(client_id), query={"sort": sort, "cursor": cursor})
    assert answer.wrong == ["query.cursor"]
    assert len(backends.postgres.asked) == 1


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ({"limit": "0"}, ["query.limit"]),
        ({"limit": "101"}, ["query.limit"]),
        ({"limit": "abc"}, ["query.limit"]),
        ({"limit": ""}, ["query.limit"]),
        ({"sort": "title"}, ["query.sort"]),
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
