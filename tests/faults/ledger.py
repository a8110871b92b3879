"""What the service acknowledged, and what its database has to show for it afterwards.

Each account has one writer, which waits for an answer before it asks again. So what a favorite must be is
known after each answer, except where the answer was lost or was a 5xx: then it may be either, and may yet
change while the fault lasts, for a statement on its way can arrive when the network heals.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg

PRESENT, ABSENT = frozenset({True}), frozenset({False})
EITHER = PRESENT | ABSENT


@dataclass
class Account:
    """A client as its writer knows it."""

    email: str
    client_id: str = ""
    access_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    favorites: dict[str, frozenset[bool]] = field(default_factory=dict)
    in_doubt: set[str] = field(default_factory=set)  # favorites that a statement on its way may still change
    refresh_doubted_at: float | None = None  # time.monotonic() as the first refresh without an answer began
    is_registered: frozenset[bool] = PRESENT

    def may_be(self, product_id: str) -> frozenset[bool]:
        """Whether the product can be a favorite."""
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
        "SELECT client_id FROM clients WHERE email = %(email)s", {"email": account.email}
    ).fetchone()
    if (row is not None) not in account.is_registered:
        return [f"{account.email} is {'still' if row else 'not'} registered"]
    if row is None or account.is_registered != PRESENT:
        return []
    if row[0] != UUID(account.client_id):
        return [f"{account.email} is another client than was acknowledged"]
    return _faults_of_favorites(account, connection)


def _faults_of_favorites(account: Account, connection: psycopg.Connection) -> list[str]:
    rows = connection.execute(
        "SELECT product_id FROM favorites WHERE client_id = %(client_id)s", {"client_id": account.client_id}
    ).fetchall()
    held = {product_id for (product_id,) in rows}
    known = account.favorites.keys() | held
    return [
        f"{account.email}: favorite {product_id} is {'there' if product_id in held else 'gone'}"
        for product_id in sorted(known)
        if (product_id in held) not in account.may_be(product_id)
    ]


def disagreements(events: Iterable[Mapping[str, Any]], database_url: str) -> list[str]:
    """Where the events (`type` and `detail`, in their order) do not add up to the rows.

    Deliveries with one `event_id` are one event. Each favorite is added and removed in turns, and is there
    in the end if it was added last; so is each client.
    """
    with psycopg.connect(database_url, autocommit=True) as connection:
        held = {
            (str(client_id), product_id)
            for client_id, product_id in connection.execute("SELECT client_id, product_id FROM favorites")
        }
        clients = {str(client_id) for (client_id,) in connection.execute("SELECT client_id FROM clients")}
    faults: list[str] = []
    seen: set[str] = set()
    told: set[tuple[str, str]] = set()
    told_clients: set[str] = set()
    for event in events:
        kind, detail = event["type"], event["detail"]
        if detail["event_id"] in seen:
            continue
        seen.add(detail["event_id"])
        client = detail.get("client_id")
        favorite = (client, detail.get("product_id"))
        if kind == "FavoriteAdded":
            if favorite in told:
                faults.append(f"favorite {favorite} was added twice")
            told.add(favorite)
        elif kind == "FavoriteRemoved":
            if favorite not in told:
                faults.append(f"favorite {favorite} was removed before it was added")
            told.discard(favorite)
        elif kind == "ClientRegistered":
            told_clients.add(client)
        elif kind == "ClientRemoved":
            told_clients.discard(client)
            told -= {(holder, product) for holder, product in told if holder == client}
    of_clients_told = {(client, product) for client, product in held if client in told_clients}
    faults += [f"no event tells of favorite {favorite}" for favorite in sorted(of_clients_told - told)]
    faults += [f"events tell of favorite {favorite}, which is not there" for favorite in sorted(told - held)]
    faults += [f"events tell of client {client}, who is gone" for client in sorted(told_clients - clients)]
    return faults
