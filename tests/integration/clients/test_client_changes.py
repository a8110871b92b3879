"""Changes of a client: the name, the e-mail and the password, and what comes in between."""

from functools import partial

import psycopg
import pytest

from shared.accounts import passwords, profile_changes, profiles
from shared.accounts.access_tokens import Caller
from shared.accounts.models import Client, ClientChanges
from shared.accounts.sessions import rotation, starts
from shared.errors import (
    EmailTaken,
    InvalidCredentials,
    InvalidRefreshToken,
    InvalidToken,
    TooManyAttempts,
    WrongPassword,
)
from shared.formats import json_text
from shared.formats.etags import Preconditions, etag_of
from shared.formats.json_text import Rendered, dumps
from tests.integration import accounts, concurrency
from tests.integration.accounts import PASSWORD

pytestmark = pytest.mark.usefixtures("environment")

NEW_PASSWORD = "another fine password"


def change(who: Client | Caller, if_match: str | None = None, **changes: str) -> Client:
    caller = accounts.caller(who) if isinstance(who, Client) else who
    return profile_changes.update(caller, "me", ClientChanges(**changes), Preconditions(if_match))


@pytest.mark.parametrize("changes", [{}, {"name": "Ana"}, {"name": "Ana", "email": "ana@example.com"}])
def test_a_change_to_what_is_there_already_changes_nothing(changes: dict[str, str]) -> None:
    ana = accounts.register("Ana", "ana@example.com")
    assert change(ana, **changes) == ana


def test_the_new_e_mail_is_the_one_to_log_in_with() -> None:
    ana = accounts.register(email="ana@example.com")
    change(ana, email="Maria@example.com", current_password=PASSWORD)
    assert starts.log_in("maria@EXAMPLE.com", PASSWORD)
    with pytest.raises(InvalidCredentials):
        starts.log_in("ana@example.com", PASSWORD)


def test_another_spelling_of_the_own_e_mail_is_not_taken() -> None:
    ana = accounts.register(email="ana@example.com")
    assert change(ana, email="ANA@example.com", current_password=PASSWORD).email == "ANA@example.com"


def test_another_clients_e_mail_is_taken_and_nothing_of_the_change_is_kept() -> None:
    accounts.register(email="ben@example.com")
    ana = accounts.register("Ana", "ana@example.com")
    tokens = starts.log_in("ana@example.com", PASSWORD)
    with pytest.raises(EmailTaken):
        change(ana, name="B", email="BEN@example.com", password=NEW_PASSWORD, current_password=PASSWORD)
    assert profiles.get(accounts.caller(ana), "me") == ana
    assert rotation.refresh(tokens.refresh_token)


@pytest.mark.usefixtures("connection_per_thread")
def test_two_clients_who_want_one_e_mail_at_once_do_not_both_get_it() -> None:
    both = [accounts.register(), accounts.register()]
    wanted = {"email": "wanted@example.com", "current_password": PASSWORD}
    outcomes = concurrency.at_once([partial(change, client, **wanted) for client in both])
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Client", "EmailTaken"]


def etag(client: Client) -> str:
    return etag_of(dumps(client))


