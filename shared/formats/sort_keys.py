"""Sort keys of texts: Água sorts behind abajur and before Zebra.

PostgreSQL's own order depends on the server's collations; the embedded one has no ICU.
"""

from __future__ import annotations

import unicodedata

KEY_BYTES = 2_400  # of UTF-8: with the id behind it, an index takes 2,704


def sort_key(text: str) -> str:
    """The text without case and marks (NFKD), followed by the text itself, which orders equal ones."""
    return _cut(f"{folded(text)}\x01{text}")


def folded(text: str) -> str:
    """The text without case and marks: `Éclair` is `eclair`."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(each for each in decomposed if not unicodedata.combining(each)).casefold()


def _cut(key: str) -> str:
    if len(key) * 4 <= KEY_BYTES:
        return key
    return key.encode()[:KEY_BYTES].decode(errors="ignore")
