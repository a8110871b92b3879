"""What the service acknowledged, and what its database has to show for it afterwards.

Each account has one writer, which waits for an answer before it asks again. So what a favorite must be is
known after each answer, except where the answer was lost or was a 5xx: then it may be either, and may yet
change while the fault lasts, for a statement on its way can arrive when the network heals.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

import psycopg

from tests.model import events

PRESENT, ABSENT = frozenset({True}), frozenset({False})
EITHER = PRESENT | ABSENT


@dataclass
class Account:
    email: str
    client_id: str = ""
    access_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    favorites: dict[str, frozenset[bool]] = field(default_factory=dict)
    in_doubt: set[str] = field(default_factory=set)  # favorites that a statement on its way may still change
    refresh_doubted_at: float | None = None  # time.monotonic() as the first refresh without an answer began
    is_registered: frozenset[bool] = PRESENT

    def may_be(self, product_id: str) -> frozenset[bool]:
        return EITHER if product_id in self.in_doubt else self.favorites.get(product_id, ABSENT)

    def saw(self, product_id: str, *, before: frozenset[bool], after: frozenset[bool]) -> bool:
        """Note an answer that tells what the favorite was and is; whether it can be true."""
        possible = bool(self.may_be(product_id) & before)
        if product_id not in self.in_doubt:
            self.favorites[product_id] = after
        return possible

    def doubt(self, product_id: str) -> None:
        """Note that a change of the favorite was asked for, and the answer does not say what became of it."""
        self.in_doubt.add(product_id)

    def settle(self) -> None:
        """Note that the fault is long over: nothing is on its way any more."""
        for product_id in self.in_doubt:
            self.favorites[product_id] = EITHER
        self.in_doubt.clear()


def lost_writes(accounts: Iterable[Account], database_url: str) -> list[str]:
    """What the database has otherwise than it was acknowledged; a sentence for each."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        return [fault for account in accounts for fault in _faults_of(account, connection)]


def _faults_of(account: Account, connection: psycopg.Connection) -> list[str]:
    account.settle()
    row = connection.execute(
        """
        SELECT client_id,
               ARRAY(SELECT product_id FROM favorites WHERE favorites.client_id = clients.client_id)
          FROM clients
         WHERE email = %(email)s
        """,
        {"email": account.email},
    ).fetchone()
    if (row is not None) not in account.is_registered:
        return [f"{account.email} is {'still' if row else 'not'} registered"]
    if row is None or account.is_registered != PRESENT:
        return []
    client_id, held = row
    if client_id != UUID(account.client_id):
        return [f"{account.email} is another client than was acknowledged"]
    return [
        f"{account.email}: favorite {product_id} is {'there' if product_id in held else 'gone'}"
        for product_id in sorted({*account.favorites, *held})
        if (product_id in held) not in account.may_be(product_id)
    ]


def disagreements(told: Iterable[events.Event], database_url: str) -> list[str]:
    """Where the events, in their order, do not add up to the rows."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        held = {
            (str(client_id), product_id)
            for client_id, product_id in connection.execute("SELECT client_id, product_id FROM favorites")
        }
        clients = {str(client_id) for (client_id,) in connection.execute("SELECT client_id FROM clients")}
    known = events.replay(told)
    by_events = set(known.favorites)
    by_rows = {favorite for favorite in held if favorite[0] in known.clients}
    faults = [f"no event tells of favorite {favorite}" for favorite in sorted(by_rows - by_events)]
    faults += [f"events tell of favorite {each}, which is not there" for each in sorted(by_events - held)]
    faults += [f"events tell of client {client}, who is gone" for client in sorted(known.clients - clients)]
    return known.faults + faults
