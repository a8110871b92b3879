"""The outbox as a test sees it, and a bus that takes what is sent."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psycopg
import simplejson

from tests.integration.catalog_messages import changed_product, deliver, removed

ROOT = Path(__file__).parents[3]
T = 1_795_000_000_000  # a version of today
BUS = "favorites-events"

Entry = dict[str, Any]
Event = tuple[str, dict[str, Any]]


def waiting(db: psycopg.Connection, stream: str = "") -> list[Event]:
    """The events of the streams that begin so, in the order of the outbox; their decimals exact."""
    found = db.execute(
        "SELECT detail_type, detail::text FROM outbox WHERE starts_with(stream, %s) ORDER BY outbox_id",
        [stream],
    ).fetchall()
    return [(kind, simplejson.loads(detail, use_decimal=True)) for kind, detail in found]


def forget(db: psycopg.Connection) -> None:
    """Begin with an empty outbox."""
    db.execute("DELETE FROM outbox")


def change(version: int, **changes: Any) -> None:
    assert deliver(changed_product(version, 7, **changes)) == []


def remove(version: int) -> None:
    assert deliver(removed(version, "7")) == []


class Bus:
    """Takes entries, or refuses those that `refuses` says; remembers each call."""

    def __init__(self, refuses: Callable[[Entry], bool] = lambda _: False) -> None:
        self.refuses = refuses
        self.calls: list[list[Entry]] = []
        self.taken: list[Entry] = []

    def send(self, entries: Sequence[Entry]) -> list[bool]:
        self.calls.append(list(entries))
        answers = [not self.refuses(entry) for entry in entries]
        self.taken += [entry for entry, taken in zip(entries, answers, strict=True) if taken]
        return answers

    def numbers(self, stream: str) -> list[int]:
        """What was taken of the stream, in order."""
        return [number for name, number in map(named, self.taken) if name == stream]


def put(db: psycopg.Connection, *events: tuple[str, int]) -> None:
    """Events to send: of a stream, with a number."""
    with db.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO outbox (stream, detail_type, detail) VALUES (%s, 'Numbered', %s)",
            [(stream, json.dumps({"stream": stream, "number": number})) for stream, number in events],
        )


def named(entry: Entry) -> tuple[str, int]:
    detail = json.loads(entry["Detail"])
    return detail["stream"], detail["number"]


def left(db: psycopg.Connection) -> list[tuple[str, int]]:
    return [(detail["stream"], detail["number"]) for _, detail in waiting(db)]


def put_large(db: psycopg.Connection, stream: str, number: int, size: int) -> None:
    """An event to send of that many bytes and some."""
    detail = {"stream": stream, "number": number, "text": "ç" * (size // 2)}
    db.execute(
        "INSERT INTO outbox (stream, detail_type, detail) VALUES (%s, 'Numbered', %s)",
        [stream, json.dumps(detail, ensure_ascii=False)],
    )


def dead(db: psycopg.Connection) -> list[tuple[str, int, str]]:
    found = db.execute("SELECT detail, reason FROM outbox_refused ORDER BY outbox_id").fetchall()
    return [(detail["stream"], detail["number"], reason) for detail, reason in found]
