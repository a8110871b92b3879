"""Removing a client: what goes with it, and that an admin stays whatever happens at once."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psycopg
import pytest

from shared.accounts import profiles, removal
from shared.accounts.access_tokens import Caller
from shared.errors import InvalidCredentials, InvalidToken, LastAdmin
from shared.favorites import items
from shared.platform import database
from tests.integration import accounts, concurrency
from tests.integration.accounts import EMAIL, is_alive, log_in

pytestmark = pytest.mark.usefixtures("environment")


@pytest.mark.parametrize("by", ["self", "admin"])
@pytest.mark.usefixtures("catalog")
def test_favorites_and_sessions_go_with_a_removed_client(
    ana: Caller, db: psycopg.Connection, by: str
) -> None:
    ben = accounts.caller(accounts.register(email="ben@example.com"))
    for caller in (ana, ben):
        items.add(caller, "1")
    of_ana, of_ben = log_in(), log_in("ben@example.com")
    removal.remove(ana if by == "self" else accounts.new_admin(db), ana.client_id)
    for table in ("favorites", "sessions"):
        assert db.execute(f"SELECT client_id FROM {table}").fetchall() == [(ben.client_id,)]  # noqa: S608
    assert (is_alive(of_ana), is_alive(of_ben)) == (False, True)
    with pytest.raises(InvalidCredentials):
        log_in()
    assert accounts.register(email=EMAIL).client_id != ana.client_id  # the e-mail is free again


@pytest.mark.usefixtures("connection_per_thread")
def test_client_is_removed_once_when_several_try_at_once(ana: Caller, db: psycopg.Connection) -> None:
    outcomes = concurrency.at_once([partial(removal.remove, ana, "me")] * 4)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == [*["InvalidToken"] * 3, "NoneType"]
    assert db.execute("SELECT count(*) FROM clients").fetchone() == (0,)


def test_token_that_is_revoked_during_the_removal_removes_no_client(
    db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts.new_admin(db)
    admin = accounts.new_admin(db)
    keep = removal._keep_an_admin

    def revoked(current: database.Connection, client_id: uuid.UUID) -> None:
        db.execute("UPDATE clients SET token_generation = token_generation + 1")
        keep(current, client_id)

    monkeypatch.setattr(removal, "_keep_an_admin", revoked)
    with pytest.raises(InvalidToken):
        removal.remove(admin, "me")
    assert profiles.get(accounts.now(db, admin.client_id), "me")


def test_client_who_becomes_the_last_admin_during_the_removal_stays(
    ana: Caller, db: psycopg.Connection
) -> None:
    admin = accounts.new_admin(db)
    with ThreadPoolExecutor(1) as pool:
        with db.transaction():
            accounts.set_role(db, ana.client_id, "admin")
            accounts.set_role(db, admin.client_id, "client")
            removing = pool.submit(removal.remove, admin, ana.client_id)
            # The right to remove is read first, and that does not wait for the row.
            concurrency.wait_for_a_lock(db)
        assert isinstance(removing.exception(), LastAdmin)
    assert profiles.get(accounts.now(db, ana.client_id), "me").role == "admin"


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
        assert all(isinstance(outcome, LastAdmin | InvalidToken | None) for outcome in outcomes), outcomes
