"""The events of a service: those that its console shows as sent, and those that wait in the outbox."""

import json
import re
from collections.abc import Callable
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
