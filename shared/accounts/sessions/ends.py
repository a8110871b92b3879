"""Ending sessions: one by log-out, or all of a client."""

from __future__ import annotations

from uuid import UUID

from shared.accounts import callers, permissions
from shared.accounts.access_tokens import Caller
from shared.accounts.attempts import guesses
from shared.accounts.permissions import ClientRef
from shared.accounts.sessions import refresh_tokens
from shared.platform import database


def log_out(refresh_token: str) -> None:
    """End the session that the token is of; a token without one is no error (RFC 7009 §2.2)."""
    database.run(lambda current: revoke(current, refresh_token), repeatable=False)


def log_out_everywhere(caller: Caller, ref: ClientRef) -> None:
    """End all sessions of the client, and revoke all access tokens that were issued so far.

    The addresses that were known as the client's are so no longer: one may be an intruder's.

    Raises Forbidden, UnknownClient, and InvalidToken where the caller's token is revoked.
    """
    target = permissions.permitted(caller, ref)

    def work(current: database.Connection) -> str:
        ended = current.execute(
            """
            UPDATE clients SET token_generation = token_generation + 1
             WHERE client_id = %(client_id)s
               AND token_generation = coalesce(%(token_generation)s, token_generation)
            RETURNING email
            """,
            target.as_parameters,
        ).fetchone()
        email: str = callers.found(target, ended)["email"]
        revoke_all(current, target.client_id)
        return email

    guesses.forget_known(database.transaction(work), target.client_id)


def revoke(current: database.Connection, refresh_token: str) -> int:
    """End the session that the token is of; 0 where there is none."""
    return current.execute(
        "DELETE FROM sessions WHERE session_hash = %(session_hash)s",
        {"session_hash": refresh_tokens.session_hash(refresh_token)},
    ).rowcount


def revoke_all(current: database.Connection, client_id: UUID) -> None:
    """End every session of the client, as part of the caller's transaction."""
    current.execute("DELETE FROM sessions WHERE client_id = %(client_id)s", {"client_id": client_id})
