"""Reading clients: one, or for admins a page of all."""

from __future__ import annotations

from shared.accounts import callers, permissions
from shared.accounts.access_tokens import Caller
from shared.accounts.models import Client
from shared.accounts.permissions import ClientRef
from shared.errors import InvalidInput
from shared.formats import cursors, json_text
from shared.formats.emails import email_key
from shared.models import Page
from shared.platform import database

_LIST = "clients"


def get(caller: Caller, ref: ClientRef) -> Client:
    """The client. Raises Forbidden, UnknownClient, and InvalidToken where the caller's token is revoked."""
    return callers.fetch_one(
        permissions.permitted(caller, ref),
        Client,
        """
        SELECT client_id, name, email, role, created_at, updated_at
          FROM clients
         WHERE client_id = %(client_id)s
           AND token_generation = coalesce(%(token_generation)s, token_generation)
        """,
    )


def list_all(caller: Caller, *, limit: int, cursor: str | None, email: str | None) -> Page[Client]:
    """A page of the clients, oldest first; with `email` the one who has it, in whatever case.

    Raises Forbidden for all but admins, InvalidInput and InvalidCursor.
    """
    permissions.require_admin(caller)
    if email is not None and " " in email.strip():
        raise InvalidInput(
            "has a blank, which an unencoded + of a query is: write it as %2B",
            location="query.email",
            kind="blank",
        )
    created_at, client_id = None, None
    if cursor is not None:
        created_at, client_id = cursors.decode(_LIST, cursor, cursors.moment, cursors.uuid)
    found = database.fetch_all(
        Client,
        """
        SELECT client_id, name, email, role, created_at, updated_at
          FROM clients
         WHERE (%(email_key)s::text IS NULL OR email_key = %(email_key)s)
           AND (%(client_id)s::uuid IS NULL
                OR (created_at, client_id) > (%(created_at)s::timestamptz, %(client_id)s))
         ORDER BY created_at, client_id
         LIMIT %(limit)s
        """,
        {
            "email_key": None if email is None else email_key(email),
            "created_at": created_at,
            "client_id": client_id,
            "limit": limit + 1,
        },
        idempotent=True,
    )
    clients, next_cursor = found[:limit], None
    if len(found) > limit:
        last = clients[-1]
        next_cursor = cursors.encode(_LIST, json_text.timestamp(last.created_at), str(last.client_id))
    return Page[Client](items=clients, next_cursor=next_cursor)
