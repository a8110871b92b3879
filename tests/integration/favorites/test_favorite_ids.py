"""Which products are favorites, by their ids: one statement, and one row of it where nothing changed."""

import json
from typing import Any

import psycopg
import pytest

from shared.accounts.access_tokens import Caller
from shared.errors import InvalidCursor
from shared.favorites import ids, items
from tests.integration import accounts, concurrency
from tests.integration.favorites.test_favorite_counts import holds, products

pytestmark = pytest.mark.usefixtures("catalog")


def body(found: ids.Ids) -> dict[str, Any]:
    assert found.body is not None
    shown: dict[str, Any] = json.loads(found.body.text)
    assert shown["next_cursor"] == found.next_cursor
    return shown


@pytest.mark.parametrize("limit", [1, 2, 6, 7, 8, 1_000])
def test_the_pages_together_are_all_of_them_newest_first(
    ana: Caller, db: psycopg.Connection, limit: int
) -> None:
    known = products(db, 7)
    for product_ids in (known[4:], known[:2], known[2:4]):  # some at the same moment
        holds(db, ana, product_ids)
    pages, cursor, first = [], None, True
    while first or cursor:
        first = False
        with concurrency.statements() as sent:
            page = body(found := ids.list_page(ana, limit=limit, cursor=cursor))
        assert len(sent) == 1
        assert page["count"] == 7
        cursor = found.next_cursor
        pages.append(page["product_ids"])
    assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert [product_id for page in pages for product_id in page] == known[2:4] + known[:2] + known[4:]


def test_a_cursor_is_good_for_its_client_alone(ana: Caller, db: psycopg.Connection) -> None:
    holds(db, ana, products(db, 3))
    cursor = ids.list_page(ana, limit=1, cursor=None).next_cursor
    with pytest.raises(InvalidCursor):
        ids.list_page(accounts.new_caller(), limit=1, cursor=cursor)


def test_the_entity_tag_changes_with_every_change_and_only_then(ana: Caller, db: psycopg.Connection) -> None:
    known = products(db, 2)
    etag = ids.list_page(ana, limit=10, cursor=None).etag
    assert ids.of_products(ana, known, if_none_match=etag).body is None
    for change in (items.add, items.remove):
        change(ana, known[0])
        found = ids.list_page(ana, limit=10, cursor=None, if_none_match=etag)
        assert found.body is not None
        assert found.etag != etag
        etag = found.etag
        assert ids.list_page(ana, limit=10, cursor=None, if_none_match=etag).body is None
    db.execute("UPDATE products SET price = 2")
    assert ids.list_page(ana, limit=10, cursor=None, if_none_match=etag).body is None


def test_where_nothing_changed_one_row_is_read_and_nothing_else(ana: Caller, db: psycopg.Connection) -> None:
    known = products(db, 3)
    holds(db, ana, known)
    etag = ids.list_page(ana, limit=10, cursor=None).etag
    with concurrency.statements() as sent:
        assert ids.of_products(ana, known, if_none_match=f'"another", W/{etag}').body is None
        assert ids.list_page(ana, limit=10, cursor=None, if_none_match=etag).body is None
    look_at_it = "SELECT favorites_revision FROM clients WHERE client_id = $1 AND token_generation = $2"
    assert [" ".join(statement.split()) for statement in sent] == [look_at_it] * 2
