"""GET /favorite-ids"""

from itertools import pairwise

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

IDS = "list_favorite_ids"


@pytest.fixture
def known(ana: Caller, db: psycopg.Connection) -> list[str]:
    """Eight products; the first seven are Ana's favorites, some since the same moment."""
    known = products(db, 8)
    for product_ids in (known[4:7], known[:2], known[2:4]):
        holds(db, ana, product_ids)
    return known


def test_favorites_of_these_products_are_found_in_one_statement_and_no_other_call(
    ana: Caller, known: list[str], valkey: Valkey
) -> None:
    wanted = ",".join([known[3], known[7], known[0], known[3]])
    with concurrency.statements() as sent, concurrency.commands(valkey.url) as counted:
        answer = ask(IDS, ana, query={"product_id": wanted})
    assert answer.json == {"product_ids": [known[3], known[0]], "next_cursor": None, "count": 7, "max": 5000}
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "private, no-cache")
    assert (len(sent), counted) == (1, {})


def test_parameter_may_be_repeated_and_have_a_hundred_products(ana: Caller, known: list[str]) -> None:
    wanted = [known[0], known[7], *map(str, range(98))]
    answer = ask(
        IDS,
        ana,
        rawQueryString="&".join(f"product_id={each}" for each in wanted),
        queryStringParameters={"product_id": ",".join(wanted)},  # as API Gateway joins them
    )
    assert answer.json["product_ids"] == [known[0]]


@pytest.mark.parametrize("limit", [1, 2, 6, 7, 8, 1_000])
def test_pages_together_are_all_ids_newest_first(ana: Caller, known: list[str], limit: int) -> None:
    pages: list[Answer] = []
    query = {"limit": str(limit)}
    while not pages or query.get("cursor"):
        with concurrency.statements() as sent:
            pages.append(ask(IDS, ana, query=query))
        assert len(sent) == 1
        query["cursor"] = pages[-1].json["next_cursor"]
    assert [len(page.json["product_ids"]) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert pages[-1].json["product_ids"]
    assert [each for page in pages for each in page.json["product_ids"]] == (
        known[2:4] + known[:2] + known[4:7]
    )
    for page, _ in pairwise(pages):
        assert f"cursor={page.json['next_cursor']}>" in page.headers["Link"]
    assert "Link" not in pages[-1].headers


def test_page_has_a_thousand_ids_by_default(ana: Caller, db: psycopg.Connection) -> None:
    holds(db, ana, products(db, 1_001))
    assert len(ask(IDS, ana, query={}).json["product_ids"]) == 1_000


def test_cursor_and_etag_are_those_of_one_client(ana: Caller, known: list[str]) -> None:
    assert known
    cursor = ask(IDS, ana, query={"limit": "1"}).json["next_cursor"]
    ben, eva = accounts.new_caller(), accounts.new_caller()
    assert ask(IDS, ben, query={"cursor": cursor}).wrong == ["query.cursor"]
    etag = ask(IDS, eva).headers["ETag"]  # of the same revision
    assert ask(IDS, ben, headers={"if-none-match": f'"x", {etag}'}).status == 200


@pytest.mark.parametrize("of_products", [True, False])
def test_etag_is_304_in_one_row_until_the_favorites_change(
    ana: Caller, db: psycopg.Connection, known: list[str], of_products: bool
) -> None:
    query = {"product_id": known[0]} if of_products else {}
    etag = ask(IDS, ana, query=query).headers["ETag"]
    with concurrency.statements() as sent:
        for tag in (etag, f'"another", W/{etag}'):
            same = ask(IDS, ana, query=query, headers={"if-none-match": tag})
            assert (same.status, same.body, same.headers["ETag"]) == (304, "", etag)
    assert [text.split()[1] for text in sent] == ["favorites_revision"] * 2
    assert ask(IDS, ana, query=query, headers={"if-none-match": "*"}).status == 304
    for change in (items.remove, items.add):
        change(ana, known[1])
        changed = ask(IDS, ana, query=query, headers={"if-none-match": etag})
        assert changed.status == 200
        assert changed.headers["ETag"] != etag
        etag = changed.headers["ETag"]
    db.execute("UPDATE products SET price = 2")
    assert ask(IDS, ana, query=query, headers={"if-none-match": etag}).status == 304


def test_fast_path_answers_like_the_slow_one(
    ana: Caller, known: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers() -> list[Answer]:
        found = ask(IDS, ana, query={"product_id": f"{known[4]},{known[0]}"})
        tag = {"if-none-match": found.headers["ETag"]}
        return [found, ask(IDS, ana, query={"product_id": known[0]}, headers=tag)]

    fast = answers()
    assert [answer.status for answer in fast] == [200, 304]
    monkeypatch.setattr(request, "requested_ids", lambda _: None)
    assert answers() == fast
