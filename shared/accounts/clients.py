"""Clients: register, read, list, edit, remove. Who may do what to whom is decided here too."""

from __future__ import annotations

import time
from functools import partial
from typing import Literal
from uuid import UUID

import psycopg

from shared.accounts import access_tokens, passwords
from shared.accounts.access_tokens import Caller
from shared.accounts.models import Client, ClientChanges, NewClient
from shared.errors import (
    ChangedMeanwhile,
    EmailTaken,
    Forbidden,
    InvalidInput,
    InvalidToken,
    LastAdmin,
    LogInTooLongAgo,
    UnknownClient,
    WrongPassword,
)
from shared.events import client_events
from shared.formats import cursors, json_text
from shared.formats.emails import email_key
from shared.models import Page
from shared.platform import database

ClientRef = Literal["me"] | UUID

RECENT_LOG_IN = 5 * 60  # seconds since the password was given, for removing the own account
CONFIRMATIONS = 2  # of the current password: a log-in meanwhile may have renewed its hash, once

_LIST = "clients"


def register(new: NewClient, *, source: str = "") -> Client:
    """A new client; `source` is the address that asks. Raises EmailTaken, and TooManyAttempts."""
    from shared.accounts import registrations  # for this one alone

    registrations.check(source)
    client = database.fetch_one(
        Client,
        f"""
        WITH registered AS (
            INSERT INTO clients (name, email, email_key, password_hash)
            VALUES (%(name)s, %(email)s, %(email_key)s, %(password_hash)s)
                ON CONFLICT (email_key) DO NOTHING
            RETURNING client_id, name, email, role, created_at, updated_at
        ), emitted AS ({client_events.EMIT_REGISTERED})
        SELECT * FROM registered
        """,  # noqa: S608 — the part is a constant
        {
            "name": new.name,
            "email": new.email,
            "email_key": email_key(new.email),
            "password_hash": passwords.hash_password(new.password),
        },
    )
    if client is None:
        registrations.count_taken(source)
        raise _email_taken()
    return client


def get(caller: Caller, ref: ClientRef) -> Client:
    """The client.

    Raises Forbidden, UnknownClient, and InvalidToken where the caller's token no longer counts.
    """
    client_id = permitted(caller, ref)
    client = database.fetch_one(
        Client,
        """
        SELECT client_id, name, email, role, created_at, updated_at
          FROM clients
         WHERE client_id = %(client_id)s
           AND (%(generation)s::bigint IS NULL OR token_generation = %(generation)s)
        """,
        {"client_id": client_id, "generation": generation_of(caller, client_id)},
        repeatable=True,
    )
    if client is None:
        raise nobody(caller, client_id)
    return client


def list_all(caller: Caller, *, limit: int, cursor: str | None, email: str | None) -> Page[Client]:
    """A page of the clients, oldest first; with `email` the one who has it, in whatever case.

    Raises Forbidden for all but admins, and InvalidCursor.
    """
    _require_admin(caller)
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
        repeatable=True,
    )
    clients, next_cursor = found[:limit], None
    if len(found) > limit:
        last = clients[-1]
        next_cursor = cursors.encode(_LIST, json_text.timestamp(last.created_at), str(last.client_id))
    return Page[Client](items=clients, next_cursor=next_cursor)


def update(
    caller: Caller, ref: ClientRef, changes: ClientChanges, *, if_match: str | None, source: str = ""
) -> Client:
    """The client as it is after the changes; a new password ends all of the client's sessions and tokens.

    `if_match` is the If-Match header (RFC 9110 §13.1.1), None where there is none; `source` is the address
    that asks. The own e-mail or password takes the current password: an access token alone may be stolen.
    Raises Forbidden, UnknownClient, EmailTaken, ChangedMeanwhile, WrongPassword, InvalidInput,
    TooManyAttempts, and InvalidToken where the caller's token no longer counts.
    """
    client_id = permitted(caller, ref)
    given = changes.model_fields_set
    if "password" in given and _has_to_confirm(caller, client_id, changes):
        raise _current_password_missing()
    for _ in range(CONFIRMATIONS):
        # Both take a while: before the row is locked, and the new password only if the current one is right.
        confirmed = (
            _confirm(caller, client_id, changes.current_password, source)
            if "current_password" in given
            else None
        )
        new_hash = passwords.hash_password(changes.password) if "password" in given else None
        try:
            done = database.transaction(
                partial(
                    _change,
                    caller=caller,
                    client_id=client_id,
                    changes=changes,
                    if_match=if_match,
                    confirmed=confirmed,
                    new_hash=new_hash,
                )
            )
        except psycopg.errors.UniqueViolation as error:
            raise _email_taken() from error
        except InvalidToken:
            if confirmed is not None:  # noted as right, and then the client may have been removed
                _forget_attempts(None, client_id)
            raise
        if done is not None:
            before, after = done
            if email_key(before.email) != email_key(after.email):
                _forget_attempts(before.email, client_id)
            return after
    raise _wrong_password()


