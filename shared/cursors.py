"""Opaque keyset cursors: where a page ended, for the list that it belongs to and no other.

A cursor is base64url of a checksum and a JSON array. The checksum covers the list's name, so a cursor that
was made up, damaged, or given out for another list, order or client is refused. It is no secret and needs no
key: a cursor only says where to go on in a list that its bearer may read anyway.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json

from shared.errors import InvalidCursor

_CHECKSUM_BYTES = 8

Position = list[str]


def encode(list_name: str, position: Position) -> str:
    """The cursor for what follows `position` (the sort key's values, as texts) in that list."""
    payload = json.dumps(position, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_checksum(list_name, payload) + payload).rstrip(b"=").decode()


def decode(list_name: str, cursor: str, *, length: int) -> Position:
    """The position of `length` texts that the cursor was made of. Raises InvalidCursor."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidCursor from error
    checksum, payload = raw[:_CHECKSUM_BYTES], raw[_CHECKSUM_BYTES:]
    if checksum != _checksum(list_name, payload):
        raise InvalidCursor
    position = json.loads(payload)
    if len(position) != length:
        raise InvalidCursor
    return [str(value) for value in position]


def _checksum(list_name: str, payload: bytes) -> bytes:
    digest = hashlib.blake2b(payload, digest_size=_CHECKSUM_BYTES, key=b"cursor", salt=b"")
    digest.update(b"\0" + list_name.encode())
    return digest.digest()
