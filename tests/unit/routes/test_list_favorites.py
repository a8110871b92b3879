from typing import get_args

import pytest

from functions.list_favorites.handler import Sort
from shared.favorites import pages
from tests.calls import call

pytestmark = pytest.mark.usefixtures("backends")


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
def test_bad_parameters_are_422_and_named(query: dict[str, str], wrong: list[str]) -> None:
    assert call("list_favorites", query=query).wrong == wrong


@pytest.mark.parametrize("name", ["limit", "sort", "cursor"])
def test_a_repeated_parameter_is_422_and_not_guessed(name: str) -> None:
    answer = call("list_favorites", rawQueryString=f"{name}=1&{name}=2", queryStringParameters={name: "1,2"})
    assert answer.wrong == [f"query.{name}"]


def test_the_sorts_that_the_route_takes_are_those_that_the_pages_know() -> None:
    sorts, *_ = get_args(Sort)
    assert set(get_args(sorts)) == pages.ORDERS.keys()
