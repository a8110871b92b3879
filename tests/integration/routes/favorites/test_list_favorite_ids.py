"""GET /favorite-ids"""

import psycopg
import pytest

from local.servers.valkey import Valkey
from shared.accounts.access_tokens import Caller
from shared.favorites import items
from shared.web import request
from tests.calls import Answer
from tests.integration import accounts, concurrency
from tests.integration.accounts import ask
from tests.integration.favorites.test_favorite_counts import holds, products

pytestmark = pytest.mark.usefixtures("catalog")

PRIVATE = "private, no-cache"


@pytest.fixture
def known(ana: Caller, db: psycopg.Connection) -> list[str]:
    """Eight products; the first five are Ana's favorites."""
    known = products(db, 8)
    holds(db, ana, known[:5])
    return known


def test_those_asked_for_are_one_statement_and_no_other_call(
    ana: Caller, known: list[str], valkey: Valkey
) -> None:
    asked = ",".join([known[3], known[6], known[0], known[3]])
    with concurrency.statements() as sent, concurrency.commands(valkey.url) as counted:
        answer = ask("list_favorite_ids", ana, query={"product_id": asked})
    assert answer.json == {"product_ids": [known[3], known[0]], "next_cursor": None, "count": 5, "max": 5000}
    assert (answer.status, answer.headers["Cache-Control"]) == (200, PRIVATE)
    assert (len(sent), counted) == (1, {})


def test_a_repeated_parameter_is_as_good_as_commas(ana: Caller, known: list[str]) -> None:
    answer = ask(
        "list_favorite_ids",
        ana,
        rawQueryString=f"product_id={known[0]}&product_id={known[7]}",
        queryStringParameters={"product_id": f"{known[0]},{known[7]}"},  # as API Gateway joins them
    )
    assert answer.json["product_ids"] == [known[0]]


def test_a_page_of_ids_leads_to_the_next(ana: Caller, known: list[str]) -> None:
    first = ask("list_favorite_ids", ana, query={"limit": "3"})
    assert f"cursor={first.json['next_cursor']}>" in first.headers["Link"]
    second = ask("list_favorite_ids", ana, query={"limit": "3", "cursor": first.json["next_cursor"]})
    assert first.json["product_ids"] + second.json["product_ids"] == known[:5]
    assert second.json["next_cursor"] is None
    assert "Link" not in second.headers


def test_a_page_has_a_thousand_ids_unless_asked_otherwise(ana: Caller, db: psycopg.Connection) -> None:
    holds(db, ana, products(db, 1_001))
    assert len(ask("list_favorite_ids", ana, query={}).json["product_ids"]) == 1_000


def test_who_has_the_revision_already_gets_a_304_until_it_changes(ana: Caller, known: list[str]) -> None:
    query = {"product_id": known[0]}
    etag = ask("list_favorite_ids", ana, query=query).headers["ETag"]
    for tag in (etag, f"W/{etag}", "*"):
        same = ask("list_favorite_ids", ana, query=query, headers={"if-none-match": tag})
        assert (same.status, same.body, same.headers["ETag"]) == (304, "", etag)
    items.remove(ana, known[1])
    changed = ask("list_favorite_ids", ana, query=query, headers={"if-none-match": etag})
    assert changed.status == 200
    assert changed.headers["ETag"] != etag


def test_the_short_way_and_the_long_one_answer_alike(
    ana: Caller, known: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers() -> list[Answer]:
        found = ask("list_favorite_ids", ana, query={"product_id": f"{known[4]},{known[0]}"})
        tag = {"if-none-match": found.headers["ETag"]}
        return [found, ask("list_favorite_ids", ana, query={"product_id": known[0]}, headers=tag)]

    short = answers()
    assert [answer.status for answer in short] == [200, 304]
    monkeypatch.setattr(request, "requested_ids", lambda _: None)
    assert answers() == short


def test_another_clients_entity_tag_is_nothing_known(ana: Caller) -> None:
    etag = ask("list_favorite_ids", ana).headers["ETag"]
    ben = accounts.new_caller()
    assert ask("list_favorite_ids", ben, headers={"if-none-match": f'"x", {etag}'}).status == 200


def test_a_hundred_products_may_be_asked_for(ana: Caller) -> None:
    asked = ",".join(map(str, range(100)))
    assert ask("list_favorite_ids", ana, query={"product_id": asked}).status == 200
