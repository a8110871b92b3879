"""Many favorites at once: every product has its outcome, and what is refused spoils nothing."""

import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial

import psycopg
import pytest
import simplejson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.servers.valkey import Valkey
from shared.accounts.access_tokens import Caller
from shared.errors import NotFavorite
from shared.favorites import bulk, items
from shared.favorites.models import ChangedFavorites, FavoriteChanges, Mark
from shared.products import read_through
from tests.hostile_catalog import Answer as Says
from tests.hostile_catalog import HostileCatalog, product
from tests.integration import accounts, concurrency
from tests.integration.conftest import cold_start
from tests.integration.favorites.test_favorite_counts import counted, products

pytestmark = pytest.mark.usefixtures("catalog")


def change(
    caller: Caller, add: Sequence[str | Mark] | None = None, remove: list[str] | None = None
) -> ChangedFavorites:
    marks_ = [each if isinstance(each, Mark) else Mark(product_id=each) for each in add or []]
    return bulk.change(caller, FavoriteChanges(add=marks_, remove=remove or []))


def outcomes(changed: ChangedFavorites) -> dict[str, list[str]]:
    """The lists that are not empty; refused products by the slug of their problem."""
    found = {
        name: getattr(changed, name)
        for name in ("added", "already", "removed", "absent")
        if getattr(changed, name)
    }
    for each in changed.refused:
        found.setdefault(each.type.removeprefix("/problems/"), []).append(each.product_id)
    return found


def favorites(db: psycopg.Connection, caller: Caller) -> set[str]:
    rows = db.execute("SELECT product_id FROM favorites WHERE client_id = %s", [caller.client_id])
    return {product_id for (product_id,) in rows}


def events(db: psycopg.Connection) -> list[tuple[str, str]]:
    """What waits in the outbox about favorites, oldest first: the kind and the product."""
    rows = db.execute(
        "SELECT detail_type, detail FROM outbox WHERE detail_type LIKE 'Favorite%%' ORDER BY outbox_id"
    )
    return [(kind.removeprefix("Favorite"), detail["product_id"]) for kind, detail in rows]


def test_each_product_has_its_outcome_and_its_event(ana: Caller, db: psycopg.Connection) -> None:
    known = products(db, 4)
    change(ana, [known[0], known[1]])
    db.execute("DELETE FROM outbox")
    changed = change(ana, [known[3], known[1], known[2]], ["nothing", known[0]])
    assert outcomes(changed) == {
        "added": [known[3], known[2]],
        "already": [known[1]],
        "removed": [known[0]],
        "absent": ["nothing"],
    }
    assert changed.count == 3
    assert favorites(db, ana) == {known[1], known[2], known[3]}
    told = [("Removed", known[0]), ("Added", known[3]), ("Added", known[2])]
    assert events(db) == told
    again = change(ana, [known[3], known[1], known[2]], ["nothing", known[0]])
    assert (again.already, again.absent) == ([known[3], known[1], known[2]], ["nothing", known[0]])
    assert events(db) == told


def test_known_products_take_three_statements_and_no_other_call(
    ana: Caller, db: psycopg.Connection, catalog: HostileCatalog, valkey: Valkey
) -> None:
    known = products(db, 100)
    catalog.forget_calls()
    with concurrency.statements() as sent, concurrency.commands(valkey.url) as counted_commands:
        assert len(change(ana, list(known)).added) == 100
    assert len(sent) == 5  # what is unknown, and a transaction of two
    assert (catalog.calls, counted_commands) == ({}, {})


def test_guests_date_is_kept_and_an_existing_favorite_keeps_its_own(
    ana: Caller, db: psycopg.Connection
) -> None:
    known = products(db, 2)
    items.add(ana, known[0])
    mine = simplejson.loads(items.get(ana, known[0]).text, use_decimal=True)
    db.execute("UPDATE products SET price = 3")
    long_ago = datetime.now(UTC) - timedelta(days=30)
    change(ana, [Mark(product_id=each, favorited_at=long_ago) for each in known])
    kept, new = (simplejson.loads(items.get(ana, each).text, use_decimal=True) for each in known)
    assert (kept["favorited_at"], kept["price_when_favorited"]) == (mine["favorited_at"], Decimal(1))
    assert datetime.fromisoformat(new["favorited_at"]) == long_ago
    assert new["price_when_favorited"] == 3


# ── What the copy does not have ───────────────────────────────────────────────────────────────────────────


def test_products_that_only_the_catalog_has_are_copied_and_added(
    ana: Caller, db: psycopg.Connection, catalog: HostileCatalog
) -> None:
    changed = change(ana, ["7", "998", "3", "no-such", "12"], ["5"])
    assert outcomes(changed) == {
        "added": ["7", "3", "12"],
        "unknown-product": ["998", "no-such"],
        "absent": ["5"],
    }
    assert read_through.detail("7").state == "hit"
    catalog.forget_calls()
    assert outcomes(change(ana, ["998", "no-such"])) == {"unknown-product": ["998", "no-such"]}
    assert catalog.calls == {}  # it is remembered that they do not exist
    assert favorites(db, ana) == {"7", "3", "12"}


