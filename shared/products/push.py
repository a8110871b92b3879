"""Push: take the catalog's events, which may come in any order and more than once."""

from __future__ import annotations

from typing import Any

from shared.platform import logs, metrics, settings
from shared.products import product_copy, write_through
from shared.products.catalog import now_version
from shared.products.messages import CatalogEvent, ProductChanged
from shared.products.product_copy import CopiedProduct, Source

# 2001, in milliseconds: what is lower was counted, and loses against all that polls and requests have seen.
_FIRST_PLAUSIBLE = 10**12
# How far the catalog's clock may be ahead of ours. What is further ahead is no time in milliseconds, and if
# it were taken no later change could win against it.
AHEAD = 5 * 60 * 1000  # milliseconds


class VersionAhead(ValueError):
    """An event's version that lies in the future."""


def take(event: dict[str, Any]) -> bool:
    """Make the copy and the cache know the change, unless they know a newer one; whether it changed the copy.

    A second delivery writes what the first had no time for: the copy's row goes to the cache either way.
    Raises pydantic.ValidationError for what is no such event, VersionAhead, DatabaseUnavailable, and
    CacheDown when the copy knows the change and the cache was not told: it would show what was before.
    """
    change = CatalogEvent.model_validate(event).opened()
    if change.version > now_version() + AHEAD:
        raise VersionAhead(f"version {change.version} is more than 5 minutes ahead of our clock")
    if change.version < _FIRST_PLAUSIBLE:
        logs.logger().warning("an event's version is no time in milliseconds", version=change.version)
    copied: CopiedProduct | None
    if isinstance(change, ProductChanged):
        # As the catalog client does for the list: an event and a poll must not disagree about it.
        change.product.currency = change.product.currency or settings.catalog_currency()
        copied = product_copy.save(change.product, change.version, Source.EVENT)
    else:
        copied = product_copy.mark_removed(change.product_id, change.version, Source.EVENT)
    if copied is not None:
        if copied.version != change.version:
            # Events of a catalog whose clock is behind ours end here: the next list brings their change.
            logs.logger().info(
                "event older than what is known", product_id=copied.product_id, version=change.version
            )
        write_through.write_through(copied)
    metrics.count("Refreshes", cause="push")
    return copied is not None and copied.changed
