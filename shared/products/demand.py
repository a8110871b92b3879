"""What a request for products does when the cache alone has no fresh answer for it.

Somebody has to ask the catalog, and only one at a time does: who holds the lease. The others get what is
there (stale), or wait for the holder's result, or take over when the holder is gone. What the catalog says
goes into the copy in PostgreSQL first and from there into the cache.
"""

from __future__ import annotations

import re
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from shared.errors import CatalogUnavailable, DatabaseUnavailable, UnknownProduct
from shared.formats import cursors, json_text
from shared.formats.headers import etag_of
from shared.models import Page
from shared.platform import deadlines, logs, metrics, settings
from shared.platform.valkey import CacheDown
from shared.products import catalog, product_cache, product_copy
from shared.products.models import Product
from shared.products.product_cache import Entry, Lease, ListState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.products.catalog import CatalogList
    from shared.products.product_copy import CopiedProduct

LEASE = catalog.TIMEOUT + 0.5  # seconds: the catalog's time, and some to write down what it said
WAIT = 2 * LEASE  # seconds: for a holder who died, and for the call of the one who takes over
POLL = 0.05  # seconds between two looks for the holder's result
LOOKS = 4  # between two tries to take over from the holder

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
        entry = product_cache.get(product_id)
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


def _refresh_or_reuse(product_id: str, lease: Lease) -> Answer:
    # The holder before this one may have finished between this one's look and its lease.
    entry = product_cache.get(product_id)
    if entry is not None and entry.is_fresh:
        lease.release()
        return _answer(product_id, entry, "hit")
    try:
        fetched = _fetch(product_id)
    except (CatalogUnavailable, DatabaseUnavailable) as error:
        with suppress(CacheDown):
            lease.release_failed()
        if entry is not None:
            return _answer(product_id, entry, "stale")
        return _from_copy(product_id, error)
    with suppress(CacheDown):
        lease.release()
    return _answer(product_id, fetched, "miss")


def _wait(product_id: str, *, failed: bool) -> Answer:
    """The holder's result as soon as it is there; the copy when the holder failed or takes too long."""
    deadline = time.monotonic() + deadlines.left(WAIT)
    looks = 0
    while not failed and time.monotonic() < deadline:
        time.sleep(POLL)
        looks += 1
        entry = product_cache.get(product_id)
        if entry is not None:
            return _answer(product_id, entry, "miss" if entry.is_fresh else "stale")
        if looks % LOOKS == 0:
            lease = product_cache.acquire_lease(f"product:{product_id}", LEASE)
            if isinstance(lease, Lease):
                return _refresh_or_reuse(product_id, lease)
            failed = lease.failed
    return _from_copy(product_id, CatalogUnavailable("The catalog is not answering.", retry_after=2))


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
        return _answer(product_id, _fetch(product_id), "miss")
    except CatalogUnavailable:
        if entry is None:
            raise
        return _answer(product_id, entry, "stale")


def _answer(product_id: str, entry: Entry, state: CacheState) -> Answer:
    if entry.status != 200:
        raise UnknownProduct(f"There is no product {product_id!r}.")
    return Answer(entry, state)


# ── From the catalog, through the copy, into the cache ──────────────────────────────────────────────────

_CANONICAL_INTEGER = re.compile(r"0|[1-9][0-9]{0,17}")


def _fetch(product_id: str) -> Entry:
    """What the catalog has under that id now, kept in the copy and the cache. Raises CatalogUnavailable."""
    metrics.count("Refreshes", cause="demand")
    version = catalog.now_version()
    if not _CANONICAL_INTEGER.fullmatch(product_id) and product_copy.find(product_id) is None:
        # The Fake Store contract never answers a request for such an id. A catalog that has such ids tells
        # of them in its list.
        _sync_if_old()
        copied, confirmed_at = product_copy.find(product_id), 0.0
    else:
        confirmed_at = version / 1000
        product = catalog.fetch_product(product_id)
        try:
            copied = (
                product_copy.mark_removed(product_id, version)
                if product is None
                else product_copy.save(product, version)
            )
        except DatabaseUnavailable:
            if product is not None:  # the answer is good all the same
                return _keep(product_id, _entry(product_copy.shown(product), version, confirmed_at))
            copied = None
    return _keep(product_id, _unknown(version)) if copied is None else show(copied, confirmed_at)


def _keep(product_id: str, entry: Entry) -> Entry:
    with suppress(CacheDown):
        product_cache.put(product_id, entry)
    return entry


def show(copied: CopiedProduct, confirmed_at: float = 0.0) -> Entry:
    """Let the cache have what the copy has, and no list page that shows what was before; the entry.

    `confirmed_at` is when the catalog was asked: whether it told this or something older, the copy was the
    newest that anybody had told then.
    """
    entry = _keep(copied.product_id, entry_of(copied, confirmed_at))
    with suppress(CacheDown):
        product_cache.advance_generation(product_copy.generation())
    return entry


def entry_of(copied: CopiedProduct, confirmed_at: float = 0.0) -> Entry:
    """The copy's product as the cache keeps it; `confirmed_at` is a time later than the row itself tells."""
    fetched_at = max(copied.fetched_at.timestamp(), confirmed_at)
    if copied.removed_at is not None:
        return _unknown(copied.version, fetched_at)
    return _entry(copied.as_product(), copied.version, fetched_at)


def _entry(product: Product, version: int, fetched_at: float) -> Entry:
    body = json_text.dumps(product)
    return Entry(200, version, fetched_at, body, etag_of(body))


