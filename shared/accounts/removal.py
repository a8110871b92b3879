"""Removing a client, with the favorites, the sessions and the tokens."""

from __future__ import annotations

from uuid import UUID

from shared.accounts import callers, permissions
from shared.accounts.access_tokens import Caller
from shared.accounts.attempts import guesses
from shared.accounts.models import Client
from shared.accounts.permissions import ClientRef, Target
from shared.errors import LastAdmin
from shared.events import client_events
from shared.formats import json_text
from shared.formats.etags import NO_PRECONDITIONS, Preconditions
from shared.platform import database


def remove(caller: Caller, ref: ClientRef, preconditions: Preconditions = NO_PRECONDITIONS) -> None:
    """Remove the client.

    Raises Forbidden, UnknownClient, ChangedMeanwhile, LastAdmin, LogInTooLongAgo, and InvalidToken where
    the caller's token is revoked.
    """
    target = permissions.permitted(caller, ref)
    email = database.transaction(lambda current: _remove(current, caller, target, preconditions))
    guesses.forget(email, target.client_id)


def _remove(
    current: database.Connection, caller: Caller, target: Target, preconditions: Preconditions
) -> str:
    """Delete the client's row and return its e-mail."""
    while True:  # a second time only if the client has changed after it was read
        client = callers.fetch_one(
            target,
            Client,
            """
            SELECT client_id, name, email, role, created_at, updated_at
              FROM clients
             WHERE client_id = %(client_id)s
               AND token_generation = coalesce(%(token_generation)s, token_generation)
            """,
            current=current,
        )
        permissions.require_recent_log_in(caller, "Log in again before you remove the account.")
        if client.role == "admin":
            _keep_an_admin(current, target.client_id)
        preconditions.check(json_text.rendered(client).etag)
        removed = current.execute(
            """
            DELETE FROM clients
             WHERE client_id = %(client_id)s AND role = %(role)s AND updated_at = %(updated_at)s
               AND token_generation = coalesce(%(token_generation)s, token_generation)
            RETURNING email
            """,
            target.as_parameters | {"role": client.role, "updated_at": client.updated_at},
        ).fetchone()
        if removed is not None:
            client_events.emit_removed(current, target.client_id)
            return str(removed["email"])


def _keep_an_admin(current: database.Connection, client_id: UUID) -> None:
    """Raise LastAdmin where there is no other. Locks all admins, so that two cannot remove each other."""
    admins = current.execute(
        "SELECT client_id FROM clients WHERE role = 'admin' ORDER BY client_id FOR UPDATE"
    ).fetchall()
    if all(admin["client_id"] == client_id for admin in admins):
        raise LastAdmin("This is the last admin: make another client an admin first.")
