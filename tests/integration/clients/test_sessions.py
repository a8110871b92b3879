"""Sessions: tokens for a password, rotation that notices a copied token, and what the tables keep of it."""

import unicodedata
from collections.abc import Callable
from functools import partial

import psycopg
import pytest
from argon2 import PasswordHasher

from shared.accounts import access_tokens, passwords, profile_changes, profiles, removal
from shared.accounts.models import ClientChanges, Tokens
from shared.accounts.sessions import ends, rotation, starts
from shared.errors import DatabaseUnavailable, InvalidCredentials, InvalidRefreshToken, InvalidToken
from shared.platform import database
from tests.integration import accounts, concurrency
from tests.integration.accounts import PASSWORD

pytestmark = pytest.mark.usefixtures("environment")

EMAIL = "ana@example.com"
OLD_HASH = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(PASSWORD)


def log_in() -> Tokens:
    return starts.log_in(EMAIL, PASSWORD)


def is_alive(tokens: Tokens) -> bool:
    """Whether the refresh token still works; it is used up by the question."""
    try:
        rotation.refresh(tokens.refresh_token)
    except InvalidRefreshToken:
        return False
    return True


# ── Logging in ────────────────────────────────────────────────────────────────────────────────────────────


def test_the_access_token_names_the_client_and_the_role(db: psycopg.Connection) -> None:
    ana = accounts.register(email=EMAIL)
    caller = access_tokens.verify(log_in().access_token)
    assert (caller.client_id, caller.role) == (ana.client_id, "client")
    accounts.set_role(db, ana.client_id, "admin")
    assert access_tokens.verify(log_in().access_token).is_admin


@pytest.mark.parametrize("typed", ["ANA@example.com", " ana@example.com ", "ana@EXAMPLE.com"])
def test_the_e_mail_may_be_typed_in_whatever_case(typed: str) -> None:
    accounts.register(email=EMAIL)
    assert starts.log_in(typed, PASSWORD).expires_in == 900


@pytest.mark.parametrize(
    ("email", "password"),
    [
        (EMAIL, "wrong"),
        (EMAIL, PASSWORD.upper()),
        (EMAIL, PASSWORD + " "),
        ("nobody@example.com", PASSWORD),
        ("", PASSWORD),
        ("no e-mail at all", PASSWORD),
        (EMAIL + "\0", PASSWORD),
        ("' OR true; --", PASSWORD),
    ],
)
def test_a_wrong_e_mail_or_password_is_refused_with_the_same_words(email: str, password: str) -> None:
    accounts.register(email=EMAIL)
    with pytest.raises(InvalidCredentials) as refused:
        starts.log_in(email, password)
    assert refused.value.detail == "The e-mail or the password is wrong."


@pytest.mark.parametrize("password", [" surrounded by spaces ", "ein Paßwort", "nul \0 inside", "🦊" * 8])
def test_a_password_counts_to_the_letter(password: str) -> None:
    accounts.register(email=EMAIL, password=password)
    assert starts.log_in(EMAIL, password)
    with pytest.raises(InvalidCredentials):
        starts.log_in(EMAIL, password.strip() + "!")


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
def test_an_unknown_e_mail_costs_the_same_work_as_a_wrong_password(verified: list[str]) -> None:
    accounts.register(email=EMAIL)
    for email in (EMAIL, "nobody@example.com"):
        with pytest.raises(InvalidCredentials):
            starts.log_in(email, "wrong")
    parameters = [password_hash.rsplit("$", 2)[0] for password_hash in verified]
    assert parameters == ["$argon2id$v=19$m=19456,t=2,p=1"] * 2
    assert [len(password_hash) for password_hash in verified] == [len(verified[0])] * 2


