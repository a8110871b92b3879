"""Logging in and out: what a password is compared with, what is stored, and what comes in between."""

import time
import unicodedata
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import psycopg
import pytest
from argon2 import PasswordHasher

from shared.accounts import access_tokens, passwords, profiles, removal
from shared.accounts.access_tokens import Caller
from shared.accounts.models import Tokens
from shared.accounts.sessions import ends, rotation
from shared.errors import DatabaseUnavailable, InvalidCredentials, InvalidToken
from shared.platform import database
from tests.integration import accounts, concurrency
from tests.integration.accounts import EMAIL, NEW_PASSWORD, PASSWORD, change, is_alive, log_in

pytestmark = pytest.mark.usefixtures("environment")

OLD_HASH = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(PASSWORD)
TODAYS_PARAMETERS = "$argon2id$v=19$m=19456,t=2,p=1"


# ── Logging in ────────────────────────────────────────────────────────────────────────────────────────────


def test_access_tokens_name_the_client_the_role_of_now_and_the_time_of_the_log_in(
    ana: Caller, db: psycopg.Connection
) -> None:
    tokens = log_in()
    first = access_tokens.verify(tokens.access_token)
    assert (first.client_id, first.role) == (ana.client_id, "client")
    assert first.authenticated_at == pytest.approx(time.time(), abs=5)
    db.execute("UPDATE sessions SET logged_in_at = logged_in_at - interval '1 day'")
    accounts.set_role(db, ana.client_id, "admin")
    refreshed = access_tokens.verify(rotation.refresh(tokens.refresh_token).access_token)
    assert (refreshed.role, refreshed.authenticated_at) == ("admin", first.authenticated_at - 86_400)
    assert access_tokens.verify(log_in().access_token).is_admin


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The Argon2 hashes that were verified against."""
    hashes: list[str] = []
    real = PasswordHasher.verify

    def verify(self: PasswordHasher, hash: str, password: str) -> bool:  # noqa: A002 — argon2's name
        hashes.append(hash)
        return real(self, hash, password)

    monkeypatch.setattr(PasswordHasher, "verify", verify)
    return hashes


@pytest.mark.usefixtures("real_hashes")
def test_unknown_email_costs_the_same_work_as_a_wrong_password(ana: Caller, verified: list[str]) -> None:
    assert ana
    for email in (EMAIL, "nobody@example.com"):
        with pytest.raises(InvalidCredentials):
            log_in(email, "wrong")
    parameters = [password_hash.rsplit("$", 2)[0] for password_hash in verified]
    assert parameters == [TODAYS_PARAMETERS] * 2
    assert [len(password_hash) for password_hash in verified] == [len(verified[0])] * 2


def test_password_of_the_hash_for_unknown_emails_lets_no_client_in(
    verified: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = passwords.hash_password("nobody's password")
    monkeypatch.setattr(passwords, "_DUMMY_HASH", known)
    with pytest.raises(InvalidCredentials):
        log_in("nobody@example.com", "nobody's password")
    assert verified == [known]


@pytest.mark.usefixtures("real_hashes")
def test_log_in_renews_a_hash_of_other_parameters_and_keeps_one_of_todays(db: psycopg.Connection) -> None:
    def held() -> str:
        (password_hash,) = db.execute("SELECT password_hash FROM clients").fetchone() or ("",)
        return str(password_hash)

    accounts.register(email=EMAIL)
    db.execute("UPDATE clients SET password_hash = %s", [OLD_HASH])
    log_in()
    renewed = held()
    assert renewed.startswith(TODAYS_PARAMETERS)
    log_in()
    assert held() == renewed


@pytest.mark.usefixtures("real_hashes")
def test_password_may_be_typed_in_another_normal_form_and_an_old_raw_hash_is_renewed(
    db: psycopg.Connection,
) -> None:
    composed, decomposed = (unicodedata.normalize(form, "senhaforteção é") for form in ("NFC", "NFD"))
    accounts.register(email=EMAIL, password=decomposed)
    for typed in (composed, decomposed):
        assert log_in(password=typed)
    db.execute("UPDATE clients SET password_hash = %s", [PasswordHasher(2, 19 * 1024, 1).hash(decomposed)])
    for typed in (decomposed, composed, decomposed):  # the first as it was hashed before 1.1
        assert log_in(password=typed)


@pytest.mark.parametrize(
    ("renewals", "works"), [([PASSWORD], True), ([PASSWORD] * 2, False), ([NEW_PASSWORD], False)]
)
@pytest.mark.usefixtures("ana")
def test_hash_that_changes_while_it_is_renewed_is_verified_once_more(
    db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, renewals: list[str], works: bool
) -> None:
    db.execute("UPDATE clients SET password_hash = %s", [OLD_HASH])
    others = [passwords.hash_password(password) for password in renewals]
    needs_rehash = passwords.needs_rehash

    def renewed_by_another(password_hash: str, password: str) -> bool:
        if others:
            db.execute("UPDATE clients SET password_hash = %s", [others.pop()])
        return needs_rehash(password_hash, password)

    monkeypatch.setattr(passwords, "needs_rehash", renewed_by_another)
    with nullcontext() if works else pytest.raises(InvalidCredentials):
        log_in()
    assert log_in(password=renewals[0])


CHANGES_DURING_THE_LOG_IN: dict[str, Callable[[Caller], object]] = {
    "removal": lambda ana: removal.remove(ana, "me"),
    "another e-mail": lambda ana: change(ana, email="other@example.com", current_password=PASSWORD),
    "another password": lambda ana: change(ana, password=NEW_PASSWORD, current_password=PASSWORD),
}


@pytest.mark.parametrize("what", CHANGES_DURING_THE_LOG_IN)
def test_client_who_changes_after_the_password_was_verified_is_refused(
    ana: Caller, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    real = passwords.is_password
    changes = [CHANGES_DURING_THE_LOG_IN[what]]

    def is_password(password: str, password_hash: str | None) -> bool:
        answer = real(password, password_hash)
        if changes:
            changes.pop()(ana)
        return answer

    monkeypatch.setattr(passwords, "is_password", is_password)
    with pytest.raises(InvalidCredentials):
        log_in()
    assert not database.connection().broken


@pytest.mark.usefixtures("ana")
def test_refresh_tokens_are_random_and_only_their_hashes_are_stored(db: psycopg.Connection) -> None:
    first, second = log_in().refresh_token, log_in().refresh_token
    ends.log_out(second)
    tokens = [first, rotation.refresh(first).refresh_token]
    assert len({token[22:] for token in (*tokens, second)}) == 3
    assert all(len(token) == 22 + 43 for token in tokens)  # 16 and 32 bytes as base64url
    [(stored, *lengths)] = db.execute(
        "SELECT sessions::text, length(token_hash), length(previous_hash) FROM sessions"
    ).fetchall()
    assert lengths == [32, 32]
    for token in tokens:
        for part in (token, token[:22], token[22:]):
            assert part not in stored
            assert part.encode().hex() not in stored


# ── The end of a session ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("ana")
def test_log_out_whose_answer_is_lost_is_503_and_is_not_repeated(
    db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = log_in()
    revoke = ends.revoke
    tries: list[int] = []

    def revoked_and_lost(current: database.Connection, refresh_token: str) -> int:
        tries.append(revoke(current, refresh_token))
        db.execute("SELECT pg_terminate_backend(%s, 5000)", [current.info.backend_pid])
        current.execute("SELECT 1")
        return tries[-1]

    monkeypatch.setattr(ends, "revoke", revoked_and_lost)
    with pytest.raises(DatabaseUnavailable):
        ends.log_out(tokens.refresh_token)
    assert tries == [1]
    monkeypatch.setattr(ends, "revoke", revoke)
    assert not is_alive(tokens)


@pytest.mark.usefixtures("ana")
def test_log_out_with_a_used_token_ends_the_session_of_its_successor() -> None:
    first = log_in()
    second = rotation.refresh(first.refresh_token)
    ends.log_out(first.refresh_token)
    assert not is_alive(second)


@pytest.mark.parametrize("end", ["log out", "new password", "removal"])
@pytest.mark.usefixtures("connection_per_thread")
def test_session_that_ends_while_it_is_being_refreshed_is_over(db: psycopg.Connection, end: str) -> None:
    """Neither its refresh token nor its access token is good for anything, whoever came first."""
    ana = accounts.register(email=EMAIL)
    for _ in range(3):
        tokens = log_in()
        caller = accounts.now(db, ana.client_id)
        ways: dict[str, Callable[[], object]] = {
            "log out": partial(ends.log_out, tokens.refresh_token),
            "new password": partial(change, caller, password=PASSWORD, current_password=PASSWORD),
            "removal": partial(removal.remove, caller, "me"),
        }
        refreshing: Callable[[], object] = partial(rotation.refresh, tokens.refresh_token)
        refreshed, ended = concurrency.at_once([refreshing, ways[end]])
        assert not isinstance(ended, Exception)
        assert db.execute("SELECT count(*) FROM sessions").fetchone() == (0,)
        if isinstance(refreshed, Tokens):
            assert not is_alive(refreshed)
            if end != "log out":
                with pytest.raises(InvalidToken):
                    profiles.get(access_tokens.verify(refreshed.access_token), "me")
        if end == "removal":
            ana = accounts.register(email=EMAIL)