def remove(caller: Caller, ref: ClientRef) -> None:
    """Remove the client, and with it the favorites, the sessions and the tokens.

    Raises Forbidden, UnknownClient, LastAdmin, LogInTooLongAgo for the own account, and InvalidToken where
    the caller's token no longer counts.
    """
    client_id = permitted(caller, ref)
    generation = generation_of(caller, client_id)

    def work(current: database.Connection) -> str:
        while True:  # once more only where the role has changed since it was read
            held = current.execute(
                """
                SELECT role
                  FROM clients
                 WHERE client_id = %(client_id)s
                   AND (%(generation)s::bigint IS NULL OR token_generation = %(generation)s)
                """,
                {"client_id": client_id, "generation": generation},
            ).fetchone()
            if held is None:
                raise nobody(caller, client_id)
            if client_id == caller.client_id and time.time() - caller.authenticated_at > RECENT_LOG_IN:
                raise LogInTooLongAgo("Log in again before you remove your account.", max_age=RECENT_LOG_IN)
            if held["role"] == "admin":
                _keep_an_admin(current, client_id)
            removed = current.execute(
                """
                DELETE FROM clients
                 WHERE client_id = %(client_id)s AND role = %(role)s
                   AND (%(generation)s::bigint IS NULL OR token_generation = %(generation)s)
                RETURNING email
                """,
                {"client_id": client_id, "role": held["role"], "generation": generation},
            ).fetchone()
            if removed is not None:
                break
        client_events.emit_removed(current, client_id)
        email: str = removed["email"]
        return email

    _forget_attempts(database.transaction(work), client_id)


def log_out_everywhere(caller: Caller, ref: ClientRef) -> None:
    """End all sessions of the client, and all access tokens that were given out so far.

    Raises Forbidden, UnknownClient, and InvalidToken where the caller's token no longer counts.
    """
    from shared.accounts import sessions  # for this and for a new password

    client_id = permitted(caller, ref)

    def work(current: database.Connection) -> None:
        ended = current.execute(
            """
            UPDATE clients SET token_generation = token_generation + 1
             WHERE client_id = %(client_id)s
               AND (%(generation)s::bigint IS NULL OR token_generation = %(generation)s)
            """,
            {"client_id": client_id, "generation": generation_of(caller, client_id)},
        ).rowcount
        if not ended:
            raise nobody(caller, client_id)
        sessions.revoke_all(current, client_id)

    database.transaction(work)


def _keep_an_admin(current: database.Connection, client_id: UUID) -> None:
    """Lock the admins, all of them in one order, so that two who remove each other come one after the other.

    Raises LastAdmin where there is no other.
    """
    admins = current.execute(
        "SELECT client_id FROM clients WHERE role = 'admin' ORDER BY client_id FOR UPDATE"
    ).fetchall()
    if all(admin["client_id"] == client_id for admin in admins):
        raise LastAdmin("This is the last admin: make another client an admin first.")


def _change(
    current: database.Connection,
    *,
    caller: Caller,
    client_id: UUID,
    changes: ClientChanges,
    if_match: str | None,
    confirmed: str | None,
    new_hash: str | None,
) -> tuple[Client, Client] | None:
    """The client before and after; None where the hash is not the `confirmed` one any more."""
    held = current.execute(
        """
        SELECT client_id, name, email, role, created_at, updated_at, password_hash
          FROM clients
         WHERE client_id = %(client_id)s
           AND (%(generation)s::bigint IS NULL OR token_generation = %(generation)s)
           FOR UPDATE
        """,
        {"client_id": client_id, "generation": generation_of(caller, client_id)},
    ).fetchone()
    if held is None:
        raise nobody(caller, client_id)
    if held.pop("password_hash") != confirmed and confirmed is not None:
        return None
    client = Client(**held)
    if if_match is not None and not _is_match(if_match, client):
        raise ChangedMeanwhile("The client has changed since the ETag that If-Match names.")
    name, email = (
        getattr(changes, field) if field in changes.model_fields_set else held[field]
        for field in ("name", "email")
    )
    if email != client.email and _has_to_confirm(caller, client_id, changes):
        raise _current_password_missing()
    if (name, email, new_hash) == (client.name, client.email, None):
        return client, client
    if new_hash is not None:
        from shared.accounts import sessions  # as in log_out_everywhere

        sessions.revoke_all(current, client_id)
    row = current.execute(
        """
        UPDATE clients
           SET name = %(name)s, email = %(email)s, email_key = %(email_key)s,
               password_hash = coalesce(%(password_hash)s, password_hash),
               token_generation = token_generation + (%(password_hash)s::text IS NOT NULL)::integer,
               updated_at = now()
         WHERE client_id = %(client_id)s
        RETURNING client_id, name, email, role, created_at, updated_at
        """,
        {
            "client_id": client_id,
            "name": name,
            "email": email,
            "email_key": email_key(email),
            "password_hash": new_hash,
        },
    ).fetchone()
    return client, Client(**(row or {}))  # the row is locked: it is there


