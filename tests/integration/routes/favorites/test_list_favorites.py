"""GET /favorites"""

from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from local.servers.valkey import Valkey
from shared.accounts.access_tokens import Caller
from shared.favorites import items
from tests.hostile_catalog import HostileCatalog
from tests.integration import accounts, concurrency
from tests.integration.accounts import ask
from tests.integration.favorites.test_favorite_counts import holds, products

pytestmark = pytest.mark.usefixtures("catalog")


def test_page_shows_each_favorite_as_its_own_route_does_in_one_statement(
    ana: Caller, catalog: HostileCatalog, valkey: Valkey
) -> None:
    assert ask("list_favorites", ana, query={}).json == {"items": [], "next_cursor": None, "count": 0}
    for product_id in ("7", "3"):
        items.add(ana, product_id)
    catalog.forget_calls()
    with concurrency.statements() as sent, concurrency.commands(valkey.url) as counted:
        answer = ask("list_favorites", ana, query={})
    assert (len(sent), counted, catalog.calls) == (1, {}, {})
    shown = [ask("get_favorite", ana, path={"product_id": product_id}).json for product_id in ("3", "7")]
    assert answer.json == {"items": shown, "next_cursor": None, "count": 2}
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert "Link" not in answer.headers


def test_etag_is_304_until_the_page_changes(ana: Caller, db: psycopg.Connection) -> None:
    items.add(ana, "7")
    etag = ask("list_favorites", ana).headers["ETag"]
    same = ask("list_favorites", ana, headers={"if-none-match": etag})
    assert (same.status, same.body, same.headers["ETag"]) == (304, "", etag)
    db.execute("UPDATE products SET price = 20")
    cheaper = ask("list_favorites", ana, headers={"if-none-match": etag})
    assert cheaper.status == 200
    assert cheaper.headers["ETag"] != etag


def test_link_leads_to_the_next_page_with_the_same_parameters(ana: Caller) -> None:
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


OTHER_LISTS = [
    {"sort": "favorited_at"},
    {"available": "true"},
    {"category": "kitchen"},
    {"price_dropped": "true"},
]


def test_cursor_is_good_for_its_own_list_only(ana: Caller) -> None:
    for product_id in ("7", "3"):
        items.add(ana, product_id)
    cursor = {"cursor": ask("list_favorites", ana, query={"limit": "1"}).json["next_cursor"]}
    for other in OTHER_LISTS:
        assert ask("list_favorites", ana, query=cursor | other).wrong == ["query.cursor"]
    assert ask("list_favorites", accounts.new_caller(), query=cursor).wrong == ["query.cursor"]
    assert len(ask("list_favorites", ana, query=cursor).json["items"]) == 1
    available = {
        "cursor": ask("list_favorites", ana, query={"limit": "1", "available": "true"}).json["next_cursor"]
    }
    assert ask("list_favorites", ana, query=available | {"category": "kitchen"}).wrong == ["query.cursor"]


def test_list_may_be_filtered_and_sorted(ana: Caller, db: psycopg.Connection) -> None:
    known = products(db, 3)
    holds(db, ana, known)
    db.execute("UPDATE products SET category = 'kitchen' WHERE product_id <> 'p0001'")
    db.execute("UPDATE products SET price = 0.5 WHERE product_id = 'p0002'")
    for price_dropped, expected in (("true", ["p0002"]), ("false", ["p0003"])):
        wanted = {"available": "true", "category": "kitchen", "price_dropped": price_dropped}
        answer = ask("list_favorites", ana, query=wanted | {"sort": "price_change"})
        assert [item["product_id"] for item in answer.json["items"]] == expected
