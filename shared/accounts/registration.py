"""Registering as a client."""

from __future__ import annotations

from shared.accounts import passwords
from shared.accounts.attempts import bounds
from shared.accounts.models import Client, NewClient
from shared.errors import EmailTaken
from shared.events import client_events
from shared.formats.emails import email_key
from shared.platform import database


def register(new: NewClient, *, source_ip: str = "") -> Client:
    """A new client. Raises EmailTaken, TooManyAttempts, and InvalidInput for a password of one's own name."""
    passwords.check_personal(new.password, name=new.name, email=new.email)
    with bounds.counted(bounds.TAKEN_EMAILS, source_ip, if_raised=EmailTaken):
        return _insert(new)


def _insert(new: NewClient) -> Client:
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
        raise EmailTaken.by_another()
    return client
