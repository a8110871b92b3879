"""Opaque keyset cursors: the end of a page of one list.

A cursor is base64url of a checksum and a JSON array. The checksum covers the list's name, so invented or
damaged cursors, and those of another list, order or client, are refused. It is not a secret and needs no key:
a cursor names only a position in a list that its bearer may read anyway.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from shared.errors import InvalidCursor
from shared.formats import json_text

_CHECKSUM_BYTES = 8

First = TypeVar("First")
Second = TypeVar("Second")


def encode(list_name: str, *position: str) -> str:
    """The cursor to the items behind `position` (the sort key's values, as texts) in the list."""
    payload = json.dumps(position, separators=(",", ":"), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(_checksum(list_name, payload) + payload).rstrip(b"=").decode()


def decode(
    list_name: str, cursor: str, first: Callable[[str], First], second: Callable[[str], Second]
) -> tuple[First, Second]:
    """The position of the cursor, its two texts parsed by `first` and `second`: the functions below.

    They raise ValueError for a text that `encode` never gets. Each position has exactly one cursor; any other
    spelling is refused. Raises InvalidCursor.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        one, two = json.loads(raw[_CHECKSUM_BYTES:])
        if cursor != encode(list_name, one, two):
            raise InvalidCursor
        return first(one), second(two)
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise InvalidCursor from error


# ── Parsers of values, each for the one spelling that a cursor has ────────────────────────────────────────

_INTEGER = re.compile(r"0|[1-9][0-9]{0,17}")  # up to 18 digits: each is a bigint of PostgreSQL's
# The digits that a price may have (shared.products.catalog), with the zeros at its end.
_DECIMAL = re.compile(r"(?:0|[1-9][0-9]{0,11})(?:\.[0-9]{1,20})?")
_DIFFERENCE = re.compile(f"-?{_DECIMAL.pattern}")


def integer(value: str) -> int:
    """A number from 0 on. Raises ValueError."""
    return int(_matched(_INTEGER, value))


def decimal(value: str) -> Decimal:
    """An amount from 0 on, without an exponent. Raises ValueError."""
    return Decimal(_matched(_DECIMAL, value))


def difference(value: str) -> Decimal:
    """The difference of two amounts. Raises ValueError."""
    return Decimal(_matched(_DIFFERENCE, value))


def moment(value: str) -> datetime:
    """A time as json_text.timestamp writes it. Raises ValueError."""
    parsed = datetime.fromisoformat(text(value))
    if parsed.tzinfo is None or json_text.timestamp(parsed) != value:
        raise ValueError("is not a time of a cursor")
    return parsed


def uuid(value: str) -> UUID:
    """A UUID in lower case. Raises ValueError."""
    parsed = UUID(text(value))
    if str(parsed) != value:
        raise ValueError("is not a UUID of a cursor")
    return parsed


def text(value: str) -> str:
    """The text. Raises ValueError for NUL, which PostgreSQL's text type does not have."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("is not a text")
    return value


def _matched(form: re.Pattern[str], value: str) -> str:
    if not form.fullmatch(text(value)):
        raise ValueError("is not a number of a cursor")
    return value


def _checksum(list_name: str, payload: bytes) -> bytes:
    digest = hashlib.blake2b(payload, digest_size=_CHECKSUM_BYTES, key=b"cursor", salt=b"")
    digest.update(b"\0" + list_name.encode())
    return digest.digest()
