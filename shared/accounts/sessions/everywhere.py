"""Logging out everywhere. In its own module: it needs Valkey, which the other log-out does not load."""

from __future__ import annotations

from shared.accounts import callers, permissions
from shared.accounts.access_tokens import Caller
from shared.accounts.attempts import guesses
from shared.accounts.permissions import ClientRef
from shared.accounts.sessions import ends
from shared.platform import database


def log_out(caller: Caller, ref: ClientRef) -> None:
    """End all sessions of the client, and revoke all access tokens that were issued so far.

    Also forgets the addresses that are known as the client's: one may be an intruder's.
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
        ends.revoke_all(current, target.client_id)
        return email

    guesses.forget_known(database.transaction(work), target.client_id)
