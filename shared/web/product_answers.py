"""Answers about products: their HTTP caching headers, and the fast path for a fresh entry of the cache.

The fast path sends a cached body before routing, validation, models or the database driver are loaded. All
other requests go to the app in the function's `routes` module.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from shared.formats.ids import is_product_id
from shared.limits import PAGE_SIZE
from shared.platform import metrics
from shared.products import product_cache
from shared.products.product_cache import CombinedEntry, Entry
from shared.web import entry
from shared.web.entry import Handler
from shared.web.headers import matches, next_link
from shared.web.request import Event, Result, requested_ids

_PAGE_PARAMETERS = {"limit", "cursor", "category", "sort"}
_WHEN_STALE = "stale-while-revalidate=60, stale-if-error=86400"


def entry_point(cached: Callable[[Event], tuple[Entry, str] | None], *, otherwise: str) -> Handler[Result]:
    """The Lambda handler that sends what `cached` returns, or else the answer of the named module's `app`."""

    def answer_event(event: Event, context: Any) -> Result:
        try:
            found = cached(event)
        except Exception:  # noqa: BLE001 — the app answers the same request with the right problem
            found = None
        if found is None:
            # Imported here: the fast path needs neither routing nor validation.
            from shared.web import routing

            return routing.answer(import_module(otherwise).app, event, context)
        status, headers, body = answer(*found, event)
        return {"statusCode": status, "headers": headers, "body": body, "isBase64Encoded": False}

    return entry.http(answer_event)


def cached_detail(event: Event) -> tuple[Entry, str] | None:
    """The product of GET /products/{product_id}, if it is fresh, or stale and being refreshed by another.

    Raises CacheDown.
    """
    product_id = (event.get("pathParameters") or {}).get("product_id", "")
    if not is_product_id(product_id) or event.get("queryStringParameters"):
        return None  # the app answers it with a problem
    entry = product_cache.get(product_id)
    if entry is None or entry.status != 200:
        return None
    if entry.is_fresh:
        return entry, "hit"
    return (entry, "stale") if product_cache.is_leased(f"product:{product_id}") else None


def cached_page(event: Event) -> tuple[Entry, str] | None:
    """The page of GET /products, if it is cached and fresh.

    Only valid requests fill the cache, so a page with invalid parameters is never found.
    Raises CacheDown.
    """
    parameters = event.get("queryStringParameters") or {}
    if "product_id" in parameters:
        return _cached_products(parameters)
    if not parameters.keys() <= _PAGE_PARAMETERS:
        return None  # the app answers it with a problem
    place = product_cache.slot_for(
        limit=parameters.get("limit", str(PAGE_SIZE)),
        cursor=parameters.get("cursor"),
        category=parameters.get("category"),
        sort=parameters.get("sort"),
    )
    if place is None:
        return None
    state, page = product_cache.list_page(place)
    return (page, "hit") if state and state.is_fresh and page else None


def _cached_products(parameters: dict[str, str]) -> tuple[Entry, str] | None:
    """The products of GET /products?product_id=…, if all are fresh. Raises CacheDown."""
    product_ids = requested_ids(parameters)
    if product_ids is None:
        return None
    found = product_cache.get_all(product_ids)
    if None in found:
        return None
    joined = product_cache.join(dict(zip(product_ids, cast("list[Entry]", found), strict=True)))
    return (joined, "hit") if joined.is_fresh else None


def _for_the_edge(event: Event, entry: Entry, age: float) -> str:
    """What is left of the lifetime, for CloudFront, which ignores Age and would add a lifetime of its own."""
    if not (event.get("headers") or {}).get("x-edge"):
        return ""
    return f"s-maxage={max(0, int(entry.lifetime - age))}, "


def answer(entry: Entry, state: str, event: Event) -> tuple[int, dict[str, str], str]:
    """Status, headers and body for the entry: a 304 without one where the client has it (RFC 9110 §13.1.2).

    `max-age` is the whole lifetime in seconds and `Age` the used part of it (RFC 9111 §4.2). A client may use
    a stale body for a minute while it revalidates it, and for a day while this service is down
    (RFC 5861). A body that the catalog could not confirm is not to be stored.
    """
    age = entry.age
    # Pages behind a cursor are never cached, so a miss there says nothing about the cache.
    is_unkept = state == "miss" and "cursor" in (event.get("queryStringParameters") or {})
    metrics.gather(
        {"ProductAnswers": (1, "Count"), "ProductAge": (round(age, 1), "Seconds")},
        state="copy" if is_unkept else state,
    )
    if isinstance(entry, CombinedEntry) and not entry.is_complete:
        unkept = {"Content-Type": "application/json", "Cache-Control": "no-store", "X-Cache": state}
        return 200, unkept, entry.body
    headers = {
        "Content-Type": "application/json",
        "Cache-Control": f"public, max-age={entry.lifetime}, {_for_the_edge(event, entry, age)}{_WHEN_STALE}",
        "Age": str(int(age)),
        "ETag": entry.etag,
        "X-Cache": state,
        **next_link(event, entry.next_cursor),
    }
    if matches(event.get("headers") or {}, entry.etag):
        del headers["Content-Type"]
        return 304, headers, ""
    return 200, headers, entry.body