def test_nobodys_password_lets_nobody_in(verified: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    known = passwords.hash_password("nobody's password")
    monkeypatch.setattr(passwords, "_NOBODYS_HASH", known)
    with pytest.raises(InvalidCredentials):
        starts.log_in("nobody@example.com", "nobody's password")
    assert verified == [known]


@pytest.mark.usefixtures("real_hashes")
def test_a_log_in_renews_a_hash_of_other_parameters(db: psycopg.Connection) -> None:
    accounts.register(email=EMAIL)
    db.execute("UPDATE clients SET password_hash = %s", [OLD_HASH])
    log_in()
    row = db.execute("SELECT password_hash FROM clients").fetchone()
    assert row
    assert row[0].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert log_in()


@pytest.mark.usefixtures("real_hashes")
def test_a_password_is_one_however_it_is_typed_and_an_old_raw_hash_is_renewed(db: psycopg.Connection) -> None:
    composed, decomposed = (unicodedata.normalize(form, "senhaforteção é") for form in ("NFC", "NFD"))
    accounts.register(email=EMAIL, password=decomposed)
    for typed in (composed, decomposed):
        assert starts.log_in(EMAIL, typed)
    db.execute("UPDATE clients SET password_hash = %s", [PasswordHasher(2, 19 * 1024, 1).hash(decomposed)])
    assert starts.log_in(EMAIL, decomposed)  # as it was hashed before 1.1
    for typed in (composed, decomposed):
        assert starts.log_in(EMAIL, typed)


@pytest.mark.parametrize("times", [1, 2])
def test_a_log_in_whose_hash_another_one_renews_first_looks_once_more(
    db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    accounts.register(email=EMAIL)
    db.execute("UPDATE clients SET password_hash = %s", [OLD_HASH])
    others = [passwords.hash_password(PASSWORD) for _ in range(times)]
    needs_rehash = passwords.needs_rehash

    def renewed_by_another(password_hash: str, password: str) -> bool:
        if others:
            db.execute("UPDATE clients SET password_hash = %s", [others.pop()])
        return needs_rehash(password_hash, password)

    monkeypatch.setattr(passwords, "needs_rehash", renewed_by_another)
    if times == 1:
        assert log_in()
    else:  # no right password does that
        with pytest.raises(InvalidCredentials):
            log_in()


def test_a_log_in_keeps_a_hash_of_todays_parameters(db: psycopg.Connection) -> None:
    accounts.register(email=EMAIL)
    before = db.execute("SELECT * FROM clients").fetchall()
    log_in()
    assert db.execute("SELECT * FROM clients").fetchall() == before


def test_a_hash_is_not_renewed_over_a_password_that_was_changed_meanwhile(
    db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts.register(email=EMAIL)
    newer = passwords.hash_password("another fine password")

    def needs_rehash(_hash: str, _password: str) -> bool:
        db.execute("UPDATE clients SET password_hash = %s", [newer])
        return True

    monkeypatch.setattr(passwords, "needs_rehash", needs_rehash)
    with pytest.raises(InvalidCredentials):
        log_in()
    assert db.execute("SELECT password_hash FROM clients").fetchall() == [(newer,)]


def test_only_hashes_of_refresh_tokens_are_stored(db: psycopg.Connection) -> None:
    accounts.register(email=EMAIL)
    first = log_in()
    second = rotation.refresh(first.refresh_token)
    stored = db.execute("SELECT sessions::text FROM sessions").fetchall()
    assert len(stored) == 1
    for token in (first.refresh_token, second.refresh_token):
        for part in (token, token[:22], token[22:]):
            assert part not in stored[0][0]
            assert part.encode().hex() not in stored[0][0]
    hashes = db.execute("SELECT length(token_hash), length(previous_hash) FROM sessions").fetchall()
    assert hashes == [(32, 32)]


def test_the_own_part_of_a_refresh_token_has_256_bits_and_is_never_the_same() -> None:
    accounts.register(email=EMAIL)
    tokens = [log_in().refresh_token for _ in range(3)]
    tokens += [rotation.refresh(token).refresh_token for token in tokens]
    assert len({token[22:] for token in tokens}) == 6
    assert all(len(token) == 22 + 43 for token in tokens)  # 16 and 32 bytes as base64url


# ── The end of a session ──────────────────────────────────────────────────────────────────────────────────


def test_a_session_that_was_logged_out_is_over_and_others_are_not() -> None:
    accounts.register(email=EMAIL)
    phone, laptop = log_in(), log_in()
    ends.log_out(phone.refresh_token)
    assert not is_alive(phone)
    assert is_alive(laptop)


def test_a_log_out_whose_answer_is_lost_is_a_503_and_not_a_token_that_nobody_knows(
    db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts.register(email=EMAIL)
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


def test_logging_out_with_a_used_token_ends_the_session_of_its_successor() -> None:
    accounts.register(email=EMAIL)
    first = log_in()
    second = rotation.refresh(first.refresh_token)
    ends.log_out(first.refresh_token)
    assert not is_alive(second)


@pytest.mark.parametrize("end", ["log out", "new password", "removal"])
@pytest.mark.usefixtures("connection_per_thread")
def test_a_session_that_ends_while_it_is_being_refreshed_is_over(db: psycopg.Connection, end: str) -> None:
    """Neither its refresh token nor its access token is good for anything, whoever came first."""
    ana = accounts.register(email=EMAIL)
    for _ in range(3):
        tokens = log_in()
        caller = accounts.now(db, ana.client_id)
        changes = ClientChanges(password=PASSWORD, current_password=PASSWORD)
        ways: dict[str, Callable[[], object]] = {
            "log out": partial(ends.log_out, tokens.refresh_token),
            "new password": partial(profile_changes.update, caller, "me", changes),
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


@pytest.mark.parametrize("what", ["removed", "given another e-mail"])
def test_a_client_who_is_changed_during_the_log_in_is_refused(
    monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    ana = accounts.caller(accounts.register(email=EMAIL))
    other = ClientChanges(email="other@example.com", current_password=PASSWORD)
    real = passwords.is_password
    changing: list[Callable[[], object]] = [
        partial(removal.remove, ana, "me")
        if what == "removed"
        else partial(profile_changes.update, ana, "me", other)
    ]

    def is_password(password: str, password_hash: str | None) -> bool:
        if changing:
            changing.pop()()
        return real(password, password_hash)

    monkeypatch.setattr(passwords, "is_password", is_password)
    with pytest.raises(InvalidCredentials):
        log_in()
    assert not database.connection().broken
