"""POST /favorite-changes"""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from shared.accounts.access_tokens import Caller
from shared.favorites.limits import MAX_FAVORITES
from tests.calls import call
from tests.hostile_catalog import HostileCatalog
from tests.integration.accounts import ask
from tests.integration.favorites.test_favorite_counts import holds, products

pytestmark = pytest.mark.usefixtures("catalog")


def test_each_product_is_in_the_list_of_its_outcome(ana: Caller, db: psycopg.Connection) -> None:
    known = products(db, MAX_FAVORITES + 2)
    holds(db, ana, known[: MAX_FAVORITES - 1])
    add = [known[-1], known[1], "999", known[-3], known[-2]]
    answer = ask(
        "change_favorites",
        ana,
        body={"add": [{"product_id": name} for name in add], "remove": [known[0], "5"]},
    )
    assert answer.status == 200
    assert answer.json == {
        "added": [known[-1], known[-3]],
        "already": [known[1]],
        "removed": [known[0]],
        "absent": ["5"],
        "refused": [
            {"product_id": "999", "type": "/problems/unknown-product"},
            {"product_id": known[-2], "type": "/problems/favorites-full"},
        ],
        "alerts_refused": [],
        "count": MAX_FAVORITES,
    }
    events = db.execute("SELECT detail->>'product_id' FROM outbox WHERE detail_type = 'FavoriteAdded'")
    assert events.fetchall() == [(known[-1],), (known[-3],)]
    assert answer.headers["Cache-Control"] == "private, no-cache"


def test_removed_client_gets_401_and_the_catalog_no_call(catalog: HostileCatalog) -> None:
    assert call("change_favorites").problem == "invalid-token"
    assert catalog.calls == {}


ODD_TIMES = {
    "an offset of 23 h": ("2026-01-01T00:00:00+23:59", "2025-12-31T00:01:00.000000Z"),
    "long ago": ("1987-06-05T04:03:02.1-03:00", "1987-06-05T07:03:02.100000Z"),
    "the first day, east of UTC": ("0001-01-01T00:00:00+16:00", "0001-01-01T00:00:00.000000Z"),
    "half a second ahead": (500, None),
    "a day ahead": (86_400_000, None),
    "the last day, west of UTC": ("9999-12-31T23:59:59-16:00", None),
}


@pytest.mark.parametrize("name", ODD_TIMES)
def test_any_past_time_is_taken_and_a_time_ahead_is_now(ana: Caller, name: str) -> None:
    sent, kept = ODD_TIMES[name]
    if isinstance(sent, int):
        sent = (datetime.now(UTC) + timedelta(milliseconds=sent)).isoformat()
    before = datetime.now(UTC)
    body = {"add": [{"product_id": "7", "favorited_at": sent}]}
    assert ask("change_favorites", ana, body=body).json["added"] == ["7"]
    (favorite,) = ask("list_favorites", ana).json["items"]
    if kept is None:
        assert before <= datetime.fromisoformat(favorite["favorited_at"]) <= datetime.now(UTC)
    else:
        assert favorite["favorited_at"] == kept
    assert ask("export_client", ana).status == 200


def test_odd_entries_are_refused_one_by_one(ana: Caller) -> None:
    odd = ["a b", "", "\0", "x" * 65, "é", "7\n"]
    add = [{"product_id": name} for name in [*odd, "7", "8", "7"]]
    answer = ask("change_favorites", ana, body={"add": add, "remove": ["9\0", "9", "9"]})
    assert answer.json == {
        "added": ["7", "8"],
        "already": [],
        "removed": [],
        "absent": ["9\0", "9"],
        "refused": [{"product_id": name, "type": "/problems/unknown-product"} for name in odd],
        "alerts_refused": [],
        "count": 2,
    }


def test_products_without_a_time_are_listed_as_if_added_one_after_the_other(ana: Caller) -> None:
    ahead = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    add: list[dict[str, str]] = [{"product_id": name} for name in ("3", "1", "2")]
    ask("change_favorites", ana, body={"add": [*add, {"product_id": "4", "favorited_at": ahead}]})
    listed = ask("list_favorites", ana, query={"limit": "100"}).json["items"]
    assert [each["product_id"] for each in listed] == ["4", "2", "1", "3"]


def test_a_hundred_products_with_the_longest_ids_may_change_at_once(
    ana: Caller, db: psycopg.Connection
) -> None:
    names = [f"{'x' * 59}{name}" for name in products(db, 100)]
    db.execute("UPDATE products SET product_id = repeat('x', 59) || product_id")
    at = datetime.now(UTC) - timedelta(days=1)
    body = {
        "add": [{"product_id": name, "favorited_at": at.isoformat()} for name in names[:60]],
        "remove": names[60:],
    }
    answer = ask("change_favorites", ana, body=body).json
    assert (answer["added"], answer["absent"], answer["count"]) == (names[:60], names[60:], 60)
