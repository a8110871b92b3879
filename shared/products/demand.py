"""What a request for products does when the cache alone has no fresh answer for it.

Then the catalog has to be asked, by one request at a time: the one that holds the lease. The others get an
older answer (stale), or wait for the holder's result, or take the lease when the holder is gone. What the
catalog says is written to the copy in PostgreSQL first, and from there to the cache.

The whole list is read by the schedule (shared.products.poll), and requests are answered from the copy. A
request reads the list only if no schedule runs or nothing was copied yet, and only if the list is short.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from shared.errors import CatalogUnavailable, DatabaseUnavailable, UnknownProduct
from shared.formats import cursors, json_text
from shared.formats.etags import etag_of
from shared.models import Page
from shared.platform import deadlines, logs, metrics
from shared.platform.valkey import TIMEOUT, CacheDown
from shared.products import catalog, product_cache, product_copy
from shared.products.catalog import mapping
from shared.products.models import Product
from shared.products.product_cache import Entry, Lease, ListState
from shared.products.product_copy import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shared.products.catalog import CatalogList
    from shared.products.product_copy import CopiedProduct, Listing

LEASE = catalog.TIMEOUT + 0.5  # seconds: the catalog's time, and some to write down what it said
WAIT = 2 * LEASE  # seconds: for a holder who died, and for the call of the one who takes over
POLL = 0.05  # seconds between two looks for the holder's result
LOOKS = 4  # between two tries to take over from the holder
# The longest list that a request reads, in bytes: about 4,000 products, which it also has the time to write.
LIST_BYTES = 2 * 1024 * 1024
TOO_LONG_BACK_OFF = 60 * 60  # seconds in which nobody tries again with a list that is longer
REMEMBERED = 1_000  # unknown ids that an environment remembers

CacheState = Literal["hit", "stale", "miss"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A body to send, and what the cache had to do with it (the X-Cache header)."""

    entry: Entry
    state: CacheState


# ── One product ───────────────────────────────────────────────────────────────────────────────────────────


def detail(product_id: str) -> Answer:
    """The product, by the cache protocol. Raises UnknownProduct and CatalogUnavailable."""
    try:
        entry = _cached(product_id)
        if entry is not None and entry.is_fresh:
            return _answer(product_id, entry, "hit")
        lease = product_cache.acquire_lease(f"product:{product_id}", LEASE)
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
    copied = {row.product_id: entry_of(row) for row in product_copy.find_all(old)} if old else {}
    with suppress(CacheDown), deadlines.within(TIMEOUT):  # the answer does not wait for more of them
        product_cache.put_all(copied)
    for product_id, entry in copied.items():
        held = parts.get(product_id, entry)
        parts[product_id] = max(held, entry, key=lambda each: (each.version, each.fetched_at))
    may_ask, is_confirmed = True, True
    for product_id in old:
        if product_id not in parts:
            said = _confirmed(product_id) if may_ask else None
            may_ask = _is_fresh(said)
            is_confirmed = is_confirmed and said is not None
            parts[product_id] = said or product_cache.unknown(time.time() - product_cache.UNKNOWN_TTL)
    state: CacheState = "miss" if old else "hit"
    if not all(_is_fresh(parts[product_id]) for product_id in old):
        state = "stale"
    joined = product_cache.join({product_id: parts[product_id] for product_id in product_ids})
    return Answer(replace(joined, is_confirmed=is_confirmed), state)


def _is_fresh(entry: Entry | None) -> bool:
    return entry is not None and entry.is_fresh


def _confirmed(product_id: str) -> Entry | None:
    """What the catalog says of a product that neither cache nor copy has; None where it is silent.

    It is not asked when a call may take longer than the request.
    """
    if deadlines.left(catalog.TIMEOUT) < catalog.TIMEOUT:
        return None
    try:
        return detail(product_id).entry
    except UnknownProduct:
        return product_cache.unknown(time.time())
    except CatalogUnavailable:
        return None


def _cached(product_id: str) -> Entry | None:
    return product_cache.get(product_id) or product_cache.get_unknown(product_id)


def _refresh_or_reuse(product_id: str, lease: Lease) -> Answer:
    # The holder before this one may have finished between this one's look and its lease.
    entry = _cached(product_id)
    if entry is not None and entry.is_fresh:
        lease.release()
        return _answer(product_id, entry, "hit")
    try:
        fetched = _fetch(product_id)
    except (CatalogUnavailable, DatabaseUnavailable) as error:
        with suppress(CacheDown):
            # Where no call was made, nobody needs to be kept from another, and no key stays of it.
            lease.release() if isinstance(error, catalog.BreakerOpen) else lease.release_failed()
        if entry is not None:
            return _answer(product_id, entry, "stale")
        return _from_copy(product_id, error)
    with suppress(CacheDown):
        lease.release()
    return _answer(product_id, fetched, _state_after_fetch(fetched))


