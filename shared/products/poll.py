"""Pull: read the whole catalog, to find changes that no event told and to renew every cached product."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from typing import Any

from shared.errors import CatalogUnavailable
from shared.limits import PAGE_SIZE
from shared.platform import deadlines, metrics, valkey
from shared.platform.valkey import CacheDown
from shared.products import catalog, list_pages, product_cache, product_copy, write_through
from shared.products.product_cache import Lease, LeaseHeld

TIMEOUT = 300.0  # seconds for the catalog's whole list, all pages of it: a third of the function's time
STALL = 10.0  # seconds without a byte of it: a catalog that hangs does not take up the time of the next run
LIST_BYTES = 1024 * 1024 * 1024  # some three million products; half of the function's disk
LEASE = 120.0  # seconds, renewed while the run goes on
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
        done = _run(lease)
    except CatalogUnavailable:
        metrics.count("CatalogPollsFailed")
        with suppress(CacheDown):
            product_cache.note_refused()
        raise
    finally:
        if lease is not None:
            with suppress(CacheDown):
                lease.release()
    metrics.count("CatalogPollsFailed" if "cache" in done else "CatalogPolls")
    return done


def _run(lease: Lease | None) -> dict[str, Any]:
    started = time.monotonic()
    read = changed = 0
    budget = RetryBudget()
    held = _RenewedLease(lease)
    with closing(
        catalog.fetch_all(timeout=TIMEOUT, stall=STALL, at_most=LIST_BYTES, heed_breaker=False)
    ) as listed:
        fetched_at = listed.version / 1000
        for chunk in write_through.sync(listed):
            read += len(chunk)
            changed += sum(copied.changed for copied in chunk)
            # What the copy has is the newest that anybody told, the list included.
            entries = {copied.product_id: write_through.entry_of(copied, fetched_at) for copied in chunk}
            budget.run(partial(product_cache.put_all, entries))
            held.keep()
    state = write_through.list_synced(fetched_at)
    budget.run(partial(product_cache.keep_list, state))
    if not budget.exhausted:
        _fill_first_pages()
    metrics.count("Refreshes", read, cause="pull")
    done = {"products": read, "changed": changed, "seconds": round(time.monotonic() - started, 2)}
    return done | {"cache": "not renewed"} if budget.exhausted else done


class RetryBudget:
    """Repeats writes to a cache that fails for a moment, as often as a run has attempts and time for.

    Requests give up on the cache at the first error. The poll retries, because skipped entries would stay
    stale until the next poll.
    """

    def __init__(self, attempts: int = 10) -> None:
        self._attempts = attempts

    @property
    def exhausted(self) -> bool:
        """Whether nothing is written to the cache any more in this run."""
        return self._attempts <= 0

    def run(self, write: Callable[[], None]) -> None:
        """Write, and again after each failure; nothing once the budget is exhausted."""
        while not self.exhausted:
            try:
                write()
            except CacheDown:
                self._attempts -= 1
                if deadlines.left(valkey.COOLDOWN) < valkey.COOLDOWN:  # there is no time for another attempt
                    self._attempts = 0
                    return
                time.sleep(valkey.COOLDOWN)
            else:
                return


class _RenewedLease:
    """Keeps a lease while the run goes on: a run that was killed must not hold up the next ones for long."""

    def __init__(self, lease: Lease | None) -> None:
        self._lease = lease
        self._renewed = time.monotonic()

    def keep(self) -> None:
        """Renew it, where a third of its time has passed."""
        if self._lease is None or time.monotonic() - self._renewed < LEASE / 3:
            return
        self._renewed = time.monotonic()
        with suppress(CacheDown):
            self._lease.renew(LEASE)


def _fill_first_pages() -> None:
    """Make the pages that a shop's front page asks for: each order's first, each category's first."""
    pages: list[dict[str, str | None]] = [
        {"category": None, "sort": None if order == "catalog" else order} for order in product_copy.ORDERS
    ]
    pages += [{"category": each, "sort": None} for each in product_copy.largest_categories(CATEGORIES)]
    slots = [product_cache.slot_for(limit=PAGE_SIZE, cursor=None, **each) for each in pages]
    with suppress(CacheDown):
        current = product_cache.are_current([slot for slot in slots if slot is not None])
        for page, is_current in zip(pages, current, strict=True):
            if not is_current:
                list_pages.page(limit=PAGE_SIZE, cursor=None, **page)
