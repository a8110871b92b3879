"""What one client may change is bounded: a thousand favorites at once, then ten a second."""

from collections.abc import Callable

import psycopg
import pytest

from shared.accounts.access_tokens import Caller
from shared.errors import TooManyChanges
from shared.favorites import items, limits
from tests.integration import accounts
from tests.integration.favorites.test_favorite_counts import change_many, products

pytestmark = pytest.mark.usefixtures("catalog")


def count_changes(db: psycopg.Connection, caller: Caller, number: int) -> None:
    """As if the client had changed so many favorites just now."""
    db.execute(
        "UPDATE clients SET changes_counted_to = now() + %s * make_interval(secs => %s) WHERE client_id = %s",
        [number, limits.SECONDS_PER_CHANGE, caller.client_id],
    )


def test_client_may_change_a_thousand_favorites_and_others_still_may(
    db: psycopg.Connection, ana: Caller
) -> None:
    known = products(db, 101)
    for _ in range(5):
        change_many(ana, known[:100])
        change_many(ana, [], known[:100])
    change_many(ana, known[:100])  # the requests so far took some seconds, which are given back
    with pytest.raises(TooManyChanges):
        change_many(ana, [], known[:1])
    items.add(accounts.new_caller(), known[0])


CHANGING: dict[str, Callable[[Caller], object]] = {
    "PUT": lambda caller: items.add(caller, "p0002"),
    "POST": lambda caller: items.create(caller, "p0002"),
    "DELETE": lambda caller: items.remove(caller, "p0001"),
    "bulk": lambda caller: change_many(caller, ["p0002"], ["p0001"]),
}


@pytest.mark.parametrize("how", CHANGING)
def test_every_way_to_change_is_bounded_and_writes_nothing(
    db: psycopg.Connection, ana: Caller, how: str
) -> None:
    products(db, 2)
    items.add(ana, "p0001")
    db.execute("DELETE FROM outbox")
    count_changes(db, ana, limits.CHANGES_AT_ONCE + 50)
    with pytest.raises(TooManyChanges) as refused:
        CHANGING[how](ana)
    assert refused.value.retry_after == 5
    assert items.add(ana, "p0001")[1] is False  # a repeated request changes nothing, and is no change
    assert db.execute("SELECT FROM outbox").rowcount == 0
    count_changes(db, ana, limits.CHANGES_AT_ONCE - 10)
    CHANGING[how](ana)


def test_each_favorite_that_changes_is_counted(db: psycopg.Connection, ana: Caller) -> None:
    known = products(db, 50)
    change_many(ana, known)
    change_many(ana, known)
    (ahead,) = db.execute(
        "SELECT extract(epoch FROM changes_counted_to - now()) FROM clients"
    ).fetchone() or (0,)
    assert 50 * limits.SECONDS_PER_CHANGE - 3 < ahead <= 50 * limits.SECONDS_PER_CHANGE
