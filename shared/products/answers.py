"""Product answers as HTTP: the headers that let clients and proxies cache them, and the short way to a hit.

A fresh entry is sent as it lies in the cache, before routing, validation, models or the database driver are
even loaded: `entry_point` asks the cache and hands everything that is not settled there to the function's
`routes` module.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from shared.formats.headers import ALWAYS, matches, next_link, take_body_away
from shared.formats.ids import asked_for, is_product_id
from shared.platform import lean_imports, metrics, snapshots
from shared.products import product_cache
from shared.products.product_cache import Entry, Joined

Event = dict[str, Any]
Response = dict[str, Any]

_PAGE_PARAMETERS = {"limit", "cursor", "category", "sort"}
_WHEN_STALE = "stale-while-revalidate=60, stale-if-error=86400"


def entry_point(
    cached: Callable[[Event], tuple[Entry, str] | None], *, otherwise: str
) -> Callable[[Event, Any], Response]:
    """A Lambda handler: what `cached` finds, or else what `lambda_handler` of the named module answers.

    With SnapStart that module is in the snapshot: there, loading it costs no request anything.
    """
    if snapshots.are_taken():
        snapshots.protect()
        import_module(otherwise)
    lean_imports.done()

    def lambda_handler(event: Event, context: Any) -> Response:
        try:
            found = cached(event)
        except Exception:  # noqa: BLE001 — whatever it is, the long way around tells it as a problem
            found = None
        if found is None:
            handler: Callable[[Event, Any], Response] = import_module(otherwise).lambda_handler
            return handler(event, context)
        entry, state = found
        status, headers, body = answer(entry, state, event)
        headers |= ALWAYS
        result = {"statusCode": status, "headers": headers, "body": body, "isBase64Encoded": False}
        if event["requestContext"]["http"]["method"] == "HEAD":
            take_body_away(result)
        return result

    return lambda_handler


def cached_detail(event: Event) -> tuple[Entry, str] | None:
    """The product of GET /products/{product_id}, if it is fresh, or stale and being refreshed by another.

    Raises CacheDown.
    """
    product_id = (event.get("pathParameters") or {}).get("product_id", "")
    if not is_product_id(product_id) or event.get("queryStringParameters"):
        return None  # the long way refuses it
    entry = product_cache.get(product_id)
    if entry is None or entry.status != 200:
        return None
    if entry.is_fresh:
        return entry, "hit"
    return (entry, "stale") if product_cache.is_leased(f"product:{product_id}") else None


def cached_page(event: Event) -> tuple[Entry, str] | None:
    """The page of GET /products, if it is kept and fresh.

    Only pages that passed validation were ever kept, so parameters that would not are simply not found.
    Raises CacheDown.
    """
    parameters = event.get("queryStringParameters") or {}
    if "product_id" in parameters:
        return _cached_products(parameters)
    if not parameters.keys() <= _PAGE_PARAMETERS:
        return None  # the long way refuses it
    place = product_cache.place_of(
        limit=parameters.get("limit", "20"),
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
    asked = asked_for(parameters)
    if asked is None:
        return None
    found = product_cache.get_all(asked)
    if None in found:
        return None
    joined = product_cache.join(dict(zip(asked, cast("list[Entry]", found), strict=True)))
    return (joined, "hit") if joined.is_fresh else None


def answer(entry: Entry, state: str, event: Event) -> tuple[int, dict[str, str], str]:
    """Status, headers and body for the entry: a 304 without one where the client has it (RFC 9110 §13.1.2).

    In whole seconds, `max-age` is the whole lifetime and `Age` what is used up of it (RFC 9111 §4.2); a
    client may use a stale body for a minute while it asks again, and for a day while this service is down
    (RFC 5861). What the catalog could not confirm nobody may keep.
    """
    age = entry.age
    # A page that follows a cursor is never kept: making it says nothing of how well the cache does.
    is_unkept = state == "miss" and "cursor" in (event.get("queryStringParameters") or {})
    metrics.gather(
        {"ProductAnswers": (1, "Count"), "ProductAge": (round(age, 1), "Seconds")},
        state="copy" if is_unkept else state,
    )
    if isinstance(entry, Joined) and not entry.is_confirmed:
        unkept = {"Content-Type": "application/json", "Cache-Control": "no-store", "X-Cache": state}
        return 200, unkept, entry.body
    headers = {
        "Content-Type": "application/json",
        "Cache-Control": f"public, max-age={entry.lifetime}, {_WHEN_STALE}",
        "Age": str(int(age)),
        "ETag": entry.etag,
        "X-Cache": state,
    }
    if entry.next_cursor:
        headers["Link"] = next_link(event, entry.next_cursor)
    if matches(event.get("headers") or {}, entry.etag):
        del headers["Content-Type"]
        return 304, headers, ""
    return 200, headers, entry.body
