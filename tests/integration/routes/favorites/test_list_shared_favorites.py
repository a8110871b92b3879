"""GET /shared-favorites/{token}"""

from collections import Counter

import psycopg
import pytest

from local.servers.valkey import Valkey
from shared.accounts.access_tokens import Caller
from shared.accounts.attempts.bounds import UNKNOWN_SHARES
from shared.favorites import items
from tests.calls import Answer, call
from tests.hostile_catalog import HostileCatalog
from tests.integration import accounts, concurrency
from tests.integration.accounts import ask

UNKNOWN = "A" * 22


def read(token: str, **query: str) -> Answer:
    return call("list_shared_favorites", path={"token": token}, query=query)


@pytest.fixture
def token(ana: Caller, catalog: HostileCatalog) -> str:
    assert catalog
    for product_id in ("3", "7", "5"):
        items.add(ana, product_id)
    shared: str = ask("create_share", ana, body={"title": "Birthday"}).json["token"]
    return shared


def test_anybody_with_the_link_sees_products_and_nothing_of_the_client(ana: Caller, token: str) -> None:
    answer = read(token)
    fields = ("product_id", "title", "image", "category", "price", "currency", "available")
    favorites = ask("list_favorites", ana, query={}).json["items"]
    assert answer.json == {
        "title": "Birthday",
        "items": [{field: favorite[field] for field in fields} for favorite in favorites],
        "next_cursor": None,
    }
    assert [favorite["product_id"] for favorite in favorites] == ["5", "7", "3"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Robots-Tag"] == "noindex"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_a_list_without_a_title_or_a_favorite_is_empty(ana: Caller) -> None:
    token = ask("create_share", ana, body={}).json["token"]
    assert read(token).json == {"title": None, "items": [], "next_cursor": None}


def test_pages_follow_each_other_and_a_cursor_shows_no_date(token: str) -> None:
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = read(token, limit="1", **cursor).json
        seen += [item["product_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
        assert len(cursor["cursor"]) < 30  # a checksum and an id: no room for a time
    assert seen == ["5", "7", "3"]


def test_a_cursor_is_refused_when_its_product_is_no_favorite_any_more(ana: Caller, token: str) -> None:
    cursor = read(token, limit="1").json["next_cursor"]
    items.remove(ana, "5")
    assert read(token, cursor=cursor).wrong == ["query.cursor"]
    assert [item["product_id"] for item in read(token).json["items"]] == ["7", "3"]


def test_a_cursor_is_good_for_its_own_list_only(ana: Caller, token: str) -> None:
    other = ask("create_share", ana, body={}).json["token"]
    cursor = read(token, limit="1").json["next_cursor"]
    assert read(other, cursor=cursor).wrong == ["query.cursor"]


@pytest.mark.parametrize("kind", ["unknown", "malformed", "too long", "NUL", "half a character", "ended"])
def test_a_link_that_leads_nowhere_is_one_404(token: str, kind: str, db: psycopg.Connection) -> None:
    of_kind = {"malformed": "7", "too long": "A" * 5_000, "NUL": "A\0", "half a character": "\ud800"}
    if kind == "ended":
        db.execute("UPDATE shares SET expires_at = now()")
    with concurrency.statements() as sent:
        answer = read(token if kind == "ended" else of_kind.get(kind, UNKNOWN))
    assert answer.json | {"request_id": ""} == read(UNKNOWN).json | {"request_id": ""}
    assert (answer.status, answer.problem) == (404, "unknown-share")
    # The same work for each, so the same time. What no path of ours can hold is refused without a look.
    assert len(sent) == (0 if kind in ("NUL", "half a character") else 1)


def test_a_new_password_leaves_a_share_and_a_removed_client_takes_it_along(
    ana: Caller, token: str, db: psycopg.Connection
) -> None:
    db.execute("UPDATE clients SET token_generation = token_generation + 1")
    assert read(token).status == 200
    now = accounts.now(db, ana.client_id)
    assert ask("delete_client", now).status == 204
    assert read(token).problem == "unknown-share"


def test_guesses_of_a_network_are_bounded_and_right_links_cost_nothing(token: str, valkey: Valkey) -> None:
    assert valkey
    for _ in range(UNKNOWN_SHARES.at_once + 1):
        assert read(token).status == 200
    answers = Counter(read(UNKNOWN).status for _ in range(UNKNOWN_SHARES.at_once))
    assert answers == {404: UNKNOWN_SHARES.at_once}
    assert read(token).status == 200  # a right link is nobody's guess
    refused = read(UNKNOWN)
    assert (refused.status, refused.problem) == (429, "too-many-attempts")
    assert 0 < int(refused.headers["Retry-After"]) <= UNKNOWN_SHARES.interval
