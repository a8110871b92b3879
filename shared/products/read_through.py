"""Read-through: one product for a request, when the cache alone has no fresh answer.

The catalog is then called by one request at a time: the one that holds the lease. The others get an older
answer (stale), or wait for the holder's result, or take the lease when the holder is gone. The catalog's
answer is written to the copy in PostgreSQL first, and from there to the cache.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace

from shared.errors import CatalogUnavailable, DatabaseUnavailable, UnknownProduct
from shared.platform import deadlines, metrics
from shared.platform.valkey import CacheDown
from shared.products import catalog, list_pages, product_cache, product_copy, single_flight
from shared.products.catalog import mapping
from shared.products.product_cache import Answer, CacheState, Entry, Lease
from shared.products.product_copy import Source
from shared.products.write_through import (
    entry_of,
    missing_since,
    new_entry,
    put_quietly,
    remember_missing,
    write_through_quietly,
)

COPY_AFTER = 30  # looks for the holder's result, 1.5 s: then a waiting one looks at the copy
LOOKS = 4  # between two tries to take over from the holder


def detail(product_id: str) -> Answer:
    """The product, by the cache protocol. Raises UnknownProduct and CatalogUnavailable."""
    try:
        entry = _cached(product_id)
        if entry is not None and entry.is_fresh:
            return _answer(product_id, entry, "hit")
        lease = product_cache.acquire_lease(f"product:{product_id}", single_flight.LEASE)
        if isinstance(lease, Lease):
            return _refresh_or_reuse(product_id, lease)
        if entry is not None:
            return _answer(product_id, entry, "stale")
        return _wait(product_id, failed=lease.failed)
    except CacheDown:
        return _without_cache(product_id)


def make_known(product_id: str) -> None:
    """See to it that the copy has the product, if there is one. Raises UnknownProduct, CatalogUnavailable."""
    answer = detail(product_id)
    if answer.state != "miss":  # the cache had it, the copy may still not
        _answer(product_id, _fetch(product_id), "miss")


def _cached(product_id: str) -> Entry | None:
    return product_cache.get(product_id) or product_cache.get_missing(product_id)


def _refresh_or_reuse(product_id: str, lease: Lease) -> Answer:
    # The holder before this one may have finished between this one's look and its lease.
    entry = _cached(product_id)
    if entry is not None and entry.is_fresh:
        lease.release()
        return _answer(product_id, entry, "hit")
    copied = _copied(product_id)
    if copied is not None and copied.is_fresh:  # the last list confirmed it, and the cache has lost that
        put_quietly(product_id, copied)
        lease.release()
        return _answer(product_id, copied, "miss")
    try:
        fetched = _fetch(product_id)
    except (CatalogUnavailable, DatabaseUnavailable) as error:
        with suppress(CacheDown):
            # Where no call was made, nobody needs to be kept from another, and no key stays of it.
            lease.release() if isinstance(error, catalog.BreakerOpen) else lease.release_with_backoff()
        if entry is None and copied is not None:
            entry = put_quietly(product_id, copied)
        if entry is None:
            raise
        return _answer(product_id, entry, "stale")
    with suppress(CacheDown):
        lease.release()
    return _answer(product_id, fetched, _state_after_fetch(fetched))


def _wait(product_id: str, *, failed: bool) -> Answer:
    """The holder's result as soon as it is there; the copy when the holder failed or takes a while.

    Not the copy at once: hundreds who wait for one product would each open a connection to PostgreSQL.
    """
    deadline = time.monotonic() + deadlines.left(single_flight.WAIT)
    looks = 0
    while not failed and time.monotonic() < deadline:
        time.sleep(single_flight.POLL)
        looks += 1
        entry = _cached(product_id)
        if entry is not None:
            return _answer(product_id, entry, "miss" if entry.is_fresh else "stale")
        if looks == COPY_AFTER and (copied := _copied(product_id)) is not None:
            return _answer(product_id, copied, "miss" if copied.is_fresh else "stale")
        if looks % LOOKS == 0:
            lease = product_cache.acquire_lease(f"product:{product_id}", single_flight.LEASE)
            if isinstance(lease, Lease):
                answer = _refresh_or_reuse(product_id, lease)
                # It waited, whoever asked the catalog in the end.
                return replace(answer, state="miss") if answer.state == "hit" else answer
            failed = lease.failed
    return _from_copy(product_id, CatalogUnavailable.silent(retry_after=2))


def _from_copy(product_id: str, error: CatalogUnavailable | DatabaseUnavailable) -> Answer:
    """The copy's product, which the cache then has too, as old as it is; without one, the error."""
    copied = product_copy.find(product_id)
    if copied is None:
        raise error
    entry = entry_of(copied)
    with suppress(CacheDown):
        product_cache.put(product_id, entry)
    return _answer(product_id, entry, "stale")


def _without_cache(product_id: str) -> Answer:
    """The copy stands in for the cache, so that the catalog does not notice that Valkey is down."""
    entry = _copied(product_id)
    if entry is not None and entry.is_fresh:
        return _answer(product_id, entry, "miss")
    try:
        fetched = _fetch(product_id)
        return _answer(product_id, fetched, _state_after_fetch(fetched))
    except CatalogUnavailable:
        if entry is None:
            raise
        return _answer(product_id, entry, "stale")


def _copied(product_id: str) -> Entry | None:
    """The copy's product, fresh or stale; None where there is none, or PostgreSQL does not answer."""
    try:
        copied = product_copy.find(product_id)
    except DatabaseUnavailable:
        return None
    return None if copied is None else entry_of(copied)


def _state_after_fetch(entry: Entry) -> CacheState:
    return "miss" if entry.is_fresh else "stale"


def _answer(product_id: str, entry: Entry, state: CacheState) -> Answer:
    if entry.status != 200:
        raise UnknownProduct.of(product_id)
    return Answer(entry, state)


def _fetch(product_id: str) -> Entry:
    """What the catalog has under that id now, kept in the copy and the cache. Raises CatalogUnavailable."""
    version = catalog.now_version()
    asked_at = version / 1000
    said_at = missing_since(product_id)
    if said_at is not None:
        copied = product_copy.find(product_id)
        return remember_missing(product_id, said_at) if copied is None else write_through_quietly(copied)
    if not mapping.current().may_have(product_id) and product_copy.find(product_id) is None:
        # The Fake Store contract never answers a request for such an id. A catalog that has such ids tells
        # of them in its list.
        list_pages.current_state()
        copied, revalidated_at = product_copy.find(product_id), 0.0
    else:
        revalidated_at = asked_at
        try:
            product = catalog.fetch_product(product_id)
        except catalog.UnusableProduct:  # nothing that may be shown, and no reason to remove anything
            known = product_copy.find(product_id)
            return remember_missing(product_id, asked_at) if known is None else write_through_quietly(known)
        metrics.count("Refreshes", cause="demand")
        try:
            copied = (
                product_copy.mark_removed(product_id, version, Source.REQUEST)
                if product is None
                else product_copy.save(product, version, Source.REQUEST)
            )
        except DatabaseUnavailable:
            if product is not None:  # the answer is good all the same
                return put_quietly(
                    product_id, new_entry(product_copy.shown(product), version, revalidated_at)
                )
            copied = None
        if product is None and copied is not None and copied.removed_at is None:
            revalidated_at = 0.0  # a list shows it, and the lists decide: it is served as old as it is
    return (
        remember_missing(product_id, asked_at)
        if copied is None
        else write_through_quietly(copied, revalidated_at)
    )