@pytest.mark.usefixtures("connection_per_thread")
def test_of_two_changes_at_once_to_what_both_saw_one_is_refused() -> None:
    ana = accounts.register("Ana")
    outcomes = concurrency.at_once(
        [partial(change, ana, if_match=etag(ana), name=name) for name in ("Maria", "Clara")]
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ChangedMeanwhile", "Client"]


@pytest.mark.parametrize("function", ["get_client", "update_client"])
def test_a_client_is_rendered_once_for_body_and_etag(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ana = accounts.register()
    rendered: list[object] = []
    real = json_text.dumps

    def dumps(value: object) -> str:
        if not isinstance(value, Rendered):
            rendered.append(value)
        return real(value)

    monkeypatch.setattr(json_text, "dumps", dumps)
    body = {"body": {"name": "Maria"}} if function == "update_client" else {}
    answer = accounts.ask(function, accounts.caller(ana), **body)
    assert (answer.status, answer.headers["ETag"]) == (200, etag_of(answer.body))
    assert len(rendered) == 1


def test_a_new_password_ends_all_of_the_clients_sessions_and_nobody_elses() -> None:
    ana = accounts.register(email="ana@example.com")
    accounts.register(email="ben@example.com")
    of_ana = [starts.log_in("ana@example.com", PASSWORD) for _ in range(2)]
    of_ben = starts.log_in("ben@example.com", PASSWORD)
    change(ana, password=NEW_PASSWORD, current_password=PASSWORD)
    for tokens in of_ana:
        with pytest.raises(InvalidRefreshToken):
            rotation.refresh(tokens.refresh_token)
    assert rotation.refresh(of_ben.refresh_token)
    assert starts.log_in("ana@example.com", NEW_PASSWORD)
    with pytest.raises(InvalidCredentials):
        starts.log_in("ana@example.com", PASSWORD)


def test_a_change_of_the_name_ends_no_session() -> None:
    ana = accounts.register(email="ana@example.com")
    tokens = starts.log_in("ana@example.com", PASSWORD)
    change(ana, name="Maria")
    assert rotation.refresh(tokens.refresh_token)


def test_a_log_in_that_saw_the_old_password_gets_no_session_after_the_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ana = accounts.register(email="ana@example.com")
    real = passwords.is_password
    changed: list[bool] = []

    def is_password(password: str, password_hash: str | None) -> bool:
        answer = real(password, password_hash)
        if not changed:  # the change comes just after the log-in has seen that the old password is right
            changed.append(True)
            change(ana, password=NEW_PASSWORD, current_password=PASSWORD)
        return answer

    monkeypatch.setattr(passwords, "is_password", is_password)
    with pytest.raises(InvalidCredentials):
        starts.log_in("ana@example.com", PASSWORD)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that were hashed from now on."""
    seen: list[str] = []
    real = passwords.hash_password

    def hash_password(password: str) -> str:
        seen.append(password)
        return real(password)

    monkeypatch.setattr(passwords, "hash_password", hash_password)
    return seen


def test_nobody_waits_for_a_client_whose_password_is_being_looked_at(
    db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = accounts.register()
    real = passwords.is_password

    def is_password(password: str, password_hash: str | None) -> bool:
        db.execute("SELECT FROM clients FOR UPDATE NOWAIT")
        return real(password, password_hash)

    monkeypatch.setattr(passwords, "is_password", is_password)
    assert change(ana, email="anna@example.com", current_password=PASSWORD).email == "anna@example.com"


@pytest.mark.parametrize("what", ["a wrong password", "a token that no longer counts", "too many guesses"])
def test_a_new_password_is_not_hashed_for(db: psycopg.Connection, hashed: list[str], what: str) -> None:
    ana = accounts.register()
    guess = partial(change, ana, password=NEW_PASSWORD, current_password="a guess")
    if what == "a token that no longer counts":
        db.execute("UPDATE clients SET token_generation = 1")
    for _ in range(6 if what == "too many guesses" else 1):
        with pytest.raises((WrongPassword, InvalidToken, TooManyAttempts)):
            guess()
    assert hashed == [PASSWORD]  # at the registration


@pytest.mark.parametrize("renewed", [PASSWORD, "somebody else's password"])
def test_a_hash_that_changes_while_the_new_password_is_hashed_is_confirmed_again(
    db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, renewed: str
) -> None:
    ana = accounts.register(email="ana@example.com")
    real = passwords.hash_password
    others = [real(renewed)]

    def hash_password(password: str) -> str:
        if others:
            db.execute("UPDATE clients SET password_hash = %s", [others.pop()])
        return real(password)

    monkeypatch.setattr(passwords, "hash_password", hash_password)
    changing = partial(change, ana, password=NEW_PASSWORD, current_password=PASSWORD)
    if renewed == PASSWORD:  # a log-in made a hash of today's parameters
        changing()
        assert starts.log_in("ana@example.com", NEW_PASSWORD)
    else:
        with pytest.raises(WrongPassword):
            changing()
        assert starts.log_in("ana@example.com", renewed)


def test_a_hash_that_changes_each_time_is_given_up(
    db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = accounts.register()
    real = passwords.hash_password

    def hash_password(password: str) -> str:
        db.execute("UPDATE clients SET password_hash = %s", [real(PASSWORD)])
        return real(password)

    monkeypatch.setattr(passwords, "hash_password", hash_password)
    with pytest.raises(WrongPassword):
        change(ana, password=NEW_PASSWORD, current_password=PASSWORD)


def test_a_change_of_the_name_is_one_transaction_of_two_statements() -> None:
    ana = accounts.register()
    with concurrency.statements() as sent:
        change(ana, name="Maria")
    assert [text.split()[0] for text in sent] == ["BEGIN", "SELECT", "UPDATE", "COMMIT"]
