"""The state of the service: each of the database, the cache and the catalog is called."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Literal

from shared.errors import CatalogUnavailable, DatabaseUnavailable
from shared.models import Health, ServiceHealth
from shared.platform import deadlines, valkey
from shared.platform.valkey import CacheDown
from shared.products import catalog, product_cache, product_copy

DATABASE_SECONDS = 1.5  # for the database, so that the others are asked too when it hangs
CATALOG_EVERY = 5.0  # seconds: a monitor that polls this does not become the catalog's heaviest user
KEPT = "60"  # seconds for which the cache keeps what is written to see whether it takes writes

_catalog: tuple[float, ServiceHealth] | None = None


def check() -> tuple[Health, str]:
    """The state of the database, the cache and the catalog, each with the time it took, and why it is down.

    Without the cache or the catalog answers are still served; without the database the service is down.
    """
    polled_at: datetime | None = None

    def read_database() -> None:
        nonlocal polled_at
        polled_at = product_copy.listing().synced_at

    with deadlines.within(DATABASE_SECONDS):
        database_health, reason = _timed(read_database, DatabaseUnavailable)
    # Written, as a cache that is full or became a replica still answers.
    cache_health, _ = _timed(lambda: valkey.pipeline(("SET", "health", "", "EX", KEPT)), CacheDown)
    catalog_health = _catalog_health()
    if catalog_health.state == "up" and _is_list_refused(polled_at):
        catalog_health = catalog_health.model_copy(update={"state": "degraded"})
    status: Literal["ok", "degraded", "down"]
    if database_health.state == "down":
        status = "down"
    elif {cache_health.state, catalog_health.state} != {"up"}:
        status = "degraded"
    else:
        status = "ok"
    health = Health(
        status=status,
        database=database_health,
        cache=cache_health,
        catalog=catalog_health,
        polled_at=polled_at,
    )
    return health, reason


def _is_list_refused(polled_at: datetime | None) -> bool:
    """Whether the last poll could not use the catalog's list."""
    with suppress(CacheDown):
        return product_cache.refused_at() > (polled_at.timestamp() if polled_at else 0)
    return False


def _catalog_health() -> ServiceHealth:
    global _catalog
    if _catalog is None or time.monotonic() - _catalog[0] > CATALOG_EVERY:
        health, _ = _timed(_ask_catalog, CatalogUnavailable)
        _catalog = (time.monotonic(), health)
    return _catalog[1]


def _ask_catalog() -> None:
    with suppress(catalog.UnusableProduct):  # it answers
        catalog.fetch_product("1")


def _timed(ask: Callable[[], object], failure: type[Exception]) -> tuple[ServiceHealth, str]:
    """How it is, and why it is down."""
    started = time.perf_counter()
    state: Literal["up", "down"] = "up"
    reason = ""
    try:
        ask()
    except failure as error:
        state, reason = "down", str(error)
    milliseconds = round((time.perf_counter() - started) * 1000, 1)
    return ServiceHealth(state=state, milliseconds=milliseconds), reason