def _unknown(version: int, fetched_at: float | None = None) -> Entry:
    return Entry(404, version, version / 1000 if fetched_at is None else fetched_at, "", "-")


# ── The list ──────────────────────────────────────────────────────────────────────────────────────────────

# Without Valkey there is nobody to tell when the list was last read but this environment's own memory.
_synced_here = 0.0


def page(*, limit: int, cursor: str | None, category: str | None, sort: str | None) -> Answer:
    """A page of the products, by the cache protocol. Raises InvalidCursor and CatalogUnavailable."""
    order = sort or "catalog"
    list_name = f"products:{order}:{'' if category is None else f'={category}'}"
    after = None
    if cursor is not None:
        after = cursors.decode(list_name, cursor, product_copy.sort_text(order), cursors.text)

    def render(state: ListState | None) -> Entry:
        rows = product_copy.page(order, category=category, after=after, limit=limit + 1)
        shown, next_cursor = rows[:limit], None
        if len(rows) > limit:
            last = shown[-1]
            next_cursor = cursors.encode(list_name, product_copy.sort_value(order, last), last.product_id)
        items = [copied.as_product() for copied in shown]
        body = json_text.dumps(Page[Product](items=items, next_cursor=next_cursor))
        fetched_at = state.synced_at if state else _last_confirmed(shown)
        return Entry(200, 0, fetched_at, body, etag_of(body), next_cursor)

    name = product_cache.page_name(limit=limit, cursor=cursor, category=category, sort=sort)
    try:
        state, found = _current_state()
        if state is None:
            return Answer(render(None), "stale")
        entry = product_cache.get_page(state, name)
        if entry is not None:
            return Answer(entry, found)
        entry = render(state)
        product_cache.put_page(state, name, entry)
        return Answer(entry, "stale" if found == "stale" else "miss")
    except CacheDown:
        if _synced_without_cache():
            return Answer(render(ListState(0, _synced_here)), "miss")
        return Answer(render(None), "stale")


def _current_state() -> tuple[ListState | None, CacheState]:
    """The list's state, and whether it was fresh (hit), is stale, or is fresh because of this call (miss).

    There is no state where the copy is all there is. Raises CacheDown, and CatalogUnavailable where there is
    not even a copy.
    """
    state = product_cache.list_state()
    deadline = time.monotonic() + deadlines.left(WAIT)
    while state is None or not state.is_fresh:
        lease = product_cache.acquire_lease("products", LEASE)
        if isinstance(lease, Lease):
            return _sync_or_keep(state, lease)
        if state is not None:
            return state, "stale"
        if lease.failed or time.monotonic() > deadline:
            _require_copy(CatalogUnavailable("The catalog is not answering.", retry_after=2))
            return None, "stale"
        time.sleep(POLL)
        state = product_cache.list_state()
    return state, "hit"


def _sync_or_keep(state: ListState | None, lease: Lease) -> tuple[ListState | None, CacheState]:
    try:
        synced = _sync(product_cache.list_state())
    except (CatalogUnavailable, DatabaseUnavailable) as error:
        lease.release_failed()
        if state is None:
            _require_copy(error)
        return state, "stale"
    lease.release()
    return synced, "miss"


def _sync(state: ListState | None) -> ListState:
    """Make the copy what the catalog's list says now; the list's state after that.

    Does nothing where the state is fresh: who held the lease before has done it.
    Raises CatalogUnavailable and DatabaseUnavailable.
    """
    if state is not None and state.is_fresh:
        return state
    with closing(catalog.fetch_all()) as listed:
        for _ in sync(listed):
            pass  # the copy is what counts here; polling renews the products' entries too
    return list_synced(listed.version / 1000)


def sync(listed: CatalogList) -> Iterator[list[CopiedProduct]]:
    """As product_copy.sync; a list that is not believed is CatalogUnavailable."""
    try:
        yield from product_copy.sync(listed)
    except product_copy.ShrunkCatalog as error:
        logs.logger().error("catalog refused", reason=str(error))
        metrics.count("CatalogRefused")
        raise CatalogUnavailable("The catalog's list is not believed.", retry_after=5) from error


def list_synced(synced_at: float) -> ListState:
    """The list's state after the copy became what the catalog said at `synced_at`."""
    global _synced_here
    _synced_here = synced_at
    generation = product_copy.generation()
    with suppress(CacheDown):
        # In this order: no page that shows what was before is ever called fresh.
        product_cache.advance_generation(generation)
        product_cache.confirm_list(synced_at)
    return ListState(generation, synced_at)


def _sync_if_old() -> None:
    """Make the copy no older than the TTL, unless the catalog is down and there is a copy to go by."""
    try:
        _current_state()
    except CacheDown:
        _synced_without_cache()


def _synced_without_cache() -> bool:
    """Whether the copy is as new as the TTL asks, after reading the list where it was not.

    Raises CatalogUnavailable where there is no copy either.
    """
    if time.time() - _synced_here < settings.product_cache_ttl():
        return True
    try:
        _sync(None)
    except CatalogUnavailable as error:
        _require_copy(error)
        return False
    return True


def _require_copy(error: CatalogUnavailable | DatabaseUnavailable) -> None:
    if product_copy.is_empty():
        raise error


def _last_confirmed(rows: list[CopiedProduct]) -> float:
    if not rows:
        return time.time() - settings.product_cache_ttl()
    return max(row.fetched_at.timestamp() for row in rows)