def _wait(product_id: str, *, failed: bool) -> Answer:
    """The holder's result as soon as it is there; the copy when the holder failed or takes too long."""
    deadline = time.monotonic() + deadlines.left(WAIT)
    looks = 0
    while not failed and time.monotonic() < deadline:
        time.sleep(POLL)
        looks += 1
        entry = _cached(product_id)
        if entry is not None:
            return _answer(product_id, entry, "miss" if entry.is_fresh else "stale")
        if looks % LOOKS == 0:
            lease = product_cache.acquire_lease(f"product:{product_id}", LEASE)
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
    try:
        copied = product_copy.find(product_id)
    except DatabaseUnavailable:
        copied = None
    entry = None if copied is None else entry_of(copied)
    if entry is not None and entry.is_fresh:
        return _answer(product_id, entry, "miss")
    try:
        fetched = _fetch(product_id)
        return _answer(product_id, fetched, _state_after_fetch(fetched))
    except CatalogUnavailable:
        if entry is None:
            raise
        return _answer(product_id, entry, "stale")


def _state_after_fetch(entry: Entry) -> CacheState:
    return "miss" if entry.is_fresh else "stale"


def _answer(product_id: str, entry: Entry, state: CacheState) -> Answer:
    if entry.status != 200:
        raise UnknownProduct.of(product_id)
    return Answer(entry, state)


# ── From the catalog, through the copy, into the cache ──────────────────────────────────────────────────

# When the catalog said that it has no such product, by id. The cache is asked first; this is for the time
# when it does not answer, in which each request for such an id would be a call to the catalog.
_unknown_here: OrderedDict[str, float] = OrderedDict()


def forget_unknown() -> None:
    """Remember no unknown ids, as an environment that has just started."""
    _unknown_here.clear()


def _fetch(product_id: str) -> Entry:
    """What the catalog has under that id now, kept in the copy and the cache. Raises CatalogUnavailable."""
    version = catalog.now_version()
    asked_at = version / 1000
    said_at = _unknown_here.get(product_id, 0.0)
    if time.time() - said_at < product_cache.UNKNOWN_TTL:
        copied = product_copy.find(product_id)
        return keep_unknown(product_id, said_at) if copied is None else show(copied)
    if not mapping.current().may_have(product_id) and product_copy.find(product_id) is None:
        # The Fake Store contract never answers a request for such an id. A catalog that has such ids tells
        # of them in its list.
        _current_state()
        copied, confirmed_at = product_copy.find(product_id), 0.0
    else:
        confirmed_at = asked_at
        try:
            product = catalog.fetch_product(product_id)
        except catalog.UnusableProduct:  # nothing that may be shown, and no reason to remove anything
            known = product_copy.find(product_id)
            return keep_unknown(product_id, asked_at) if known is None else show(known)
        metrics.count("Refreshes", cause="demand")
        try:
            copied = (
                product_copy.mark_removed(product_id, version, Source.REQUEST)
                if product is None
                else product_copy.save(product, version, Source.REQUEST)
            )
        except DatabaseUnavailable:
            if product is not None:  # the answer is good all the same
                return _keep(product_id, _entry(product_copy.shown(product), version, confirmed_at))
            copied = None
        if product is None and copied is not None and copied.removed_at is None:
            confirmed_at = 0.0  # a list shows it, and the lists decide: it is served as old as it is
    return keep_unknown(product_id, asked_at) if copied is None else show(copied, confirmed_at)


def keep_unknown(product_id: str, asked_at: float) -> Entry:
    """Remember that nobody had the product at `asked_at`, in seconds since the epoch; what says so."""
    entry = product_cache.unknown(asked_at)
    _unknown_here[product_id] = asked_at
    if len(_unknown_here) > REMEMBERED:
        _unknown_here.popitem(last=False)
    with suppress(CacheDown):
        product_cache.put_unknown(product_id, entry)
    return entry


def _keep(product_id: str, entry: Entry) -> Entry:
    with suppress(CacheDown):
        product_cache.put(product_id, entry)
    return entry


def show(copied: CopiedProduct, confirmed_at: float = 0.0) -> Entry:
    """As `tell`, for a request: it is answered whether or not the cache can be told."""
    with suppress(CacheDown):
        tell(copied, confirmed_at)
    return entry_of(copied, confirmed_at)


def tell(copied: CopiedProduct, confirmed_at: float = 0.0) -> None:
    """Let the cache have what the copy has, and no list page that shows what was before.

    `confirmed_at` is when the catalog was asked: whether it told this or something older, the copy was the
    newest that anybody had told then. Raises CacheDown.
    """
    product_cache.put(copied.product_id, entry_of(copied, confirmed_at))
    product_cache.advance_generation(product_copy.listing().generation)


def show_all(copied: Sequence[CopiedProduct]) -> None:
    """As `show`, for many."""
    with suppress(CacheDown):
        product_cache.advance_generation(product_copy.listing().generation)
        with deadlines.within(TIMEOUT):  # as in several
            product_cache.put_all({each.product_id: entry_of(each) for each in copied})


