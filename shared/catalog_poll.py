"""Pull: read the whole catalogue, so that what nobody pushed is known and no cached product grows stale."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from typing import Any

from shared import catalog, metrics, product_cache, product_copy, products
from shared.cache import CacheDown
from shared.errors import CatalogUnavailable
from shared.product_cache import Taken

TIMEOUT = 30.0  # seconds for the catalogue's whole list
LIST_BYTES = 256 * 1024 * 1024
LEASE = 120.0  # seconds; the function's own timeout


def run() -> dict[str, Any]:
    """Make the copy and the cache what the catalogue is now; what there was to do.

    `products` were read, `changed` of them written; `skipped` where another run is under way.
    Raises CatalogUnavailable, and then all is as it was, and DatabaseUnavailable.
    """
    try:
        lease = product_cache.acquire_lease("products", LEASE)
    except CacheDown:
        lease = None  # the copy is still worth keeping; rows are written in an order that two can share
    if isinstance(lease, Taken):
        return {"skipped": True}
    try:
        return _run()
    except CatalogUnavailable:
        metrics.count("CatalogPollsFailed")
        raise
    finally:
        if lease is not None:
            with suppress(CacheDown):
                lease.release()


def _run() -> dict[str, Any]:
    started = time.monotonic()
    read = changed = 0
    with closing(catalog.fetch_all(timeout=TIMEOUT, at_most=LIST_BYTES)) as listed:
        fetched_at = listed.version / 1000
        for chunk in products.sync(listed):
            read += len(chunk)
            changed += sum(copied.changed for copied in chunk)
            _fill_cache(chunk, fetched_at)
    products.list_synced(fetched_at)
    _fill_first_pages()
    metrics.count("Refreshes", read, cause="pull")
    return {"products": read, "changed": changed, "seconds": round(time.monotonic() - started, 2)}


def _fill_cache(chunk: list[product_copy.CopiedProduct], fetched_at: float) -> None:
    """Renew the products' entries; one that is newer than the list stays as it is."""
    with suppress(CacheDown):
        product_cache.put_all(
            {
                copied.product_id: products.entry_of(copied, fetched_at if copied.confirmed else 0.0)
                for copied in chunk
            }
        )


def _fill_first_pages() -> None:
    """The pages that a shop's front page asks for: each order's first, each category's first."""
    for sort in (None, *(order for order in product_copy.ORDERS if order != "catalog")):
        products.page(limit=20, cursor=None, category=None, sort=sort)
    for category in product_copy.categories():
        products.page(limit=20, cursor=None, category=category, sort=None)
