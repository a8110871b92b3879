"""The end of an account: what goes with it, a stolen token, and the last admin."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import psycopg
import pytest

from shared.accounts import access_tokens, profile_changes, profiles, removal
from shared.accounts.access_tokens import Caller
from shared.accounts.models import ClientChanges
from shared.accounts.sessions import everywhere, rotation, starts
from shared.errors import (
    Forbidden,
    InvalidCredentials,
    InvalidInput,
    InvalidRefreshToken,
    InvalidToken,
    LastAdmin,
    LogInTooLongAgo,
    WrongPassword,
)
from shared.favorites import items
from shared.platform import database
from tests.integration import accounts, concurrency
from tests.integration.accounts import PASSWORD
from tests.integration.clients.test_clients import NEW_PASSWORD, change

pytestmark = pytest.mark.usefixtures("environment")


@pytest.mark.parametrize("by", ["self", "admin"])
@pytest.mark.usefixtures("catalog")
def test_favorites_and_tokens_go_with_a_removed_client(db: psycopg.Connection, by: str) -> None:
    ana, ben = accounts.register(email="ana@example.com"), accounts.register(email="ben@example.com")
    for client in (ana, ben):
        items.add(accounts.caller(client), "1")
    of_ana = starts.log_in("ana@example.com", PASSWORD)
    of_ben = starts.log_in("ben@example.com", PASSWORD)
    if by == "self":
        removal.remove(accounts.caller(ana), "me")
    else:
        removal.remove(accounts.new_admin(db), ana.client_id)
    assert db.execute("SELECT client_id FROM favorites").fetchall() == [(ben.client_id,)]
    assert db.execute("SELECT client_id FROM sessions").fetchall() == [(ben.client_id,)]
    with pytest.raises(InvalidRefreshToken):
        rotation.refresh(of_ana.refresh_token)
    with pytest.raises(InvalidCredentials):
        starts.log_in("ana@example.com", PASSWORD)
    assert rotation.refresh(of_ben.refresh_token)
    assert accounts.register(email="ana@example.com").client_id != ana.client_id  # it is free again


@pytest.mark.usefixtures("connection_per_thread")
def test_a_client_is_removed_once_when_two_try_at_once(db: psycopg.Connection) -> None:
    ana = accounts.caller(accounts.register())
    outcomes = concurrency.at_once([partial(removal.remove, ana, "me")] * 4)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == [*["InvalidToken"] * 3, "NoneType"]
    assert db.execute("SELECT count(*) FROM clients").fetchone() == (0,)


# ── A stolen access token, and the last admin ─────────────────────────────────────────────────────────────


def test_logging_out_everywhere_ends_every_session_of_this_client_only(db: psycopg.Connection) -> None:
    ana = accounts.register(email="ana@example.com")
    accounts.register(email="ben@example.com")
    phone, laptop = (starts.log_in("ana@example.com", PASSWORD) for _ in range(2))
    bens = starts.log_in("ben@example.com", PASSWORD)
    everywhere.log_out(accounts.now(db, ana.client_id), "me")
    for tokens in (phone, laptop):
        with pytest.raises(InvalidRefreshToken):
            rotation.refresh(tokens.refresh_token)
    assert rotation.refresh(bens.refresh_token)
    assert starts.log_in("ana@example.com", PASSWORD)


@pytest.mark.parametrize("changes", [{"email": "eve@example.com"}, {"password": NEW_PASSWORD}])
def test_a_stolen_access_token_changes_neither_e_mail_nor_password(changes: dict[str, str]) -> None:
    ana = accounts.register(email="ana@example.com")
    with pytest.raises(InvalidInput) as refused:
        change(ana, **changes)
    assert (refused.value.location, refused.value.kind) == ("body.current_password", "missing")
    with pytest.raises(WrongPassword):
        change(ana, current_password="a guess", **changes)
    assert profiles.get(accounts.caller(ana), "me") == ana
    assert change(ana, current_password=PASSWORD, **changes)


@pytest.mark.parametrize("changes", [{"email": "anna@example.com"}, {"password": NEW_PASSWORD}])
def test_an_admin_needs_no_current_password_for_others(
    db: psycopg.Connection, changes: dict[str, str]
) -> None:
    ana = accounts.register()
    admin = accounts.new_admin(db)
    assert profile_changes.update(admin, ana.client_id, ClientChanges(**changes))
    with pytest.raises(InvalidInput):
        profile_changes.update(admin, admin.client_id, ClientChanges(**changes))


def test_removing_the_own_account_takes_a_log_in_of_the_last_five_minutes(db: psycopg.Connection) -> None:
    ana = accounts.register(email="ana@example.com")
    tokens = starts.log_in("ana@example.com", PASSWORD)
    db.execute("UPDATE sessions SET logged_in_at = logged_in_at - interval '301 seconds'")
    later = access_tokens.verify(rotation.refresh(tokens.refresh_token).access_token)
    with pytest.raises(LogInTooLongAgo) as refused:
        removal.remove(later, "me")
    assert refused.value.max_age == 300
    assert profiles.get(later, "me") == ana
    removal.remove(access_tokens.verify(starts.log_in("ana@example.com", PASSWORD).access_token), "me")


@pytest.mark.parametrize("what", ["email", "password", "existence"])
def test_an_admin_needs_a_recent_log_in_for_what_a_thief_would_do_to_others(
    db: psycopg.Connection, what: str
) -> None:
    ana, admin = accounts.register(), accounts.new_admin(db)
    changes = {"email": "eva@example.com", "password": "another fine password"}

    def do(caller: Caller) -> None:
        if what == "existence":
            removal.remove(caller, ana.client_id)
        else:
            change = ClientChanges.model_validate({what: changes[what]})
            profile_changes.update(caller, ana.client_id, change)

    long_ago = replace(admin, authenticated_at=admin.authenticated_at - 301)
    with pytest.raises(LogInTooLongAgo):
        do(long_ago)
    assert profile_changes.update(long_ago, ana.client_id, ClientChanges(name="Eva"))
    do(admin)


def test_no_admin_sets_another_admins_password(db: psycopg.Connection) -> None:
    admin, other = accounts.new_admin(db), accounts.new_admin(db)
    with pytest.raises(Forbidden):
        profile_changes.update(admin, other.client_id, ClientChanges(password="another fine password"))


def test_the_last_admin_cannot_remove_itself(db: psycopg.Connection) -> None:
    admin = accounts.new_admin(db)
    accounts.register()
    with pytest.raises(LastAdmin):
        removal.remove(admin, "me")
    other = accounts.new_admin(db)
    removal.remove(admin, "me")
    with pytest.raises(LastAdmin):
        removal.remove(other, "me")
    assert profiles.get(other, "me").role == "admin"


def test_a_token_that_ends_while_its_client_is_removed_removes_nobody(
    db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts.new_admin(db)
    admin = accounts.new_admin(db)
    keep = removal._keep_an_admin

    def ended(current: database.Connection, client_id: uuid.UUID) -> None:
        db.execute("UPDATE clients SET token_generation = token_generation + 1")
        keep(current, client_id)

    monkeypatch.setattr(removal, "_keep_an_admin", ended)
    with pytest.raises(InvalidToken):
        removal.remove(admin, "me")
    assert profiles.get(accounts.now(db, admin.client_id), "me")


def test_who_becomes_the_last_admin_while_being_removed_stays(db: psycopg.Connection) -> None:
    admin, ben = accounts.new_admin(db), accounts.register("Ben")
    with ThreadPoolExecutor(1) as pool:
        with db.transaction():
            accounts.set_role(db, ben.client_id, "admin")
            accounts.set_role(db, admin.client_id, "client")
            removing = pool.submit(removal.remove, admin, ben.client_id)
            # The right to remove is asked for first, and its answer does not wait for the row.
            concurrency.wait_for_a_lock(db)
        assert isinstance(removing.exception(), LastAdmin)
    assert profiles.get(accounts.now(db, ben.client_id), "me").role == "admin"


@pytest.mark.usefixtures("connection_per_thread")
def test_of_admins_who_remove_each_other_at_once_one_stays(db: psycopg.Connection) -> None:
    for _ in range(5):
        db.execute("DELETE FROM clients")
        admins = [accounts.new_admin(db) for _ in range(4)]
        circle = zip(admins, [*admins[1:], admins[0]], strict=True)
        outcomes = concurrency.at_once(
            [partial(removal.remove, admin, other.client_id) for admin, other in circle]
        )
        left = db.execute("SELECT count(*) FROM clients WHERE role = 'admin'").fetchone()
        assert left == (sum(outcome is not None for outcome in outcomes),)
        assert left >= (1,)
        refused = [outcome for outcome in outcomes if outcome is not None]
        assert all(isinstance(outcome, LastAdmin | InvalidToken) for outcome in refused), refused