@pytest.mark.parametrize("answer", [Says.status(500), Says.reset(), Says.html()])
def test_invalid_answer_of_the_catalog_refuses_its_product_alone(
    ana: Caller, db: psycopg.Connection, catalog: HostileCatalog, answer: Says
) -> None:
    [known] = products(db, 1)
    catalog.answer("/products/7", answer)
    changed = change(ana, ["7", known, "8", "998"])
    assert outcomes(changed) == {
        "added": [known, "8"],
        "catalog-unavailable": ["7"],
        "unknown-product": ["998"],
    }
    assert favorites(db, ana) == {known, "8"}


def test_silent_catalog_is_waited_for_once_however_many_are_unknown(
    ana: Caller, db: psycopg.Connection, catalog: HostileCatalog
) -> None:
    known = products(db, 2)
    change(ana, [known[0]])
    catalog.answer_all(Says.json(product(7)).after(6))
    unknown = [str(number) for number in range(1_000, 1_096)] + ["no-number", "another"]
    started = time.monotonic()
    changed = change(ana, [*unknown, known[1]], [known[0]])
    assert time.monotonic() - started < 5
    assert outcomes(changed) == {"added": [known[1]], "removed": [known[0]], "catalog-unavailable": unknown}


def test_products_are_added_without_the_cache(ana: Caller, valkey: Valkey) -> None:
    valkey.stop()
    cold_start()
    assert outcomes(change(ana, ["7", "998"])) == {"added": ["7"], "unknown-product": ["998"]}


def test_removed_product_is_refused_unless_it_is_a_favorite(ana: Caller, db: psycopg.Connection) -> None:
    known = products(db, 2)
    change(ana, [known[0]])
    db.execute("UPDATE products SET removed_at = now()")
    assert outcomes(change(ana, list(known))) == {"already": [known[0]], "unknown-product": [known[1]]}


# ── At once, and against a model ──────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("connection_per_thread")
def test_changes_at_once_and_their_events_agree(ana: Caller, db: psycopg.Connection) -> None:
    known = products(db, 8)
    work: list[Callable[[], object]] = []
    for _ in range(12):
        some = random.sample(known, 8)
        work += [
            partial(change, ana, some[:3], some[3:]),
            partial(change, ana, some),
            partial(items.add, ana, some[0]),
            partial(items.remove, ana, some[0]),
        ]
    changed = concurrency.at_once(work)
    failed = [each for each in changed if isinstance(each, Exception)]
    assert all(isinstance(each, NotFavorite) for each in failed), failed
    held: set[str] = set()
    for kind, name in events(db):  # in the order in which they will be told
        assert (name in held) == (kind == "Removed")
        held ^= {name}
    assert held == favorites(db, ana)
    assert counted(db, ana)[0] == len(held)


NAMES = [f"p{number:04}" for number in range(1, 9)] + ["998", "999"]  # the last two do not exist


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_shuffled_and_repeated_merges_follow_a_model(db: psycopg.Connection, data: st.DataObject) -> None:
    if db.execute("SELECT FROM products WHERE product_id = 'p0001'").fetchone() is None:
        products(db, 8)
    caller = accounts.new_caller()
    held: dict[str, datetime | None] = {}
    for _ in range(data.draw(st.integers(1, 6))):
        chosen = data.draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
        split = data.draw(st.integers(0, len(chosen)))
        ago = data.draw(st.lists(st.none() | st.integers(1, 80), min_size=split, max_size=split))
        add = [
            Mark(
                product_id=name,
                favorited_at=None if days is None else datetime.now(UTC) - timedelta(days=days),
            )
            for name, days in zip(chosen[:split], ago, strict=True)
        ]
        expected: dict[str, list[str]] = {}
        for name in chosen[split:]:
            expected.setdefault("removed" if name in held else "absent", []).append(name)
            held.pop(name, None)
        for mark in add:
            name = mark.product_id
            outcome = "already" if name in held else "unknown-product" if name in NAMES[-2:] else "added"
            expected.setdefault(outcome, []).append(name)
            if outcome == "added":
                held[name] = mark.favorited_at
        changed = change(caller, list(add), chosen[split:])
        assert outcomes(changed) == expected
        assert changed.count == len(held) == counted(db, caller)[0]
    rows = db.execute(
        "SELECT product_id, favorited_at FROM favorites WHERE client_id = %s", [caller.client_id]
    ).fetchall()
    assert {name for name, _ in rows} == held.keys()
    assert all(held[name] in (None, moment) for name, moment in rows)