def entry_of(copied: CopiedProduct, confirmed_at: float = 0.0) -> Entry:
    """The copy's product as the cache keeps it; `confirmed_at` is a time later than the row itself tells."""
    fetched_at = max(copied.fetched_at.timestamp(), confirmed_at)
    if copied.removed_at is not None:
        return Entry(404, copied.version, fetched_at, "", "-")
    return _entry(copied.as_product(), copied.version, fetched_at)


def _entry(product: Product, version: int, fetched_at: float) -> Entry:
    body = json_text.dumps(product)
    return Entry(200, version, fetched_at, body, etag_of(body))


# ── The list ──────────────────────────────────────────────────────────────────────────────────────────────


def page(*, limit: int, cursor: str | None, category: str | None, sort: str | None) -> Answer:
    """A page of the products. Raises InvalidCursor, CatalogUnavailable and DatabaseUnavailable."""
    order = sort or "catalog"
    list_name = f"products:{order}:{'' if category is None else f'={category}'}"
    after = None
    if cursor is not None:
        after = cursors.decode(list_name, cursor, product_copy.sort_text(order), cursors.text)
    place = product_cache.place_of(limit=limit, cursor=cursor, category=category, sort=sort)
    state, found = _current_state()
    if place is not None:
        with suppress(CacheDown):
            kept = product_cache.get_page(state, place)
            if kept is not None:
                return Answer(kept, found)
    rows = product_copy.page(order, category=category, after=after, limit=limit + 1)
    shown, next_cursor = rows[:limit], None
    if len(rows) > limit:
        last = shown[-1]
        next_cursor = cursors.encode(list_name, product_copy.sort_value(order, last), last.product_id)
    body = json_text.dumps(
        Page[Product](items=[copied.as_product() for copied in shown], next_cursor=next_cursor)
    )
    entry = Entry(200, 0, state.synced_at, body, etag_of(body), next_cursor)
    # A category that no product has is one that somebody made up.
    if place is not None and (shown or category is None):
        with suppress(CacheDown):
            product_cache.put_page(state, place, entry)
    return Answer(entry, "stale" if found == "stale" else "miss")


def _current_state() -> tuple[ListState, CacheState]:
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
    if known is None or state.is_fresh:  # the cache has forgotten it, or could not be told
        with suppress(CacheDown):
            product_cache.keep_list(state)
    if state.is_fresh:
        return state, "hit"
    return (state, "stale") if listing.is_scheduled else _read_list(state)


def _state_of(listing: Listing) -> ListState | None:
    if listing.synced_at is None:
        return None
    return ListState(listing.generation, listing.synced_at.timestamp())


def _read_list(state: ListState | None) -> tuple[ListState, CacheState]:
    """The list's state after this request read it, or another did; the one there is when nobody can."""
    deadline = time.monotonic() + deadlines.left(WAIT)
    try:
        while True:
            lease = product_cache.acquire_lease("products", LEASE)
            if isinstance(lease, Lease):
                return _sync_or_keep(state, lease)
            if state is not None:
                return state, "stale"
            if lease.failed or time.monotonic() > deadline:
                raise CatalogUnavailable("The catalog's list has not been read yet.", retry_after=2)
            time.sleep(POLL)
            read = product_cache.list_state()
            if read is not None:
                return read, "hit" if read.is_fresh else "stale"
    except CacheDown:  # nobody can say who else reads it: only where there is nothing to go by
        return (state, "stale") if state is not None else (_sync(), "miss")


def _sync_or_keep(state: ListState | None, lease: Lease) -> tuple[ListState, CacheState]:
    try:
        synced = _sync()
    except (CatalogUnavailable, DatabaseUnavailable) as error:
        back_off = product_cache.BACK_OFF
        if isinstance(error, catalog.AnswerTooLong):
            back_off = TOO_LONG_BACK_OFF
            logs.logger().error(
                "list too long for a request",
                reason="Let the schedule read it (KeepHot=true), or invoke WarmProductCacheFunction.",
                at_most_bytes=LIST_BYTES,
            )
        with suppress(CacheDown):
            lease.release_failed(back_off)
        if state is None:
            raise
        return state, "stale"
    with suppress(CacheDown):
        lease.release()
    return synced, "miss"


def _sync() -> ListState:
    """Make the copy what the catalog's list says now; the list's state after that.

    Does nothing where it is: who held the lease before has done it.
    Raises CatalogUnavailable and DatabaseUnavailable.
    """
    state = _state_of(product_copy.listing())
    if state is not None and state.is_fresh:
        return state
    with closing(catalog.fetch_all(at_most=LIST_BYTES)) as listed:
        for _ in sync(listed):
            pass  # the copy is what counts here; polling renews the products' entries too
    state = list_synced(listed.version / 1000)
    with suppress(CacheDown):
        product_cache.keep_list(state)
    return state


def sync(listed: CatalogList) -> Iterator[list[CopiedProduct]]:
    """As product_copy.sync; a list that is not believed is CatalogUnavailable.

    Whatever ends it midway, no list page shows what was before the chunks that were written.
    """
    try:
        for chunk in product_copy.sync(listed):
            if any(copied.changed for copied in chunk):
                with suppress(CacheDown):
                    product_cache.advance_generation(product_copy.listing().generation)
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
