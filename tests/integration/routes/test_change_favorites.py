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

PRIVATE = "private, no-cache"


def test_each_product_is_in_the_list_of_what_became_of_it(ana: Caller, db: psycopg.Connection) -> None:
    known = products(db, MAX_FAVORITES + 2)
    holds(db, ana, known[: MAX_FAVORITES - 1])
    add = [known[-3], known[1], "999", known[-2], known[-1]]
    answer = ask(
        "change_favorites",
        ana,
        body={"add": [{"product_id": name} for name in add], "remove": [known[0], "5"]},
    )
    assert answer.status == 200
    assert answer.json == {
        "added": [known[-3], known[-2]],
        "already": [known[1]],
        "removed": [known[0]],
        "absent": ["5"],
        "refused": [
            {"product_id": "999", "type": "/problems/unknown-product"},
            {"product_id": known[-1], "type": "/problems/favorites-full"},
        ],
        "count": MAX_FAVORITES,
    }
    assert answer.headers["Cache-Control"] == PRIVATE


def test_a_guests_time_is_kept_as_the_moment_that_it_is(ana: Caller, db: psycopg.Connection) -> None:
    known = products(db, 2)
    moment = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
    there = (moment - timedelta(hours=3)).replace(tzinfo=None).isoformat() + "-03:00"
    marked = zip(known, [there, None], strict=True)
    body = {"add": [{"product_id": name, "favorited_at": at} for name, at in marked]}
    assert ask("change_favorites", ana, body=body).status == 200
    new, old = ask("list_favorites", ana, query={}).json["items"]
    assert (old["product_id"], datetime.fromisoformat(old["favorited_at"])) == (known[0], moment)
    assert datetime.now(UTC) - datetime.fromisoformat(new["favorited_at"]) < timedelta(minutes=1)


def test_who_is_gone_gets_401_and_the_catalog_is_not_asked(catalog: HostileCatalog) -> None:
    assert call("change_favorites").problem == "invalid-token"
    assert catalog.calls == {}


@pytest.mark.parametrize(
    ("ago", "zone"),
    [(timedelta(days=90, minutes=-1), "+00:00"), (timedelta(), "+00:00"), (timedelta(days=1), "Z")],
)
def test_a_guest_may_have_marked_it_up_to_ninety_days_ago(ana: Caller, ago: timedelta, zone: str) -> None:
    moment = (datetime.now(UTC) - ago).isoformat().replace("+00:00", zone)
    body = {"add": [{"product_id": "7", "favorited_at": moment}]}
    assert ask("change_favorites", ana, body=body).json["added"] == ["7"]


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
