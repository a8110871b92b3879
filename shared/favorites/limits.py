"""Limits of favorites: per client, per request, and of the rate of changes."""

from __future__ import annotations

from math import ceil

from shared.errors import TooManyChanges

# Per client. A page by price is sorted in memory: 5,000 rows take 10 ms.
MAX_FAVORITES = 5_000

MAX_IDS_PAGE = 1_000  # ids on a page: 13 kB with ids of ten characters, 67 kB at most
MAX_CHANGES = 100  # products that one request may mark and unmark: with the longest ids still below 64 KiB

# Each change of a favorite is an event, and the events of a client are sent one after the other. So a client
# may make this many changes at once, and then one per SECONDS_PER_CHANGE. Triggers count them in the client's
# row, as the time `changes_counted_to` (migration 0013, which repeats SECONDS_PER_CHANGE).
CHANGES_AT_ONCE = 1_000
SECONDS_PER_CHANGE = 0.1
CHANGES_SECONDS = CHANGES_AT_ONCE * SECONDS_PER_CHANGE


def check_changes(seconds_ahead: float) -> None:
    """Raise TooManyChanges if the client's `changes_counted_to` is too many seconds ahead of now."""
    if seconds_ahead > CHANGES_SECONDS:
        raise TooManyChanges(
            f"You changed more than {CHANGES_AT_ONCE:,} favorites in a short time.",
            retry_after=ceil(seconds_ahead - CHANGES_SECONDS),
        )
