"""The limits: favorites of a client, changes of one request, how far back a mark may lie."""

from __future__ import annotations

from datetime import timedelta

# For each client. What a page sorts by price it sorts in memory, and it has to end: 5,000 rows take 10 ms.
MAX_FAVORITES = 5_000

MAX_IDS_PAGE = 1_000  # ids on a page: 13 kB with ids of ten characters, and no more than 67 kB
MAX_CHANGES = 100  # products that one request may mark and unmark; with the longest ids still below 64 KiB

# How long ago a guest may have marked what is merged at log-in.
OLDEST_MARK = timedelta(days=90)
