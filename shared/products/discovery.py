"""Products that the copy does not have: the catalog is asked for many of them at once.

A bulk request cannot wait for them one after the other. Threads do nothing but ask the catalog; what it says
is written by the caller's own, in one statement, so that nobody who is given up on can touch the connection.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TYPE_CHECKING

from shared.errors import CatalogUnavailable, DatabaseUnavailable, DomainError, UnknownProduct
from shared.platform import deadlines, metrics
from shared.platform.valkey import CacheDown
from shared.products import catalog, product_cache, product_copy, read_through, write_through
from shared.products.catalog import UnusableProduct, mapping

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from shared.products.catalog import CatalogProduct

AT_ONCE = 8  # requests to the catalog
BUDGET = 2.5  # seconds for all of them; what is left of a request's deadline is for writing


def make_known(product_ids: Sequence[str]) -> dict[str, DomainError]:
    """See to it that the copy has the products, as far as the catalog does; for the others, why it has not.

    That is UnknownProduct, or CatalogUnavailable where nobody could tell in time. Raises DatabaseUnavailable.
    """
    ends = time.monotonic() + BUDGET
    problems: dict[str, DomainError] = {
        product_id: UnknownProduct.of(product_id)
        for product_id in product_ids
        if _is_known_not_to_exist(product_id)
    }
    contract = mapping.current()
    numbers: list[str] = []
    others: list[str] = []
    for product_id in product_ids:
        if product_id not in problems:
            (numbers if contract.may_have(product_id) else others).append(product_id)
    if numbers:
        _ask(numbers, problems)
    # Of the others the catalog's list tells: whoever is first reads it, where it is old, for all of them.
    for product_id in others:
        try:
            with deadlines.within(ends - time.monotonic()):
                read_through.make_known(product_id)
        except (UnknownProduct, CatalogUnavailable) as problem:
            problems[product_id] = problem
        except DatabaseUnavailable:  # out of time; where it is down, the caller's own statement tells
            problems[product_id] = CatalogUnavailable.silent(retry_after=2)
    return problems


def _ask(product_ids: Sequence[str], problems: dict[str, DomainError]) -> None:
    version = catalog.now_version()
    asking = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="catalog")
    answers = {product_id: asking.submit(catalog.fetch_product, product_id) for product_id in product_ids}
    wait(answers.values(), timeout=deadlines.left(BUDGET))
    asking.shutdown(wait=False, cancel_futures=True)  # a call that runs still ends by the catalog's timeout
    found = []
    told = 0
    for product_id, answer in answers.items():
        try:
            product = _said(answer)
        except CatalogUnavailable as problem:
            problems[product_id] = problem
            continue
        told += 1
        if product is None:
            problems[product_id] = UnknownProduct.of(product_id)
            write_through.remember_missing(product_id, version / 1000)
        else:
            found.append(product)
    if told:
        metrics.count("Refreshes", told, cause="demand")
    if found:
        write_through.write_all_quietly(product_copy.save_all(found, version))


def _said(answer: Future[CatalogProduct | None]) -> CatalogProduct | None:
    if not answer.done() or answer.cancelled():
        raise CatalogUnavailable.silent(retry_after=2)
    try:
        return answer.result()
    except UnusableProduct:
        return None


def _is_known_not_to_exist(product_id: str) -> bool:
    with suppress(CacheDown):
        entry = product_cache.get_missing(product_id)
        return entry is not None and entry.is_fresh
    return False
