"""What no model of the service explains: in the answers, the rows that are left, and the events."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg

from tests.model import events
from tests.model.history import GONE, History, is_state
from tests.model.linearizability import Operation, State, unexplained


def faults_of(history: History, told: Iterable[events.Event], database_url: str) -> list[str]:
    """A sentence for each of them.

    `told` are the events of all streams, oldest first: `type` and `detail`.
    """
    with psycopg.connect(database_url, autocommit=True) as connection:
        marked = {
            (str(client_id), product_id): when
            for client_id, product_id, when in connection.execute(
                "SELECT client_id, product_id, rfc3339(favorited_at) FROM favorites"
            )
        }
        counts = {
            str(client_id): count
            for client_id, count in connection.execute("SELECT client_id, favorites_count FROM clients")
        }
    living = set(counts)
    rows = Counter(client_id for client_id, _ in marked)
    return [
        *history.unexpected,
        *(
            f"{client_id} is said to have {count} favorites, and has {rows[client_id]}"
            for client_id, count in counts.items()
            if count != rows[client_id]
        ),
        *_unexplained(history, marked, living),
        *_faults_of_events(history, told, marked, living),
    ]


def _unexplained(history: History, marked: Mapping[tuple[str, str], str], living: set[str]) -> list[str]:
    """The registers whose answers no order explains; the rows are one more answer, the last."""
    end = time.monotonic()
    faults = []
    for (client_id, product_id), operations in history.favorites.items():
        state: State = marked.get((client_id, product_id)) if client_id in living else GONE
        last = Operation(f"the row is {state}", end, end, is_state(state))
        if found := unexplained([*operations, last], initial=None):
            faults.append(f"favorite {product_id} of {client_id}: {_around(found, [*operations, last])}")
    for email, operations in history.emails.items():
        if found := unexplained(operations, initial=None):
            faults.append(f"{email}: {_around(found, operations)}")
    return faults


def _around(found: Operation, operations: list[Operation]) -> str:
    """The operation that nothing explains, after those that were answered shortly before."""
    nearby = sorted(operations, key=lambda operation: operation.returned)
    place = nearby.index(found)
    told = [
        f"[{each.called - found.called:+.4f} to {each.returned - found.called:+.4f} s] {each.what}"
        for each in nearby[max(0, place - 8) : place + 1]
    ]
    return "nothing explains the last of\n    " + "\n    ".join(told)


def _faults_of_events(
    history: History, told: Iterable[events.Event], marked: Mapping[tuple[str, str], str], living: set[str]
) -> list[str]:
    replayed = events.replay(event for event in told if event["detail"]["client_id"] in history.clients)
    ours = {held: when for held, when in marked.items() if held[0] in history.clients}
    compared: list[tuple[str, Any, Any]] = [
        ("favorites (by events only, by rows only)", set(replayed.favorites.items()), set(ours.items())),
        ("added (by events only, by answers only)", replayed.added, history.added),
        ("removed (by events only, by answers only)", replayed.removed, history.removed),
        ("clients (by events only, by rows only)", replayed.clients, history.clients & living),
    ]
    return replayed.faults + [f"{what}: {a - b}, {b - a}" for what, a, b in compared if a != b]
