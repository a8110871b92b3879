"""Write-through: what the copy in PostgreSQL has, written to the cache.

Requests ignore a cache that is down (`…_quietly`); events and polls retry, because skipped entries would stay
stale until the next poll.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING

from shared.errors import CatalogUnavailable
from shared.formats import json_text
from shared.formats.etags import etag_of
from shared.platform import logs, metrics, valkey
from shared.platform.valkey import CacheDown
from shared.products import product_cache, product_copy
from shared.products.product_cache import Entry, ListState, MissingEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from shared.products.catalog import CatalogList
    from shared.products.models import Product
    from shared.products.product_copy import CopiedProduct

REMEMBERED = 1_000  # missing ids that an environment remembers

# When the catalog answered that it has no such product, by id. Valkey's negative cache is read first; this
# one serves while Valkey is down, when each request for such an id would be a call to the catalog.
_missing: OrderedDict[str, float] = OrderedDict()


def remembered_missing(product_id: str) -> MissingEntry | None:
    """The entry of an id that the catalog did not have a moment ago, as far as this environment knows."""
    entry = MissingEntry.since(_missing.get(product_id, 0.0))
    return entry if entry.is_fresh else None


def forget_missing() -> None:
    """Remember no missing ids, as an environment that has just started."""
    _missing.clear()


def remember_missing(product_id: str, asked_at: float) -> MissingEntry:
    """Remember that the catalog had no such product at `asked_at` (seconds since the epoch); its entry."""
    _missing[product_id] = asked_at
    if len(_missing) > REMEMBERED:
        _missing.popitem(last=False)
    return MissingEntry.since(asked_at)


def put_quietly(
    entries: Mapping[str, Entry], list_version: int = 0, then: Iterable[Sequence[str]] = ()
) -> None:
    """Write the entries, invalidate older list pages, then run the commands; a failure does not matter."""
    advance = [product_cache.advance_command(list_version)] if list_version else []
    with suppress(CacheDown):
        product_cache.put_all(entries, [*advance, *then], seconds=valkey.TIMEOUT)


def write_through(copied: CopiedProduct) -> None:
    """Write the row to the cache and invalidate all older list pages. Raises CacheDown."""
    product_cache.put_all(
        {copied.product_id: entry_of(copied)}, [product_cache.advance_command(copied.list_version)]
    )


def entry_of(copied: CopiedProduct, revalidated_at: float = 0.0) -> Entry:
    """The copy's product as the cache keeps it; `revalidated_at` may be later than the row's own time.

    That is when the catalog was called: whether it answered this or something older, the row is the newest
    that is known from then.
    """
    fetched_at = max(copied.fetched_at.timestamp(), revalidated_at)
    if copied.removed_at is not None:
        return Entry(404, copied.version, fetched_at, "", "-")
    body = copied.as_json()
    return Entry(200, copied.version, fetched_at, body, etag_of(body))


def new_entry(product: Product, version: int, fetched_at: float) -> Entry:
    """The product as the cache keeps it."""
    body = json_text.dumps(product)
    return Entry(200, version, fetched_at, body, etag_of(body))


def newest(*entries: Entry | None) -> Entry | None:
    """Of those that there are, the one with the newest content, confirmed last."""
    return max(
        [entry for entry in entries if entry is not None],
        key=lambda entry: (not isinstance(entry, MissingEntry), entry.version, entry.fetched_at),
        default=None,
    )


def sync(listed: CatalogList) -> Iterator[list[CopiedProduct]]:
    """As product_copy.sync, and invalidates the list pages after each chunk with a change.

    Raises CatalogUnavailable for a list in which too many products are missing.
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
    """Note that the copy is the catalog's list of `synced_at`; the list's state, for the cache."""
    return ListState(product_copy.note_sync(synced_at), synced_at)
