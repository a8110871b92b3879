"""Push: what the catalog tells of its changes, in whatever order and however often it arrives."""

from __future__ import annotations

from typing import Any

from shared.platform import logs, metrics
from shared.products import demand, product_copy
from shared.products.messages import CatalogEvent, ProductChanged
from shared.products.product_copy import CopiedProduct

# 2001, in milliseconds: what is lower was counted, and loses against all that polls and requests have seen.
_FIRST_PLAUSIBLE = 10**12


def take(event: dict[str, Any]) -> None:
    """Make the copy and the cache know the change, unless they know a newer one.

    A second delivery writes what the first had no time for: the copy's row goes to the cache either way.
    Raises pydantic.ValidationError for what is no such event, and DatabaseUnavailable.
    """
    change = CatalogEvent.model_validate(event).opened()
    if change.version < _FIRST_PLAUSIBLE:
        logs.logger().warning("an event's version is no time in milliseconds", version=change.version)
    copied: CopiedProduct | None
    if isinstance(change, ProductChanged):
        copied = product_copy.save(change.product, change.version)
    else:
        copied = product_copy.mark_removed(change.product_id, change.version, remember=True)
    if copied is not None:
        demand.show(copied)
    metrics.count("Refreshes", cause="push")
