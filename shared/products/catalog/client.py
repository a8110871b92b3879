"""One product of the catalog, as it is now."""

from __future__ import annotations

import io
import time

from pydantic import ValidationError

from shared.formats import json_items
from shared.platform import logs, metrics
from shared.products.catalog import http_client, mapping
from shared.products.catalog.availability import breaker, refuse
from shared.products.catalog.models import CatalogProduct, product_id_of, reasons

PRODUCT_BYTES = 1024 * 1024  # the longest answer for one product that is read


class UnusableProduct(Exception):
    """The catalog has the product, and it fails the check: no outage, and nothing that may be shown."""


def fetch_product(product_id: str) -> CatalogProduct | None:
    """The product as the catalog has it now, or None where it has none.

    Waits `http_client.TIMEOUT` seconds at most. Raises CatalogUnavailable and UnusableProduct.
    """
    breaker.check()
    contract = mapping.current()
    file = io.BytesIO()
    http_client.get(
        contract.product_url(product_id), file, at_most=PRODUCT_BYTES, unknown_statuses=(404, 410)
    )
    body = file.getvalue().removeprefix(json_items.BYTE_ORDER_MARK)
    if not body.strip():  # an unknown id is an empty body, …
        return None
    try:
        value = json_items.loads(body)
    except json_items.NotJson as error:
        refuse(f"its answer for product {product_id} is no JSON: {error}")
    item = contract.one(value)
    if item is None:  # … or null
        return None
    found = product_id_of(item.get("id")) if isinstance(item, dict) else None
    if found != product_id:
        refuse(f"its answer for product {product_id} is {_shown(found)}")
    try:
        return CatalogProduct.model_validate(item)
    except ValidationError as error:
        raise _unusable(product_id, reasons(error)) from error


def _shown(found: object) -> str:
    return f"product {found[:64]!r}" if isinstance(found, str) else "no product"


def _unusable(product_id: str, reason: str) -> UnusableProduct:
    logs.logger().warning("catalog product refused", product_id=product_id, reason=reason)
    metrics.count("CatalogProductsRefused")
    return UnusableProduct(reason)


def now_version() -> int:
    """This moment as a product version: milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
