"""Write-through: what the copy in PostgreSQL has, written to the cache.

Requests ignore a cache that is down (`…_quietly`); events and polls retry, because skipped entries would stay
stale until the next poll.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING

from shared.errors import CatalogUnavailable
from shared.formats import json_text
from shared.formats.etags import etag_of
from shared.platform import deadlines, logs, metrics
from shared.platform.valkey import TIMEOUT, CacheDown
from shared.products import product_cache, product_copy
from shared.products.product_cache import Entry, ListState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shared.products.catalog import CatalogList
    from shared.products.models import Product
    from shared.products.product_copy import CopiedProduct

REMEMBERED = 1_000  # missing ids that an environment remembers

# When the catalog answered that it has no such product, by id. Valkey's negative cache is read first; this
# one serves while Valkey is down, when each request for such an id would be a call to the catalog.
_missing: OrderedDict[str, float] = OrderedDict()


def missing_since(product_id: str) -> float | None:
    """When the catalog last answered that it has no such product, where that still counts."""
    since = _missing.get(product_id, 0.0)
    return since if time.time() - since < product_cache.NEGATIVE_TTL else None


def forget_missing() -> None:
    """Remember no unknown ids, as an environment that has just started."""
    _missing.clear()


def remember_missing(product_id: str, asked_at: float) -> Entry:
    """Remember that nobody had the product at `asked_at`, in seconds since the epoch; what says so."""
    entry = product_cache.missing_entry(asked_at)
    _missing[product_id] = asked_at
    if len(_missing) > REMEMBERED:
        _missing.popitem(last=False)
    with suppress(CacheDown):
        product_cache.put_missing(product_id, entry)
    return entry


def put_quietly(product_id: str, entry: Entry) -> Entry:
    """Write one entry to the cache, and return it; a cache that is down does not matter."""
    with suppress(CacheDown):
        product_cache.put(product_id, entry)
    return entry


def write_through_quietly(copied: CopiedProduct, revalidated_at: float = 0.0) -> Entry:
    """As `tell`, for a request: it is answered whether or not the cache can be told."""
    with suppress(CacheDown):
        write_through(copied, revalidated_at)
    return entry_of(copied, revalidated_at)


def write_through(copied: CopiedProduct, revalidated_at: float = 0.0) -> None:
    """Let the cache have what the copy has, and no list page that shows what was before.

    `revalidated_at` is when the catalog was asked: whether it told this or something older, the copy was the
    newest that anybody had told then. Raises CacheDown.
    """
    product_cache.put(copied.product_id, entry_of(copied, revalidated_at))
    product_cache.advance_list_version(product_copy.listing().list_version)


def write_all_quietly(copied: Sequence[CopiedProduct]) -> None:
    """As `show`, for many."""
    with suppress(CacheDown):
        product_cache.advance_list_version(product_copy.listing().list_version)
        with deadlines.within(TIMEOUT):  # as in several
            product_cache.put_all({each.product_id: entry_of(each) for each in copied})


def entry_of(copied: CopiedProduct, revalidated_at: float = 0.0) -> Entry:
    """The copy's product as the cache keeps it; `revalidated_at` may be later than the row's own time."""
    fetched_at = max(copied.fetched_at.timestamp(), revalidated_at)
    if copied.removed_at is not None:
        return Entry(404, copied.version, fetched_at, "", "-")
    body = copied.as_json()
    return Entry(200, copied.version, fetched_at, body, etag_of(body))


def new_entry(product: Product, version: int, fetched_at: float) -> Entry:
    """The product as the cache keeps it."""
    body = json_text.dumps(product)
    return Entry(200, version, fetched_at, body, etag_of(body))


def sync(listed: CatalogList) -> Iterator[list[CopiedProduct]]:
    """As product_copy.sync; a list that is not believed is CatalogUnavailable.

    Whatever ends it midway, no list page shows what was before the chunks that were written.
    """
    try:
        for chunk in product_copy.sync(listed):
            if any(copied.changed for copied in chunk):
                with suppress(CacheDown):
                    product_cache.advance_list_version(product_copy.listing().list_version)
            yield chunk
    except product_copy.ShrunkCatalog as error:
        logs.logger().error("catalog refused", reason=str(error))
        metrics.count("CatalogRefused")
        raise CatalogUnavailable(
            "The catalog's list is not used: too many products are missing.", retry_after=5
        ) from error


def list_synced(synced_at: float) -> ListState:
    """The list's state after the copy became what the catalog said at `synced_at`; the cache may be told."""
    return ListState(product_copy.note_sync(synced_at), synced_at)
