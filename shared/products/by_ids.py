"""Several products by id in one answer: from the cache, the copy, and the catalog for what neither has."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from shared.platform.valkey import CacheDown
from shared.products import discovery, product_cache, product_copy
from shared.products.product_cache import NEGATIVE_TTL, Answer, CacheState, Entry, MissingEntry
from shared.products.write_through import entry_of, newest, put_quietly, remembered_missing

if TYPE_CHECKING:
    from collections.abc import Sequence

CALLS = 10  # of the catalog, at most, for one answer: anybody may ask for a hundred unknown ids


def several(product_ids: Sequence[str]) -> Answer:
    """The products with these ids, and which of them are missing, in one body.

    What is not fresh in the cache comes from the copy, as old as it is there. The catalog is called for
    `CALLS` of those that neither has. The others, and those that it did not answer in time, count as missing,
    in an answer that is not complete. Raises DatabaseUnavailable.
    """
    parts: dict[str, Entry] = {}
    with suppress(CacheDown):
        cached = product_cache.find_all(product_ids)
        parts = {each: entry for each, entry in zip(product_ids, cached, strict=True) if entry is not None}
    old = [each for each in product_ids if each not in parts or not parts[each].is_fresh]
    unanswered: list[str] = []
    if old:
        copied = {row.product_id: entry_of(row) for row in product_copy.find_all(old)}
        put_quietly(copied)
        for product_id, entry in copied.items():
            parts[product_id] = newest(parts.get(product_id), entry) or entry
        unknown = []
        for product_id in old:
            if isinstance(parts.get(product_id), MissingEntry | None):
                remembered = remembered_missing(product_id)  # where Valkey cannot keep it
                if remembered is None:
                    unknown.append(product_id)
                else:
                    parts[product_id] = remembered
        found = discovery.discover(unknown[:CALLS]) if unknown else {}
        unanswered = [each for each in unknown if each not in found]
        parts |= found | dict.fromkeys(unanswered, MissingEntry.since(time.time() - NEGATIVE_TTL))
    state: CacheState = "miss" if old else "hit"
    if not all(parts[each].is_fresh for each in old):
        state = "stale"
    combined = product_cache.join({each: parts[each] for each in product_ids})
    return Answer(replace(combined, is_complete=not unanswered), state)
