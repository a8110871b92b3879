"""Single flight: how long one caller may refresh something, and how long the others wait for it."""

from __future__ import annotations

from shared.products import catalog

LEASE = catalog.TIMEOUT + 0.5  # seconds: the catalog's time, and some to write down its answer
WAIT = 2 * LEASE  # seconds: for a holder that died, and for the call of the one that takes over
POLL = 0.05  # seconds between two looks for the holder's result
