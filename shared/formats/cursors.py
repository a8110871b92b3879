"""Opaque keyset cursors: where a page ended, for the list that it belongs to and no other.

A cursor is base64url of a checksum and a JSON array. The checksum covers the list's name, so a cursor that
was made up, damaged, or given out for another list, order or client is refused. It is no secret and needs no
key: a cursor only says where to go on in a list that its bearer may read anyway.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import TypeVar

from shared.errors import InvalidCursor

_CHECKSUM_BYTES = 8

First = TypeVar("First")
Second = TypeVar("Second")


def encode(list_name: str, *position: str) -> str:
    """The cursor for what follows `position` (the sort key's values, as texts) in that list."""
    payload = json.dumps(position, separators=(",", ":"), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(_checksum(list_name, payload) + payload).rstrip(b"=").decode()


def decode(
    list_name: str, cursor: str, first: Callable[[str], First], second: Callable[[str], Second]
) -> tuple[First, Second]:
    """The position that the cursor was made of, each text as what `first` and `second` make of it.

    These raise ValueError for a text that is no such value. Raises InvalidCursor.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        checksum, payload = raw[:_CHECKSUM_BYTES], raw[_CHECKSUM_BYTES:]
        if checksum != _checksum(list_name, payload):
            raise InvalidCursor
        one, two = json.loads(payload)
        return first(one), second(two)
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise InvalidCursor from error


def text(value: str) -> str:
    """A text as it is. Raises ValueError for what PostgreSQL could not compare with."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("is no text")
    return value


def _checksum(list_name: str, payload: bytes) -> bytes:
    digest = hashlib.blake2b(payload, digest_size=_CHECKSUM_BYTES, key=b"cursor", salt=b"")
    digest.update(b"\0" + list_name.encode())
    return digest.digest()
