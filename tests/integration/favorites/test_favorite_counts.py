"""The count and revision of a client's favorites, and their bound: exact, whoever writes and how many."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psycopg
import pytest

from shared.accounts import profiles, removal
from shared.accounts.access_tokens import Caller
from shared.errors import FavoritesFull
from shared.favorites import bulk, items
from shared.favorites.limits import MAX_FAVORITES
from shared.favorites.models import ChangedFavorites, FavoriteChanges, Mark
from tests.integration import accounts, concurrency

pytestmark = pytest.mark.usefixtures("catalog")


def products(db: psycopg.Connection, number: int) -> list[str]:
    """So many products that the copy has: p0001, p0002, …"""
    db.execute(
        """
        INSERT INTO products (product_id, title, price, description, category, image, version, fetched_at)
        SELECT 'p' || lpad(n::text, 4, '0'), 'P', 1, '', '', '', 1, now() FROM generate_series(1, %s) AS n
        """,
        [number],
    )
    return [f"p{n:04}" for n in range(1, number + 1)]


def holds(db: psycopg.Connection, caller: Caller, product_ids: list[str]) -> None:
    """Make the products favorites of the caller behind the service's back."""
    db.execute(
        "INSERT INTO favorites (client_id, product_id, price_when_favorited) "
        "SELECT %s, unnest(%s::text[]), 1",
        [caller.client_id, product_ids],
    )
    db.execute("UPDATE clients SET changes_counted_to = 'epoch'")


def counted(db: psycopg.Connection, caller: Caller) -> tuple[int, int]:
    """How many favorites the client's row says, which is how many there are; and the revision."""
    row = db.execute(
        """
        SELECT favorites_count, favorites_revision,
               (SELECT count(*) FROM favorites WHERE favorites.client_id = clients.client_id)
          FROM clients WHERE client_id = %s
        """,
        [caller.client_id],
    ).fetchone()
    assert row
    assert row[0] == row[2]
    return int(row[0]), int(row[1])


def change_many(caller: Caller, add: list[str], remove: list[str] | None = None) -> ChangedFavorites:
    return bulk.change(
        caller, FavoriteChanges(add=[Mark(product_id=name) for name in add], remove=remove or [])
    )


# ── Count and revision ────────────────────────────────────────────────────────────────────────────────────


def test_every_change_moves_the_revision_and_what_changes_nothing_does_not(
    ana: Caller, db: psycopg.Connection
) -> None:
    products(db, 3)
    does: list[tuple[Callable[[], object], int, bool]] = [
        (partial(items.add, ana, "p0001"), 1, True),
        (partial(items.add, ana, "p0001"), 1, False),
        (partial(items.create, ana, "p0002"), 2, True),
        (partial(change_many, ana, ["p0001", "p0003"], ["p0002"]), 2, True),
        (partial(change_many, ana, ["p0001", "p0003"], ["p0002"]), 2, False),
        (partial(items.remove, ana, "p0001"), 1, True),
    ]
    count, revision = counted(db, ana)
    assert (count, revision) == (0, 0)
    for do, expected, moves in does:
        do()
        count, moved = counted(db, ana)
        assert count == expected
        assert (moved > revision) == moves
        revision = moved


def test_favorites_change_neither_their_client_nor_the_count_of_others(
    ana: Caller, db: psycopg.Connection
) -> None:
    ben = accounts.new_caller()
    products(db, 1)
    items.add(ben, "p0001")
    before, bens = profiles.get(ana, "me"), counted(db, ben)
    items.add(ana, "p0001")
    items.remove(ana, "p0001")
    assert (profiles.get(ana, "me"), counted(db, ben)) == (before, bens)


def test_client_with_favorites_can_be_removed(ana: Caller, db: psycopg.Connection) -> None:
    holds(db, ana, products(db, 100))
    removal.remove(ana, "me")
    assert db.execute("SELECT FROM favorites").fetchone() is None


def test_restored_backup_brings_no_revision_twice(ana: Caller, db: psycopg.Connection) -> None:
    products(db, 2)
    items.add(ana, "p0001")
    _, backed_up = counted(db, ana)
    items.add(ana, "p0002")
    _, lost = counted(db, ana)
    db.execute("DELETE FROM favorites WHERE product_id = 'p0002'")
    db.execute("UPDATE clients SET favorites_revision = %s", [backed_up])
    items.add(ana, "p0002")
    assert counted(db, ana)[1] > lost


# ── The bound ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def at_the_edge(ana: Caller, db: psycopg.Connection) -> list[str]:
    """Ana has room for three more; the products that she does not have."""
    known = products(db, MAX_FAVORITES + 100)
    holds(db, ana, known[: MAX_FAVORITES - 3])
    return known[MAX_FAVORITES - 3 :]


def test_one_more_than_fits_is_refused_and_one_less_makes_room(
    ana: Caller, db: psycopg.Connection, at_the_edge: list[str]
) -> None:
    for product_id in at_the_edge[:3]:
        items.add(ana, product_id)
    for add in (items.add, items.create):
        with pytest.raises(FavoritesFull) as refused:
            add(ana, at_the_edge[3])
        assert refused.value.maximum == MAX_FAVORITES
    assert items.add(ana, at_the_edge[0])[1] is False  # it is one still
    items.remove(ana, at_the_edge[0])
    assert items.add(ana, at_the_edge[3])[1] is True
    assert counted(db, ana)[0] == MAX_FAVORITES


@pytest.mark.usefixtures("connection_per_thread")
def test_of_single_and_bulk_changes_at_once_exactly_as_many_succeed_as_fit(
    ana: Caller, db: psycopg.Connection, at_the_edge: list[str]
) -> None:
    works: list[Callable[[], object]] = [partial(items.add, ana, each) for each in at_the_edge[:30]]
    works += [partial(change_many, ana, at_the_edge[n : n + 10]) for n in range(30, 100, 10)]
    random.shuffle(works)
    failed = [outcome for outcome in concurrency.at_once(works) if isinstance(outcome, Exception)]
    assert all(isinstance(each, FavoritesFull) for each in failed), failed
    assert len(failed) >= 27
    assert counted(db, ana)[0] == MAX_FAVORITES


def test_product_that_another_request_adds_meanwhile_is_found_and_not_refused(
    ana: Caller, db: psycopg.Connection, at_the_edge: list[str]
) -> None:
    holds(db, ana, at_the_edge[:2])
    with ThreadPoolExecutor(1) as pool:
        with db.transaction():
            holds(db, ana, [at_the_edge[2]])  # the last that fits
            adding = pool.submit(items.add, ana, at_the_edge[2])
            concurrency.wait_for_a_lock(db)
        assert adding.result()[1] is False
    assert counted(db, ana)[0] == MAX_FAVORITES


def test_repeated_put_does_not_wait_for_another_change_of_the_client(
    ana: Caller, db: psycopg.Connection
) -> None:
    [known] = products(db, 1)
    items.add(ana, known)
    with db.transaction():
        db.execute("SELECT FROM clients FOR UPDATE")
        assert items.add(ana, known)[1] is False
