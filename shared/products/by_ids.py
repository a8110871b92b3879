"""Several products by id in one answer: from the cache, the copy, and the catalog for what neither has."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from shared.errors import CatalogUnavailable, UnknownProduct
from shared.platform import deadlines
from shared.platform.valkey import TIMEOUT, CacheDown
from shared.products import catalog, product_cache, product_copy, read_through, write_through
from shared.products.product_cache import Answer, CacheState, Entry

if TYPE_CHECKING:
    from collections.abc import Sequence


def several(product_ids: Sequence[str]) -> Answer:
    """The products with these ids, and which of them are missing, in one body.

    What the cache does not have fresh comes from the copy, as old as it is there, and the catalog is asked
    only for what neither has, one after the other, until the request's time is nearly over or it fails. What
    it did not confirm by then is missing, in an answer that nobody may keep. Raises DatabaseUnavailable.
    """
    cached: Sequence[Entry | None] = [None] * len(product_ids)
    with suppress(CacheDown):
        cached = product_cache.get_all(product_ids)
    parts = {
        product_id: entry for product_id, entry in zip(product_ids, cached, strict=True) if entry is not None
    }
    old = [product_id for product_id in product_ids if not _is_fresh(parts.get(product_id))]
    copied = (
        {row.product_id: write_through.entry_of(row) for row in product_copy.find_all(old)} if old else {}
    )
    with suppress(CacheDown), deadlines.within(TIMEOUT):  # the answer does not wait for more of them
        product_cache.put_all(copied)
    for product_id, entry in copied.items():
        held = parts.get(product_id, entry)
        parts[product_id] = max(held, entry, key=lambda each: (each.version, each.fetched_at))
    may_ask, is_complete = True, True
    for product_id in old:
        if product_id not in parts:
            said = _confirmed(product_id) if may_ask else None
            may_ask = _is_fresh(said)
            is_complete = is_complete and said is not None
            parts[product_id] = said or product_cache.missing_entry(time.time() - product_cache.NEGATIVE_TTL)
    state: CacheState = "miss" if old else "hit"
    if not all(_is_fresh(parts[product_id]) for product_id in old):
        state = "stale"
    joined = product_cache.join({product_id: parts[product_id] for product_id in product_ids})
    return Answer(replace(joined, is_complete=is_complete), state)


def _is_fresh(entry: Entry | None) -> bool:
    return entry is not None and entry.is_fresh


def _confirmed(product_id: str) -> Entry | None:
    """What the catalog says of a product that neither cache nor copy has; None where it is silent.

    It is not asked when a call may take longer than the request.
    """
    if deadlines.left(catalog.TIMEOUT) < catalog.TIMEOUT:
        return None
    try:
        return read_through.detail(product_id).entry
    except UnknownProduct:
        return product_cache.missing_entry(time.time())
    except CatalogUnavailable:
        return None
