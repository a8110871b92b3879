"""Who may do what: every function that needs a caller, with every kind of credentials.

The rule is read from the paths: below /clients the client itself and admins are let in, elsewhere everybody
for themselves. `EXCEPTIONS` has the routes that differ.
"""

from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest

from shared.accounts.access_tokens import Caller
from tests.calls import NEEDING_A_CALLER, sample
from tests.integration import accounts

pytestmark = pytest.mark.usefixtures("catalog")

ADMINS_ONLY = {"admin"}
SELF_OR_ADMIN = {"self", "admin"}
ANOTHER = {"another client", "admin by the token alone"}  # the role that counts is that of the row
EVERYBODY = SELF_OR_ADMIN | ANOTHER

EXCEPTIONS = {"list_clients": ADMINS_ONLY}


def allowed(function: str) -> set[str]:
    """The kinds of credentials that the function lets in."""
    is_about_a_client = "client_id" in sample(function).get("pathParameters", {})
    return EXCEPTIONS.get(function, SELF_OR_ADMIN if is_about_a_client else EVERYBODY)


def _removed(db: psycopg.Connection, victim: Caller) -> Caller:
    db.execute("DELETE FROM clients WHERE client_id = %s", [victim.client_id])
    return victim


def _with_another_password(db: psycopg.Connection, victim: Caller) -> Caller:
    db.execute("UPDATE clients SET token_generation = token_generation + 1")
    return victim


def _former_admin(db: psycopg.Connection, _: Caller) -> Caller:
    admin = accounts.new_admin(db)
    accounts.set_role(db, admin.client_id, "client")
    return admin


KINDS: dict[str, Callable[[psycopg.Connection, Caller], Caller]] = {
    "self": lambda _, victim: victim,
    "another client": lambda _db, _victim: accounts.new_caller(),
    "admin": lambda db, _: accounts.new_admin(db),
    "removed client": _removed,
    "password changed meanwhile": _with_another_password,
    "role taken away": _former_admin,
    "admin by the token alone": lambda _db, _victim: replace(accounts.new_caller(), role="admin"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("function", NEEDING_A_CALLER)
def test_function_lets_in_those_whom_the_rule_names(
    db: psycopg.Connection, ana: Caller, function: str, kind: str
) -> None:
    parts = {}
    if "client_id" in sample(function).get("pathParameters", {}):
        parts["path"] = {"client_id": str(ana.client_id)}
    answer = accounts.ask(function, KINDS[kind](db, ana), **parts)
    if kind in allowed(function):
        assert answer.status not in (401, 403), answer.body
    elif kind in EVERYBODY:
        assert (answer.status, answer.problem) == (403, "forbidden")
        assert "WWW-Authenticate" not in answer.headers
    else:
        assert (answer.status, answer.problem) == (401, "invalid-token")
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
