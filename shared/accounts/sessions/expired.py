"""Removes expired sessions. In its own module: its scheduled function needs nothing else of sessions."""

from __future__ import annotations

from shared.platform import database

AT_ONCE = 1_000  # rows for a statement of some milliseconds
MOST = 20_000  # rows in a run; the next run goes on


def purge_expired_sessions() -> int:
    """Remove expired sessions and return their number. Raises DatabaseUnavailable."""
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
