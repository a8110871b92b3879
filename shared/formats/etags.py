"""Strong entity tags (RFC 9110 §8.8.3)."""

from __future__ import annotations

import hashlib


def etag_of(body: str) -> str:
    """The body's strong entity tag, with its quotes."""
    return '"' + hashlib.blake2b(body.encode(), digest_size=12).hexdigest() + '"'
