"""GET /favorites"""

from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from shared.accounts.access_tokens import Caller
from shared.favorites import items
from tests.integration.accounts import ask
from tests.integration.favorites.test_favorite_counts import holds, products

pytestmark = pytest.mark.usefixtures("catalog")

PRIVATE = "private, no-cache"


def test_a_page_shows_each_favorite_as_it_is_looked_up(ana: Caller) -> None:
    assert ask("list_favorites", ana, query={}).json == {"items": [], "next_cursor": None, "count": 0}
    for product_id in ("7", "3"):
        items.add(ana, product_id)
    answer = ask("list_favorites", ana, query={})
    shown = [ask("get_favorite", ana, path={"product_id": product_id}).json for product_id in ("3", "7")]
    assert answer.json == {"items": shown, "next_cursor": None, "count": 2}
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.headers["Cache-Control"] == PRIVATE
    assert "Link" not in answer.headers


def test_who_has_the_page_already_gets_a_304_until_it_changes(ana: Caller, db: psycopg.Connection) -> None:
    items.add(ana, "7")
    etag = ask("list_favorites", ana).headers["ETag"]
    same = ask("list_favorites", ana, headers={"if-none-match": etag})
    assert (same.status, same.body, same.headers["ETag"]) == (304, "", etag)
    db.execute("UPDATE products SET price = 20")
    cheaper = ask("list_favorites", ana, headers={"if-none-match": etag})
    assert cheaper.status == 200
    assert cheaper.headers["ETag"] != etag


def test_the_link_leads_to_the_next_page_with_the_same_parameters(ana: Caller) -> None:
    for product_id in ("7", "3", "5"):
        items.add(ana, product_id)
    query = {"limit": "2", "sort": "favorited_at"}
    answer = ask("list_favorites", ana, query=query)
    target, relation = answer.headers["Link"].split("; ")
    assert relation == 'rel="next"'
    address = urlsplit(target.strip("<>"))
    assert address.path == "/favorites"
    following = {name: value for name, [value] in parse_qs(address.query).items()}
    assert following == query | {"cursor": answer.json["next_cursor"]}
    rest = ask("list_favorites", ana, query=following).json
    assert [item["product_id"] for item in answer.json["items"] + rest["items"]] == ["7", "3", "5"]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    "others",
    [
        {"sort": "favorited_at"},
        {"available": "true"},
        {"category": "kitchen"},
        {"price_dropped": "true"},
    ],
    ids=["order", "available", "category", "price_dropped"],
)
def test_a_cursor_is_good_for_its_own_list_only(ana: Caller, others: dict[str, str]) -> None:
    for product_id in ("7", "3"):
        items.add(ana, product_id)
    cursor = ask("list_favorites", ana, query={"limit": "1"}).json["next_cursor"]
    assert ask("list_favorites", ana, query={"cursor": cursor} | others).wrong == ["query.cursor"]


def test_a_list_may_leave_others_out(ana: Caller, db: psycopg.Connection) -> None:
    known = products(db, 3)
    holds(db, ana, known)
    db.execute("UPDATE products SET category = 'kitchen' WHERE product_id <> 'p0001'")
    db.execute("UPDATE products SET price = 0.5 WHERE product_id = 'p0002'")
    for price_dropped, expected in (("true", ["p0002"]), ("false", ["p0003"])):
        wanted = {"available": "true", "category": "kitchen", "price_dropped": price_dropped}
        answer = ask("list_favorites", ana, query=wanted | {"sort": "price_change"})
        assert [item["product_id"] for item in answer.json["items"]] == expected
