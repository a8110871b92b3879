"""Changes of a client: who may make them, what they end, and what comes in between."""

from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import psycopg
import pytest

from shared.accounts import passwords, profile_changes, profiles
from shared.accounts.access_tokens import Caller
from shared.accounts.models import ClientChanges
from shared.errors import (
    Forbidden,
    InvalidCredentials,
    InvalidInput,
    InvalidToken,
    LogInTooLongAgo,
    TooManyAttempts,
    WrongPassword,
)
from shared.formats import json_text
from shared.formats.etags import Preconditions, etag_of
from shared.formats.json_text import Rendered, dumps
from tests.integration import accounts, concurrency
from tests.integration.accounts import EMAIL, NEW_PASSWORD, PASSWORD, change, is_alive, log_in


@pytest.mark.parametrize("changes", [{}, {"name": "Ana"}, {"name": "Ana", "email": EMAIL}])
def test_values_that_are_there_already_change_nothing(ana: Caller, changes: dict[str, str]) -> None:
    before = profiles.get(ana, "me")
    assert change(ana, **changes) == before


def test_new_email_replaces_the_old_one_at_the_log_in(ana: Caller) -> None:
    change(ana, email="Maria@example.com", current_password=PASSWORD)
    assert log_in("maria@EXAMPLE.com")
    with pytest.raises(InvalidCredentials):
        log_in()


def test_another_spelling_of_the_own_email_is_not_taken(ana: Caller) -> None:
    assert change(ana, email="ANA@example.com", current_password=PASSWORD).email == "ANA@example.com"


def test_new_password_ends_the_clients_own_sessions_and_a_new_name_none(ana: Caller) -> None:
    accounts.register(email="ben@example.com")
    phone, laptop, bens = log_in(), log_in(), log_in("ben@example.com")
    change(ana, name="Maria")
    assert is_alive(log_in())
    change(ana, password=NEW_PASSWORD, current_password=PASSWORD)
    assert [is_alive(tokens) for tokens in (phone, laptop, bens)] == [False, False, True]
    assert log_in(password=NEW_PASSWORD)
    with pytest.raises(InvalidCredentials):
        log_in()


# ── Who may ───────────────────────────────────────────────────────────────────────────────────────────────

SENSITIVE = [{"email": "eve@example.com"}, {"password": NEW_PASSWORD}]


@pytest.mark.parametrize("changes", SENSITIVE)
def test_stolen_access_token_changes_neither_email_nor_password(ana: Caller, changes: dict[str, str]) -> None:
    before = profiles.get(ana, "me")
    with pytest.raises(InvalidInput) as refused:
        change(ana, **changes)
    assert (refused.value.location, refused.value.kind) == ("body.current_password", "missing")
    with pytest.raises(WrongPassword):
        change(ana, current_password="a guess", **changes)
    assert profiles.get(ana, "me") == before
    assert change(ana, current_password=PASSWORD, **changes)


@pytest.mark.parametrize("changes", SENSITIVE)
def test_admin_needs_a_recent_log_in_but_no_password_for_changes_of_others(
    ana: Caller, db: psycopg.Connection, changes: dict[str, str]
) -> None:
    admin = accounts.new_admin(db)
    long_ago = replace(admin, authenticated_at=admin.authenticated_at - 301)
    with pytest.raises(LogInTooLongAgo):
        change(long_ago, ana.client_id, **changes)
    assert change(long_ago, ana.client_id, name="Eva")
    assert change(admin, ana.client_id, **changes)
    with pytest.raises(InvalidInput):
        change(admin, admin.client_id, **changes)


@pytest.mark.usefixtures("environment")
def test_admin_cannot_set_another_admins_password(db: psycopg.Connection) -> None:
    admin, other = accounts.new_admin(db), accounts.new_admin(db)
    with pytest.raises(Forbidden):
        change(admin, other.client_id, password=NEW_PASSWORD)


