"""Pull: read the whole catalog, to find changes that no event told and to renew every cached product."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from typing import Any

from shared.errors import CatalogUnavailable
from shared.platform import metrics, valkey
from shared.platform.valkey import CacheDown
from shared.products import catalog, list_pages, product_cache, product_copy, write_through
from shared.products.product_cache import LeaseHeld

TIMEOUT = 30.0  # seconds for the catalog's whole list
STALL = 10.0  # seconds without a byte of it: a catalog that hangs does not take up the time of the next run
LIST_BYTES = 256 * 1024 * 1024
LEASE = 120.0  # seconds; the function's own timeout
CATEGORIES = 100  # whose first pages are filled: those with the most products


def run(*, is_scheduled: bool = False) -> dict[str, Any]:
    """Make the copy and the cache what the catalog is now; what there was to do.

    `products` were read, `changed` of them written; `skipped` where another run is under way.
    `cache` where that could not be renewed, which is a poll that failed.
    `is_scheduled` says that the schedule asks: from then on requests leave the list to it.
    Raises CatalogUnavailable, and then all is as it was, and DatabaseUnavailable.
    """
    if is_scheduled:
        product_copy.note_schedule()
    try:
        lease = product_cache.acquire_lease("poll", LEASE)
    except CacheDown:
        lease = None  # the copy is still worth keeping; rows are written in an order that two can share
    if isinstance(lease, LeaseHeld):
        return {"skipped": True}
    try:
        done = _run()
    except CatalogUnavailable:
        metrics.count("CatalogPollsFailed")
        raise
    finally:
        if lease is not None:
            with suppress(CacheDown):
                lease.release()
    metrics.count("CatalogPollsFailed" if "cache" in done else "CatalogPolls")
    return done


def _run() -> dict[str, Any]:
    started = time.monotonic()
    read = changed = 0
    insist = _Insistence()
    with closing(
        catalog.fetch_all(timeout=TIMEOUT, stall=STALL, at_most=LIST_BYTES, heed_breaker=False)
    ) as listed:
        fetched_at = listed.version / 1000
        for chunk in write_through.sync(listed):
            read += len(chunk)
            changed += sum(copied.changed for copied in chunk)
            # What the copy has is the newest that anybody told, the list included.
            entries = {copied.product_id: write_through.entry_of(copied, fetched_at) for copied in chunk}
            insist.on(partial(product_cache.put_all, entries))
    state = write_through.list_synced(fetched_at)
    insist.on(partial(product_cache.keep_list, state))
    if insist.is_of_use:
        _fill_first_pages()
    metrics.count("Refreshes", read, cause="pull")
    done = {"products": read, "changed": changed, "seconds": round(time.monotonic() - started, 2)}
    return done if insist.is_of_use else done | {"cache": "not renewed"}


class _Insistence:
    """Repeats writes to a cache that fails for a moment, as often as a run has time for.

    What requests do, going on without the cache at the first sign of trouble, would leave entries to grow
    stale here until the next run.
    """

    def __init__(self, tries: int = 10) -> None:
        self._tries = tries

    @property
    def is_of_use(self) -> bool:
        """Whether the cache may still come back in this run."""
        return self._tries > 0

    def on(self, write: Callable[[], None]) -> None:
        """Write, and again after each failure; nothing once the run's tries are used up."""
        while self.is_of_use:
            try:
                write()
            except CacheDown:
                self._tries -= 1
                time.sleep(valkey.COOLDOWN)
            else:
                return


def _fill_first_pages() -> None:
    """The pages that a shop's front page asks for: each order's first, each category's first."""
    for sort in (None, *(order for order in product_copy.ORDERS if order != "catalog")):
        list_pages.page(limit=20, cursor=None, category=None, sort=sort)
    for category in product_copy.largest_categories(CATEGORIES):
        list_pages.page(limit=20, cursor=None, category=category, sort=None)
