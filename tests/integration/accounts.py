"""Clients for the tests: registered as anybody would be, and made admins behind the service's back."""

import itertools
import time
from typing import Any
from uuid import UUID

import psycopg

from shared.accounts import access_tokens, profile_changes, registration
from shared.accounts.access_tokens import Caller
from shared.accounts.models import Client, ClientChanges, NewClient, Tokens
from shared.accounts.permissions import ClientRef
from shared.accounts.sessions import rotation, starts
from shared.errors import InvalidRefreshToken
from tests import calls
from tests.calls import Answer, call

EMAIL, PASSWORD, NEW_PASSWORD = "ana@example.com", "correct horse battery", "another fine password"

_numbers = itertools.count(1)


def register(name: str = "Ana", email: str | None = None, password: str = PASSWORD) -> Client:
    """A new client, with an e-mail of its own where none is given."""
    email = email or f"client{next(_numbers)}@example.com"
    return registration.register(NewClient(name=name, email=email, password=password))


def caller(client: Client) -> Caller:
    """The client as the caller of a request, logged in a moment ago."""
    return calls.caller(client.client_id, client.role)


def new_caller() -> Caller:
    """A new client as the caller of a request."""
    return caller(register())


def new_admin(db: psycopg.Connection) -> Caller:
    """A new admin as the caller of a request."""
    client = register("Root")
    set_role(db, client.client_id, "admin")
    return now(db, client.client_id)


def log_in(email: str = EMAIL, password: str = PASSWORD) -> Tokens:
    """The tokens of a new session."""
    return starts.log_in(email, password)


def is_alive(tokens: Tokens) -> bool:
    """Whether the refresh token still works; the question uses it up."""
    try:
        rotation.refresh(tokens.refresh_token)
    except InvalidRefreshToken:
        return False
    return True


def change(caller: Caller, ref: ClientRef = "me", /, **changes: str) -> Client:
    """The client after these changes."""
    return profile_changes.update(caller, ref, ClientChanges(**changes))


def now(db: psycopg.Connection, client_id: UUID) -> Caller:
    """The client as a log-in at this moment would make them the caller of a request."""
    row = db.execute(
        "SELECT role, token_generation FROM clients WHERE client_id = %s", [client_id]
    ).fetchone()
    assert row
    role, generation = row
    return Caller(client_id, role, token_generation=generation, authenticated_at=int(time.time()))


def set_role(db: psycopg.Connection, client_id: UUID, role: str) -> None:
    """Give the client another role."""
    db.execute("UPDATE clients SET role = %s WHERE client_id = %s", [role, client_id])


def insert(db: psycopg.Connection, count: int) -> None:
    """Many clients at once, who cannot log in, registered at the same moment."""
    db.execute(
        "INSERT INTO clients (name, email, email_key, password_hash) "
        "SELECT 'Many', 'many' || n, 'many' || n, '-' FROM generate_series(1, %s) AS n",
        [count],
    )


def ask(function: str, caller: Caller, **changes: Any) -> Answer:
    """What the function answers to its sample event, with these parts changed, when this client sends it."""
    return call(function, authorization=f"Bearer {access_tokens.issue(caller)}", **changes)
