"""Discovery: products that the copy does not have. The catalog is called for many of them at once.

A bulk request cannot wait for them one after the other. Threads only call the catalog; the caller's own
thread writes the answers, in one statement, so that no thread that is left behind uses the connection.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TYPE_CHECKING

from shared.errors import CatalogUnavailable, DatabaseUnavailable, DomainError, UnknownProduct
from shared.platform import deadlines, metrics
from shared.platform.valkey import CacheDown
from shared.products import catalog, list_pages, product_cache, product_copy, single_flight
from shared.products.catalog import UnusableProduct, mapping
from shared.products.product_cache import Lease, LeaseHeld
from shared.products.write_through import entry_of, put_quietly, remember_missing, remembered_missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.products.catalog import CatalogProduct
    from shared.products.product_cache import Entry

AT_ONCE = 8  # calls of the catalog
BUDGET = 2.5  # seconds for all of them; the rest of a request's deadline is for writing


def make_known(product_ids: Sequence[str]) -> dict[str, DomainError]:
    """Copy the products, as far as the catalog has them; for each of the others, why that failed.

    That is UnknownProduct, or CatalogUnavailable where the catalog did not answer in time. Raises
    DatabaseUnavailable.
    """
    found = discover(product_ids)
    problems: dict[str, DomainError] = {}
    for product_id in product_ids:
        entry = found.get(product_id)
        if entry is None:
            problems[product_id] = CatalogUnavailable.silent(retry_after=2)
        elif entry.status != 200:
            problems[product_id] = UnknownProduct.of(product_id)
    return problems


def discover(product_ids: Sequence[str]) -> dict[str, Entry]:
    """What the catalog has under the ids, kept in the copy and the cache; nothing for what it did not answer.

    As in read_through, one caller at a time calls the catalog for a product, and the others wait for the
    result. Raises DatabaseUnavailable.
    """
    ends = time.monotonic() + deadlines.left(BUDGET)
    found: dict[str, Entry] = {}
    pending, waited = product_ids, False
    while pending:
        claims = _claim(pending)
        for product_id, (_, entry) in claims.items():
            # A product that was cached before may still not be in the copy.
            if entry is not None and entry.is_fresh and (waited or entry.status != 200):
                found[product_id] = entry
        unclaimed = [each for each, (lease, _) in claims.items() if not isinstance(lease, LeaseHeld)]
        loaded, list_version = _load([each for each in unclaimed if each not in found], ends)
        found |= loaded
        release = [
            lease.release_command(0 if product_id in found else product_cache.BACKOFF)
            for product_id, (lease, _) in claims.items()
            if isinstance(lease, Lease)
        ]
        put_quietly(loaded, list_version, release)
        pending = [
            product_id
            for product_id, (lease, _) in claims.items()
            if product_id not in found and isinstance(lease, LeaseHeld) and not lease.failed
        ]
        if time.monotonic() >= ends:
            break
        if pending:
            time.sleep(single_flight.POLL)
            waited = True
    return found


def _claim(product_ids: Sequence[str]) -> dict[str, tuple[Lease | LeaseHeld | None, Entry | None]]:
    """The lease of each product or who has it, None while Valkey is down; and its entry in the cache."""
    try:
        claims = product_cache.lease_products(product_ids, single_flight.LEASE)
    except CacheDown:
        return dict.fromkeys(product_ids, (None, None))
    return dict(zip(product_ids, claims, strict=True))


def _load(product_ids: Sequence[str], ends: float) -> tuple[dict[str, Entry], int]:
    """What the catalog answered until then, as the copy has it after that; and the list's version."""
    version = catalog.now_version()
    found: dict[str, Entry] = {}
    by_id: list[str] = []
    only_listed: list[str] = []
    for product_id in product_ids:
        missing = remembered_missing(product_id)
        if missing is not None:
            found[product_id] = missing
        else:
            (by_id if mapping.current().may_have(product_id) else only_listed).append(product_id)
    answers = _fetch_all(by_id, ends)
    products = [product for product in answers.values() if product is not None]
    rows = product_copy.save_all(products, version) if products else []
    found |= {row.product_id: entry_of(row, version / 1000) for row in rows}
    if only_listed:
        # The Fake Store contract has no answer for such ids. Catalogs that have some list them.
        with suppress(CatalogUnavailable, DatabaseUnavailable), deadlines.within(ends - time.monotonic()):
            list_pages.current_state()
            listed = product_copy.find_all(only_listed)
            rows += listed
            found |= {row.product_id: entry_of(row) for row in listed}
            answers |= dict.fromkeys(only_listed)
    for product_id, product in answers.items():
        if product is None and product_id not in found:
            found[product_id] = remember_missing(product_id, version / 1000)
    return found, max([row.list_version for row in rows], default=0)


def _fetch_all(product_ids: Sequence[str], ends: float) -> dict[str, CatalogProduct | None]:
    """The catalog's products, None where it has none that may be shown; without those it did not answer."""
    if not product_ids:
        return {}
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="catalog")
    calls = {product_id: pool.submit(_fetch, product_id) for product_id in product_ids}
    wait(calls.values(), timeout=max(0.0, ends - time.monotonic()))
    pool.shutdown(wait=False, cancel_futures=True)  # a call under way ends by the catalog's timeout
    answers = {
        product_id: call.result()
        for product_id, call in calls.items()
        if call.done() and not call.cancelled() and call.exception() is None
    }
    if answers:
        metrics.count("Refreshes", len(answers), cause="demand")
    return answers


def _fetch(product_id: str) -> CatalogProduct | None:
    try:
        return catalog.fetch_product(product_id)
    except UnusableProduct:
        return None
