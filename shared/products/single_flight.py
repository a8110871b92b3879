"""Single flight: how long one caller may refresh a product or the list, and how long the others wait."""

from __future__ import annotations

from shared.products import catalog

LEASE = catalog.TIMEOUT + 0.5  # seconds: a call of the catalog, and writing its answer
WAIT = 2 * LEASE  # seconds: the lease of a holder that died, and that of the next one
POLL = 0.05  # seconds between two attempts of those who wait
