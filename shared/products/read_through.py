"""Read-through: one product for a request, when the cache alone has no fresh answer.

The copy in PostgreSQL comes next, and then the catalog. One request at a time does that for a product: the
one that holds the lease. The others get an older answer (stale), or wait for the holder's result, or take the
lease when the holder is gone. The catalog's answer is written to the copy first, and from there to the cache.
"""

from __future__ import annotations

import time
from contextlib import suppress

from shared.errors import CatalogUnavailable, DatabaseUnavailable, UnknownProduct
from shared.platform import deadlines, metrics
from shared.platform.valkey import CacheDown
from shared.products import catalog, list_pages, product_cache, product_copy, single_flight
from shared.products.catalog import mapping
from shared.products.product_cache import Answer, Entry, Lease
from shared.products.product_copy import CopiedProduct, Source
from shared.products.write_through import (
    entry_of,
    new_entry,
    newest,
    put_quietly,
    remember_missing,
    remembered_missing,
)

COPY_AFTER = 30  # attempts, 1.5 s: then a waiting request looks at the copy


def detail(product_id: str) -> Answer:
    """The product, by the cache protocol. Raises UnknownProduct and CatalogUnavailable."""
    cached = None
    try:
        cached = product_cache.find(product_id)
        if cached is not None and cached.is_fresh:
            return _answer(product_id, cached, waited=False)
        return _single_flight(product_id)
    except CacheDown:
        return _refresh(product_id, cached, None)


def make_known(product_id: str) -> None:
    """Copy the product, if the catalog has it. Raises UnknownProduct and CatalogUnavailable."""
    if detail(product_id).state != "miss":  # the cache had it, the copy may still not
        entry, list_version = _load(product_id, None)
        put_quietly({product_id: entry}, list_version)
        _answer(product_id, entry)


def _single_flight(product_id: str) -> Answer:
    """The holder of the lease refreshes the product; the others do with what is cached, or wait.

    Who waits gets the copy when the holder failed or takes a while. Not at once: hundreds who wait for one
    product would each open a connection to PostgreSQL.
    """
    deadline = time.monotonic() + deadlines.left(single_flight.WAIT)
    attempt = 0
    while True:
        ((lease, cached),) = product_cache.lease_products([product_id], single_flight.LEASE)
        if cached is not None and cached.is_fresh:  # the holder before has just refreshed it
            if isinstance(lease, Lease):
                put_quietly({}, then=[lease.release_command()])
            return _answer(product_id, cached, waited=attempt > 0)
        if isinstance(lease, Lease):
            return _refresh(product_id, cached, lease)
        if cached is not None:
            return _answer(product_id, cached)
        is_over = lease.failed or time.monotonic() >= deadline
        if is_over or attempt == COPY_AFTER:
            with suppress(DatabaseUnavailable):
                copied = product_copy.find(product_id)
                if copied is not None:
                    entry = entry_of(copied)
                    put_quietly({product_id: entry})
                    return _answer(product_id, entry)
        if is_over:
            raise CatalogUnavailable.silent(retry_after=2)
        time.sleep(single_flight.POLL)
        attempt += 1


def _refresh(product_id: str, cached: Entry | None, lease: Lease | None) -> Answer:
    """The product of the copy, where the last list confirmed it, or else of the catalog.

    Where the catalog gives nothing usable, the newer of what the cache and the copy have. Without a lease,
    when Valkey is down, the copy keeps most calls from the catalog.
    """
    copied, database_down = None, None
    try:
        copied = product_copy.find(product_id)
    except DatabaseUnavailable as error:
        database_down = error
    known = None if copied is None else entry_of(copied)
    if known is not None and known.is_fresh:  # the cache has lost it
        put_quietly({product_id: known}, then=_release(lease))
        return _answer(product_id, known)
    try:
        entry, list_version = _load(product_id, copied)
        if database_down is not None and entry.status != 200 and cached is not None:
            raise database_down  # the copy would know whether a list shows it
    except (CatalogUnavailable, DatabaseUnavailable) as error:
        # Where no call was made, the next request may try at once.
        backoff = 0 if isinstance(error, catalog.BreakerOpen) else product_cache.BACKOFF
        old = newest(cached, known)
        put_quietly({} if old is None or old is cached else {product_id: old}, then=_release(lease, backoff))
        if old is None:
            raise
        return _answer(product_id, old)
    put_quietly({product_id: entry}, list_version, _release(lease))
    return _answer(product_id, entry)


def _release(lease: Lease | None, backoff: float = 0) -> list[list[str]]:
    return [] if lease is None else [lease.release_command(backoff)]


def _answer(product_id: str, entry: Entry, *, waited: bool = True) -> Answer:
    """The entry as an answer. A fresh one is a hit where the request waited for nothing but the cache."""
    if entry.status != 200:
        raise UnknownProduct.of(product_id)
    if not entry.is_fresh:
        return Answer(entry, "stale")
    return Answer(entry, "miss" if waited else "hit")


def _load(product_id: str, known: CopiedProduct | None) -> tuple[Entry, int]:
    """What the catalog has under that id now, as the copy has it after that; and the list's version.

    `known` is the copy's row before that. Raises CatalogUnavailable and DatabaseUnavailable.
    """
    version = catalog.now_version()
    asked_at = version / 1000
    if known is None:
        missing = remembered_missing(product_id)
        if missing is not None:
            return missing, 0
        if not mapping.current().may_have(product_id):
            # The Fake Store contract has no answer for such an id. Catalogs that have some list them.
            list_pages.current_state()
            known = product_copy.find(product_id)
            return (remember_missing(product_id, asked_at) if known is None else entry_of(known)), 0
    try:
        product = catalog.fetch_product(product_id)
    except catalog.UnusableProduct:  # nothing that may be shown, and no reason to remove anything
        return (remember_missing(product_id, asked_at) if known is None else entry_of(known)), 0
    metrics.count("Refreshes", cause="demand")
    if product is None:
        row = known and product_copy.mark_removed(product_id, version, Source.REQUEST)
        if row is None:
            return remember_missing(product_id, asked_at), 0
        # What a list shows, only lists remove: it is served as old as it is.
        return entry_of(row, asked_at if row.removed_at else 0.0), row.list_version
    try:
        row = product_copy.save(product, version, Source.REQUEST)
    except DatabaseUnavailable:  # the answer is good all the same
        return new_entry(product_copy.shown(product), version, asked_at), 0
    return entry_of(row, asked_at), row.list_version
