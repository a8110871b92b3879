"""The events of a service: those that its console shows as sent, and those that wait in the outbox."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import psycopg

Event = dict[str, Any]
"""`type` and `detail`."""


def waiting(database_url: str) -> list[Event]:
    """The events about clients that are not sent yet, oldest first."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        rows = connection.execute(
            """
            SELECT detail_type, jsonb_build_object('event_id', event_id) || detail::jsonb
              FROM outbox WHERE stream LIKE 'client:%' ORDER BY outbox_id
            """
        ).fetchall()
    return [{"type": kind, "detail": detail} for kind, detail in rows]


def all_of(console: Callable[[], str], database_url: str) -> list[Event]:
    """The events about clients in their order, each delivery of those that came twice.

    `console` is what `make run` shows: a line for each event that reached the bus.
    """
    still = waiting(database_url)  # first: what is sent meanwhile is seen twice, and not never
    shown = re.findall(r"^event \| favorites (\S+) (\{.*\})$", console(), re.MULTILINE)
    sent = [{"type": kind, "detail": json.loads(detail)} for kind, detail in shown]
    return [event for event in sent if "client_id" in event["detail"]] + still


@dataclass
class Replay:
    """What a consumer who follows the events knows at the end, and what made no sense on the way."""

    faults: list[str] = field(default_factory=list)
    favorites: dict[tuple[str, str], str] = field(default_factory=dict)  # client and product, and since when
    clients: set[str] = field(default_factory=set)
    added: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    removed: Counter[tuple[str, str]] = field(default_factory=Counter)


def replay(told: Iterable[Event]) -> Replay:
    """Follow the events in their order; deliveries with one `event_id` are one event."""
    known, seen = Replay(), set()
    for event in told:
        kind, detail = event["type"], event["detail"]
        if detail["event_id"] in seen:
            continue
        seen.add(detail["event_id"])
        client_id: str = detail["client_id"]
        favorite = (client_id, detail.get("product_id", ""))
        if kind != "ClientRegistered" and client_id not in known.clients:
            known.faults.append(f"{kind} of {client_id} before it was registered or after it was removed")
        if kind == "ClientRegistered":
            known.clients.add(client_id)
        elif kind == "ClientRemoved":
            known.clients.discard(client_id)
            known.favorites = {held: at for held, at in known.favorites.items() if held[0] != client_id}
        elif kind == "FavoriteAdded":
            if favorite in known.favorites:
                known.faults.append(f"favorite {favorite} was added twice")
            known.favorites[favorite] = detail["favorited_at"]
            known.added[(*favorite, detail["favorited_at"])] += 1
        elif kind == "FavoriteRemoved":
            if known.favorites.pop(favorite, None) is None:
                known.faults.append(f"favorite {favorite} was removed before it was added")
            known.removed[favorite] += 1
    return known
