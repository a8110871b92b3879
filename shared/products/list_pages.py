"""Pages of the product list: from the cache, from the copy, and when a request reads the catalog's list.

The schedule reads the whole list (shared.products.poll), and requests are answered from the copy. A request
reads the list only if no schedule runs or nothing was copied yet, and only if the list is short.
"""

from __future__ import annotations

import time
import unicodedata
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from shared.errors import CatalogUnavailable, DatabaseUnavailable
from shared.formats import cursors, json_text
from shared.formats.etags import etag_of
from shared.models import Page
from shared.platform import deadlines, logs
from shared.platform.valkey import CacheDown
from shared.products import catalog, product_cache, product_copy, single_flight, write_through
from shared.products.models import Product
from shared.products.product_cache import Answer, CacheState, Entry, Lease, ListState

if TYPE_CHECKING:
    from shared.products.product_copy import Listing

# The longest list that a request reads, in bytes: about 4,000 products, as it has to write them in time too.
LIST_BYTES = 2 * 1024 * 1024
TOO_LONG_BACKOFF = 60 * 60  # seconds without another attempt at a list that is longer


def page(*, limit: int, cursor: str | None, category: str | None, sort: str | None) -> Answer:
    """A page of the products. Raises InvalidCursor, CatalogUnavailable and DatabaseUnavailable."""
    if category is not None:
        category = unicodedata.normalize("NFC", category)  # the form in which the copy has them
    order = sort or "catalog"
    list_name = f"products:{order}:{'' if category is None else f'={category}'}"
    after = None
    if cursor is not None:
        after = cursors.decode(list_name, cursor, product_copy.sort_text(order), cursors.text)
    slot = product_cache.slot_for(limit=limit, cursor=cursor, category=category, sort=sort)
    state, found = current_state()
    if slot is not None:
        with suppress(CacheDown):
            cached = product_cache.get_page(state, slot)
            if cached is not None:
                return Answer(cached, found)
    rows = product_copy.page(order, category=category, after=after, limit=limit + 1)
    shown, next_cursor = rows[:limit], None
    if len(rows) > limit:
        last = shown[-1]
        next_cursor = cursors.encode(list_name, product_copy.sort_value(order, last), last.product_id)
    body = json_text.dumps(
        Page[Product](items=[copied.as_product() for copied in shown], next_cursor=next_cursor)
    )
    entry = Entry(200, 0, state.synced_at, body, etag_of(body), next_cursor)
    # Empty categories are not cached: callers could fill the cache with invented names.
    if slot is not None and (shown or category is None):
        with suppress(CacheDown):
            product_cache.put_page(state, slot, entry)
    return Answer(entry, "stale" if found == "stale" else "miss")


def current_state() -> tuple[ListState, CacheState]:
    """The list's state, and whether it was fresh (hit), is stale, or is fresh because of this call (miss).

    Raises CatalogUnavailable and DatabaseUnavailable where nothing was copied yet.
    """
    known = None
    with suppress(CacheDown):
        known = product_cache.list_state()
    if known is not None and known.is_fresh:
        return known, "hit"
    try:
        listing = product_copy.listing()
    except DatabaseUnavailable:
        if known is None:
            raise
        return known, "stale"
    state = _state_of(listing)
    if state is None:
        return _read_list(None)
    if known is None or state.is_fresh:  # the cache has lost it, or missed the last poll
        with suppress(CacheDown):
            product_cache.keep_list(state)
    if state.is_fresh:
        return state, "hit"
    return (state, "stale") if listing.is_scheduled else _read_list(state)


def _state_of(listing: Listing) -> ListState | None:
    if listing.synced_at is None:
        return None
    return ListState(listing.list_version, listing.synced_at.timestamp())


def _read_list(state: ListState | None) -> tuple[ListState, CacheState]:
    """The list's state after this or another request read the list; the given one where that fails."""
    deadline = time.monotonic() + deadlines.left(single_flight.WAIT)
    try:
        while True:
            lease = product_cache.acquire_lease("products", single_flight.LEASE)
            if isinstance(lease, Lease):
                return _sync_or_keep(state, lease)
            if state is not None:
                return state, "stale"
            if lease.failed or time.monotonic() > deadline:
                raise CatalogUnavailable("The catalog's list has not been read yet.", retry_after=2)
            time.sleep(single_flight.POLL)
            read = product_cache.list_state()
            if read is not None:
                return read, "hit" if read.is_fresh else "stale"
    except CacheDown:  # others may read it too: so only where there is nothing to answer with
        return (state, "stale") if state is not None else (_sync(), "miss")


def _sync_or_keep(state: ListState | None, lease: Lease) -> tuple[ListState, CacheState]:
    try:
        synced = _sync()
    except (CatalogUnavailable, DatabaseUnavailable) as error:
        backoff = product_cache.BACKOFF
        if isinstance(error, catalog.AnswerTooLong):
            backoff = TOO_LONG_BACKOFF
            logs.logger().error(
                "list too long for a request",
                reason="Let the schedule read it (KeepHot=true), or invoke WarmProductCacheFunction.",
                at_most_bytes=LIST_BYTES,
            )
        with suppress(CacheDown):
            lease.release(backoff)
        if state is None:
            raise
        return state, "stale"
    with suppress(CacheDown):
        lease.release()
    return synced, "miss"


def _sync() -> ListState:
    """Make the copy what the catalog's list says now; the list's state after that.

    Does nothing where the holder of the lease before has just done it. Raises CatalogUnavailable and
    DatabaseUnavailable.
    """
    state = _state_of(product_copy.listing())
    if state is not None and state.is_fresh:
        return state
    with closing(catalog.fetch_all(at_most=LIST_BYTES)) as listed:
        for _ in write_through.sync(listed):
            pass  # only polls renew the products' entries in the cache
    state = write_through.list_synced(listed.version / 1000)
    with suppress(CacheDown):
        product_cache.keep_list(state)
    return state
