"""GET and HEAD /favorites/{product_id}"""

import psycopg
import pytest

from shared.accounts.access_tokens import Caller
from shared.favorites import items
from tests.calls import Answer, sample
from tests.integration.accounts import ask

pytestmark = pytest.mark.usefixtures("catalog")


def test_etag_is_304_until_the_favorite_changes(ana: Caller, db: psycopg.Connection) -> None:
    items.add(ana, "7")
    first = ask("get_favorite", ana)
    assert (first.status, first.headers["Content-Type"]) == (200, "application/json")
    known = {"if-none-match": first.headers["ETag"]}
    same = ask("get_favorite", ana, headers=known)
    assert (same.status, same.body, same.headers["ETag"]) == (304, "", first.headers["ETag"])
    assert same.headers["Cache-Control"] == first.headers["Cache-Control"] == "private, no-cache"
    db.execute("UPDATE products SET price = 20")
    cheaper = ask("get_favorite", ana, headers=known)
    assert (cheaper.status, cheaper.json["price"]) == (200, 20)
    assert cheaper.headers["ETag"] != first.headers["ETag"]


def head(caller: Caller, **headers: str) -> Answer:
    event = sample("get_favorite")
    event["requestContext"]["http"]["method"] = "HEAD"
    return ask(
        "get_favorite",
        caller,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        routeKey="HEAD /favorites/{product_id}",
        requestContext=event["requestContext"],
    )


def test_head_answers_like_get_without_the_body(ana: Caller) -> None:
    refusal = head(ana)
    assert (refusal.status, refusal.body) == (404, "")
    assert refusal.headers["Content-Type"] == "application/problem+json"
    items.add(ana, "7")
    get, answer = ask("get_favorite", ana), head(ana)
    assert (answer.status, answer.body) == (200, "")
    assert answer.headers == {**get.headers, "Content-Length": str(len(get.body))}
    assert head(ana, if_none_match=get.headers["ETag"]).status == 304
