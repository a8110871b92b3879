"""Rotating refresh tokens: each works once, and returns its successor.

If a token is used again later, two parties have it, and the session is revoked (RFC 9700 §4.14.2), however
old the token is. Within `GRACE` the same successor is returned again instead: an answer may get lost, or two
tabs refresh at once. With different successors, the slower tab would look like a thief at its next refresh.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from shared.accounts.access_tokens import Caller
from shared.accounts.models import Tokens
from shared.accounts.sessions import ends, refresh_tokens
from shared.platform import database, settings

GRACE = timedelta(seconds=30)  # for a lost answer, a retry after a 503, a second tab


def refresh(refresh_token: str) -> Tokens:
    """The next tokens of the session. Raises InvalidRefreshToken."""
    # For each key: during a rotation of the keys, environments sign with different ones.
    successors = [
        refresh_tokens.successor(refresh_token, key) for key in settings.access_token_keys().values()
    ]

    def work(current: database.Connection) -> dict[str, Any] | None:
        held = current.execute(
            """
            UPDATE sessions
               SET token_hash = CASE WHEN token_hash = %(presented)s THEN %(successor)s
                                     ELSE token_hash END,
                   previous_hash = CASE WHEN token_hash = %(presented)s THEN token_hash
                                        ELSE previous_hash END,
                   rotated_at = CASE WHEN token_hash = %(presented)s THEN now() ELSE rotated_at END,
                   expires_at = least(now() + %(lifetime)s, logged_in_at + %(longest)s)
              FROM clients
             WHERE session_hash = %(session_hash)s AND clients.client_id = sessions.client_id
               AND expires_at > now() AND logged_in_at + %(longest)s > now()
               AND (token_hash = %(presented)s
                    OR (previous_hash = %(presented)s AND rotated_at > now() - %(grace)s))
            RETURNING clients.client_id, role, token_generation,
                      floor(extract(epoch FROM logged_in_at))::bigint AS authenticated_at, token_hash
            """,
            {
                "session_hash": refresh_tokens.session_hash(refresh_token),
                "presented": refresh_tokens.token_hash(refresh_token),
                "successor": refresh_tokens.token_hash(successors[0]),
                "grace": GRACE,
                "lifetime": refresh_tokens.LIFETIME,
                "longest": settings.longest_session(),
            },
        ).fetchone()
        if held is None:
            ends.revoke(current, refresh_token)
        return held

    # Idempotent because of `GRACE`.
    held = database.run(work, idempotent=True)
    if held is not None:
        current_hash = held.pop("token_hash")
        for successor in successors:
            if refresh_tokens.token_hash(successor) == current_hash:
                return refresh_tokens.pair(Caller(**held), successor)
    raise refresh_tokens.not_valid()