# ── At once ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("connection_per_thread")
def test_of_two_clients_who_want_one_email_at_once_one_gets_it(ana: Caller) -> None:
    wanted = {"email": "wanted@example.com", "current_password": PASSWORD}
    both = [partial(change, caller, **wanted) for caller in (ana, accounts.new_caller())]
    outcomes = concurrency.at_once(both)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Client", "EmailTaken"]


@pytest.mark.usefixtures("connection_per_thread")
def test_of_two_conditional_changes_at_once_one_is_refused(ana: Caller) -> None:
    condition = Preconditions(if_match=etag_of(dumps(profiles.get(ana, "me"))))
    changes = [ClientChanges(name=name) for name in ("Maria", "Clara")]
    outcomes = concurrency.at_once(
        [partial(profile_changes.update, ana, "me", each, condition) for each in changes]
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ChangedMeanwhile", "Client"]


def test_row_is_not_locked_while_the_password_is_verified(
    ana: Caller, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = passwords.is_password

    def is_password(password: str, password_hash: str | None) -> bool:
        db.execute("SELECT FROM clients FOR UPDATE NOWAIT")
        return real(password, password_hash)

    monkeypatch.setattr(passwords, "is_password", is_password)
    assert change(ana, email="anna@example.com", current_password=PASSWORD).email == "anna@example.com"


@pytest.mark.parametrize(
    ("renewals", "refusal"),
    [([PASSWORD], None), ([PASSWORD] * 2, WrongPassword), (["somebody else's password"], WrongPassword)],
)
def test_hash_that_changes_while_the_new_one_is_made_is_verified_once_more(
    ana: Caller,
    db: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    renewals: list[str],
    refusal: type[WrongPassword] | None,
) -> None:
    real = passwords.hash_password
    others = [real(password) for password in renewals]

    def hash_password(password: str) -> str:
        if others:
            db.execute("UPDATE clients SET password_hash = %s", [others.pop()])
        return real(password)

    monkeypatch.setattr(passwords, "hash_password", hash_password)
    with pytest.raises(refusal) if refusal else nullcontext():
        change(ana, password=NEW_PASSWORD, current_password=PASSWORD)
    assert log_in(password=renewals[0] if refusal else NEW_PASSWORD)


# ── What it costs ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("reason", ["a wrong password", "a revoked token", "too many guesses"])
def test_new_password_of_a_refused_change_is_not_hashed(
    ana: Caller, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    hashed: list[str] = []
    monkeypatch.setattr(passwords, "hash_password", hashed.append)
    if reason == "a revoked token":
        db.execute("UPDATE clients SET token_generation = 1")
    for _ in range(6 if reason == "too many guesses" else 1):
        with pytest.raises((WrongPassword, InvalidToken, TooManyAttempts)):
            change(ana, password=NEW_PASSWORD, current_password="a guess")
    assert hashed == []


def test_change_of_the_name_is_one_transaction_of_two_statements(ana: Caller) -> None:
    with concurrency.statements() as sent:
        change(ana, name="Maria")
    assert [text.split()[0] for text in sent] == ["BEGIN", "SELECT", "UPDATE", "COMMIT"]


@pytest.mark.parametrize(
    ("function", "changes"), [("get_client", {}), ("update_client", {"body": {"name": "Eva"}})]
)
def test_client_is_rendered_once_for_body_and_etag(
    ana: Caller, monkeypatch: pytest.MonkeyPatch, function: str, changes: dict[str, object]
) -> None:
    rendered: list[object] = []

    def counting(value: object) -> str:
        if not isinstance(value, Rendered):
            rendered.append(value)
        return dumps(value)

    monkeypatch.setattr(json_text, "dumps", counting)
    answer = accounts.ask(function, ana, **changes)
    assert (answer.status, answer.headers["ETag"]) == (200, etag_of(answer.body))
    assert len(rendered) == 1
