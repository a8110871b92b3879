"""Removes the sessions that have expired, whether or not their owners return.

A module of its own: the scheduled function that runs it needs nothing of a log-in.
"""

from __future__ import annotations

from shared.platform import database

AT_ONCE = 1_000  # rows a statement removes: some milliseconds
MOST = 20_000  # rows a run removes; the next run goes on


def purge_expired_sessions() -> int:
    """How many sessions were removed now. Raises DatabaseUnavailable."""
    removed = 0
    while removed < MOST:
        batch = database.execute(
            """
            DELETE FROM sessions
             WHERE session_hash IN (SELECT session_hash FROM sessions
                                     WHERE expires_at < now()
                                     ORDER BY expires_at LIMIT %(limit)s
                                       FOR UPDATE SKIP LOCKED)
            """,
            {"limit": AT_ONCE},
            idempotent=True,
        )
        removed += batch
        if batch < AT_ONCE:
            break
    return removed