def _has_to_confirm(caller: Caller, client_id: UUID, changes: ClientChanges) -> bool:
    return client_id == caller.client_id and "current_password" not in changes.model_fields_set


def _confirm(caller: Caller, client_id: UUID, password: str, source: str) -> str:
    """The hash of the current password, if it is this one.

    Somebody with a stolen access token gets no more guesses at the password than at the log-in.
    """
    from shared.accounts import login_attempts  # for those few who change their e-mail or password

    held = database.run(
        lambda current: current.execute(
            """
            SELECT password_hash
              FROM clients
             WHERE client_id = %(client_id)s
               AND (%(generation)s::bigint IS NULL OR token_generation = %(generation)s)
            """,
            {"client_id": client_id, "generation": generation_of(caller, client_id)},
        ).fetchone(),
        repeatable=True,
    )
    if held is None:
        raise nobody(caller, client_id)
    attempts = login_attempts.of_current_password(client_id, source)
    wait = login_attempts.begin(attempts)
    password_hash: str = held["password_hash"]
    if not passwords.is_password(password, password_hash):
        raise login_attempts.too_many(wait) if wait else _wrong_password()
    login_attempts.succeed(attempts)
    return password_hash


def _wrong_password() -> WrongPassword:
    return WrongPassword("The current password is another.")


def _current_password_missing() -> InvalidInput:
    return InvalidInput(
        "is needed to change the e-mail or password", location="body.current_password", kind="missing"
    )


def _forget_attempts(email: str | None, client_id: UUID) -> None:
    from shared.accounts import login_attempts  # as in _confirm

    login_attempts.forget(email, client_id)


def _is_match(if_match: str, client: Client) -> bool:
    wanted = [tag.strip() for tag in if_match.split(",")]
    return "*" in wanted or json_text.rendered(client).etag in wanted


# ── Who may ───────────────────────────────────────────────────────────────────────────────────────────────


def permitted(caller: Caller, ref: ClientRef) -> UUID:
    """The id that `ref` names, if it is the caller's own or the caller is an admin.

    Nobody else learns whether it exists: nothing is looked up. Raises Forbidden.
    """
    if ref == "me" or ref == caller.client_id:
        return caller.client_id
    if not caller.is_admin:
        raise Forbidden("This belongs to another client.")
    _require_admin(caller)
    return ref


def _require_admin(caller: Caller) -> None:
    """What counts is the role of now, not of when the token was issued.

    Raises Forbidden, and InvalidToken where the caller's token no longer counts.
    """
    row = database.run(
        lambda current: current.execute(
            """
            SELECT role FROM clients
             WHERE client_id = %(client_id)s AND token_generation = %(generation)s
            """,
            {"client_id": caller.client_id, "generation": caller.generation},
        ).fetchone(),
        repeatable=True,
    )
    if row is None:
        raise access_tokens.no_longer_counts()
    if row["role"] != "admin":
        raise Forbidden("Only admins may do this.")


def generation_of(caller: Caller, client_id: UUID) -> int | None:
    """Which generation the row must have: that of the caller's token, where the row is the caller's own."""
    return caller.generation if client_id == caller.client_id else None


def nobody(caller: Caller, client_id: UUID) -> InvalidToken | UnknownClient:
    """Why there is no such row: for the caller's own, because the token no longer counts."""
    return (
        access_tokens.no_longer_counts()
        if client_id == caller.client_id
        else UnknownClient("There is no such client.")
    )


def _email_taken() -> EmailTaken:
    return EmailTaken("Another client has this e-mail.")
