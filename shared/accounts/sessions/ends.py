"""Ending sessions."""

from __future__ import annotations

from uuid import UUID

from shared.accounts.sessions import refresh_tokens
from shared.platform import database


def log_out(refresh_token: str) -> None:
    """End the session of the token, if there is one (RFC 7009 §2.2)."""
    database.run(lambda current: revoke(current, refresh_token), idempotent=False)


def revoke(current: database.Connection, refresh_token: str) -> int:
    """End the session of the token; 0 where there is none."""
    return current.execute(
        "DELETE FROM sessions WHERE session_hash = %(session_hash)s",
        {"session_hash": refresh_tokens.session_hash(refresh_token)},
    ).rowcount


def revoke_all(current: database.Connection, client_id: UUID) -> None:
    """End every session of the client."""
    current.execute("DELETE FROM sessions WHERE client_id = %(client_id)s", {"client_id": client_id})
