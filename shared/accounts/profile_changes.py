"""Changing a client's name, e-mail or password."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import psycopg

from shared.accounts import callers, passwords, permissions
from shared.accounts.access_tokens import Caller
from shared.accounts.attempts import bounds, guesses
from shared.accounts.models import Client, ClientChanges
from shared.accounts.permissions import ClientRef, Target
from shared.accounts.sessions import ends
from shared.errors import EmailTaken, Forbidden, InvalidInput, InvalidToken, WrongPassword
from shared.formats import json_text
from shared.formats.emails import email_key
from shared.formats.etags import NO_PRECONDITIONS, Preconditions
from shared.platform import database

MAX_ATTEMPTS = 2  # of the current password: a log-in meanwhile may have renewed its hash, once


@dataclass(frozen=True, slots=True)
class _Held:
    password_hash: str


@dataclass(frozen=True, slots=True)
class _Work:
    """What one transaction needs.

    `confirmed` is the hash of the current password if that was given, `new_hash` the one of the new password.
    """

    target: Target
    changes: ClientChanges
    preconditions: Preconditions
    confirmed: str | None
    new_hash: str | None

    def has(self, field: str) -> bool:
        """Whether the request has the field."""
        return field in self.changes.model_fields_set


def update(
    caller: Caller,
    ref: ClientRef,
    changes: ClientChanges,
    preconditions: Preconditions = NO_PRECONDITIONS,
    *,
    source_ip: str = "",
) -> Client:
    """The client as it is after the changes; a new password ends all of the client's sessions and tokens.

    The own e-mail or password takes the current password: an access token alone may be stolen. For another's,
    an admin must have logged in a moment ago, and no admin sets another admin's password.
    Raises Forbidden, UnknownClient, EmailTaken, ChangedMeanwhile, WrongPassword, InvalidInput,
    LogInTooLongAgo, TooManyAttempts, and InvalidToken where the caller's token is revoked.
    """
    target = permissions.permitted(caller, ref)
    given = changes.model_fields_set
    if target.is_caller and "password" in given and "current_password" not in given:
        raise _current_password_missing()
    if not target.is_caller and not given.isdisjoint({"email", "password"}):
        permissions.require_recent_log_in(caller, "Log in again before you change an e-mail or password.")
    if "email" not in given:
        return _update(target, changes, preconditions, source_ip)
    with bounds.counted(bounds.TAKEN_EMAILS, source_ip, if_raised=EmailTaken):
        return _update(target, changes, preconditions, source_ip)


def _update(target: Target, changes: ClientChanges, preconditions: Preconditions, source_ip: str) -> Client:
    given = changes.model_fields_set
    for _ in range(MAX_ATTEMPTS):
        # Argon2 is slow, so both hashes are computed before the row is locked; the new one only after the
        # current password was verified.
        confirmed = (
            _confirm(target, changes.current_password, source_ip) if "current_password" in given else None
        )
        new_hash = passwords.hash_password(changes.password) if "password" in given else None
        work = _Work(target, changes, preconditions, confirmed, new_hash)
        try:
            done = database.transaction(partial(_change, work=work))
        except psycopg.errors.UniqueViolation as error:
            raise EmailTaken.by_another() from error
        except InvalidToken:
            if confirmed is not None:  # stored as a success, perhaps after a removal
                guesses.forget(None, target.client_id)
            raise
        if done is not None:
            before, after = done
            if email_key(before.email) != email_key(after.email):
                guesses.forget(before.email, target.client_id)
            elif new_hash is not None:
                guesses.forget_known(before.email, target.client_id)
            return after
    raise _wrong_password()


def _change(current: database.Connection, work: _Work) -> tuple[Client, Client] | None:
    """The client before and after; None if the password changed since it was confirmed."""
    held = callers.found(
        work.target,
        current.execute(
            """
            SELECT client_id, name, email, role, created_at, updated_at, password_hash
              FROM clients
             WHERE client_id = %(client_id)s
               AND token_generation = coalesce(%(token_generation)s, token_generation)
               FOR UPDATE
            """,
            work.target.as_parameters,
        ).fetchone(),
    )
    if held.pop("password_hash") != work.confirmed and work.confirmed is not None:
        return None
    before = Client(**held)
    if work.preconditions.are_given:
        work.preconditions.check(json_text.rendered(before).etag)
    name = work.changes.name if work.has("name") else before.name
    email = work.changes.email if work.has("email") else before.email
    if work.target.is_caller and email != before.email and not work.has("current_password"):
        raise _current_password_missing()
    if work.new_hash is not None:
        if before.role == "admin" and not work.target.is_caller:
            raise Forbidden("Only admins themselves set their password.")
        passwords.check_personal(work.changes.password, name=name, email=email)
    if (name, email, work.new_hash) == (before.name, before.email, None):
        return before, before
    if work.new_hash is not None:
        ends.revoke_all(current, before.client_id)
    return before, _save(current, before, name, email, work.new_hash)


def _save(
    current: database.Connection, before: Client, name: str, email: str, new_hash: str | None
) -> Client:
    """Update the client, whose row is locked; a new hash revokes the access tokens."""
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
            "client_id": before.client_id,
            "name": name,
            "email": email,
            "email_key": email_key(email),
            "password_hash": new_hash,
        },
    ).fetchone()
    return Client(**(row or {}))


def _confirm(target: Target, password: str, source_ip: str) -> str:
    """The hash of the current password. Guesses are slowed as at the log-in: the token may be stolen."""
    held = callers.fetch_one(
        target,
        _Held,
        """
        SELECT password_hash
          FROM clients
         WHERE client_id = %(client_id)s
           AND token_generation = coalesce(%(token_generation)s, token_generation)
        """,
    )
    attempts = guesses.of_current_password(target.client_id, source_ip)
    wait, _ = guesses.begin(attempts)
    if not passwords.is_password(password, held.password_hash):
        raise guesses.too_many(wait) if wait else _wrong_password()
    guesses.succeed(attempts)
    return held.password_hash


def _wrong_password() -> WrongPassword:
    return WrongPassword("The current password is another.")


def _current_password_missing() -> InvalidInput:
    return InvalidInput(
        "is needed to change the e-mail or password", location="body.current_password", kind="missing"
    )
