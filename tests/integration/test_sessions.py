"""Sessions: tokens for a password, rotation that notices a copied token, and what the tables keep of it."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psycopg
import pytest
from argon2 import PasswordHasher

from shared.accounts import access_tokens, clients, passwords, sessions
from shared.accounts.models import ClientChanges, Tokens
from shared.errors import InvalidCredentials, InvalidRefreshToken
from shared.platform import database
from tests.integration import accounts, witness
from tests.integration.accounts import PASSWORD

pytestmark = pytest.mark.usefixtures("environment")

EMAIL = "ana@example.com"


def log_in() -> Tokens:
    return sessions.log_in(EMAIL, PASSWORD)


def is_alive(tokens: Tokens) -> bool:
    """Whether the refresh token still works; it is used up by the question."""
    try:
        sessions.refresh(tokens.refresh_token)
    except InvalidRefreshToken:
        return False
    return True


# ── Logging in ────────────────────────────────────────────────────────────────────────────────────────────


def test_the_access_token_names_the_client_and_the_role(look: psycopg.Connection) -> None:
    ana = accounts.register(email=EMAIL)
    assert access_tokens.verify(log_in().access_token) == accounts.caller(ana)
    accounts.set_role(look, ana.client_id, "admin")
    assert access_tokens.verify(log_in().access_token).is_admin


@pytest.mark.parametrize("typed", ["ANA@example.com", " ana@example.com ", "ana@EXAMPLE.com"])
def test_the_e_mail_may_be_typed_in_whatever_case(typed: str) -> None:
    accounts.register(email=EMAIL)
    assert sessions.log_in(typed, PASSWORD).expires_in == 900


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
        sessions.log_in(email, password)
    assert refused.value.detail == "The e-mail and password do not belong together."


@pytest.mark.parametrize("password", [" surrounded by spaces ", "ein Paßwort", "nul \0 inside", "🦊" * 8])
def test_a_password_counts_to_the_letter(password: str) -> None:
    accounts.register(email=EMAIL, password=password)
    assert sessions.log_in(EMAIL, password)
    with pytest.raises(InvalidCredentials):
        sessions.log_in(EMAIL, password.strip() + "!")


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


def test_an_unknown_e_mail_costs_the_same_work_as_a_wrong_password(verified: list[str]) -> None:
    accounts.register(email=EMAIL)
    for email in (EMAIL, "nobody@example.com"):
        with pytest.raises(InvalidCredentials):
            sessions.log_in(email, "wrong")
    parameters = [password_hash.rsplit("$", 2)[0] for password_hash in verified]
    assert parameters == ["$argon2id$v=19$m=19456,t=2,p=1"] * 2
    assert [len(password_hash) for password_hash in verified] == [len(verified[0])] * 2


def test_nobodys_password_lets_nobody_in(verified: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    known = passwords.hash_password("nobody's password")
    monkeypatch.setattr(passwords, "_NOBODYS_HASH", known)
    with pytest.raises(InvalidCredentials):
        sessions.log_in("nobody@example.com", "nobody's password")
    assert verified == [known]


def test_a_log_in_renews_a_hash_of_other_parameters(look: psycopg.Connection) -> None:
    accounts.register(email=EMAIL)
    old = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(PASSWORD)
    look.execute("UPDATE clients SET password_hash = %s", [old])
    log_in()
    row = look.execute("SELECT password_hash FROM clients").fetchone()
    assert row
    assert row[0].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert log_in()


def test_a_log_in_keeps_a_hash_of_todays_parameters(look: psycopg.Connection) -> None:
    accounts.register(email=EMAIL)
    before = look.execute("SELECT * FROM clients").fetchall()
    log_in()
    assert look.execute("SELECT * FROM clients").fetchall() == before


def test_a_hash_is_not_renewed_over_a_password_that_was_changed_meanwhile(
    look: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts.register(email=EMAIL)
    newer = passwords.hash_password("another fine password")

    def needs_rehash(_: str) -> bool:
        look.execute("UPDATE clients SET password_hash = %s", [newer])
        return True

    monkeypatch.setattr(passwords, "needs_rehash", needs_rehash)
    with pytest.raises(InvalidCredentials):
        log_in()
    assert look.execute("SELECT password_hash FROM clients").fetchall() == [(newer,)]


def test_only_hashes_of_refresh_tokens_are_stored(look: psycopg.Connection) -> None:
    accounts.register(email=EMAIL)
    first = log_in()
    second = sessions.refresh(first.refresh_token)
    stored = look.execute("SELECT refresh_tokens::text FROM refresh_tokens").fetchall()
    assert len(stored) == 2
    for token in (first.refresh_token, second.refresh_token):
        for (row,) in stored:
            assert token not in row
            assert token.encode().hex() not in row
    hashes = look.execute("SELECT length(token_hash) FROM refresh_tokens").fetchall()
    assert hashes == [(32,), (32,)]


def test_refresh_tokens_have_256_bits_and_are_never_the_same() -> None:
    accounts.register(email=EMAIL)
    tokens = {log_in().refresh_token for _ in range(5)}
    assert len(tokens) == 5
    assert all(len(token) == 43 for token in tokens)  # 32 bytes as base64url


# ── Rotation ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_refresh_token_is_exchanged_for_another_that_works() -> None:
    ana = accounts.register(email=EMAIL)
    first = log_in()
    second = sessions.refresh(first.refresh_token)
    third = sessions.refresh(second.refresh_token)
    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert access_tokens.verify(third.access_token) == accounts.caller(ana)


def test_a_refreshed_access_token_has_the_role_of_now(look: psycopg.Connection) -> None:
    ana = accounts.register(email=EMAIL)
    tokens = log_in()
    accounts.set_role(look, ana.client_id, "admin")
    assert access_tokens.verify(sessions.refresh(tokens.refresh_token).access_token).is_admin


@pytest.mark.parametrize("generations_back", [1, 2])
def test_a_token_that_comes_back_after_its_use_revokes_its_family(generations_back: int) -> None:
    accounts.register(email=EMAIL)
    family = [log_in()]
    for _ in range(generations_back):
        family.append(sessions.refresh(family[-1].refresh_token))
    with pytest.raises(InvalidRefreshToken):
        sessions.refresh(family[0].refresh_token)
    assert not is_alive(family[-1])


def test_other_families_live_on_when_one_is_revoked() -> None:
    accounts.register(email=EMAIL)
    phone, laptop = log_in(), log_in()
    sessions.refresh(phone.refresh_token)
    assert not is_alive(phone)
    assert is_alive(laptop)


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "é", "\0", "A" * 512])
def test_an_unknown_token_is_refused(token: str) -> None:
    accounts.register(email=EMAIL)
    tokens = log_in()
    with pytest.raises(InvalidRefreshToken):
        sessions.refresh(token)
    with pytest.raises(InvalidRefreshToken):
        sessions.log_out(token)
    assert is_alive(tokens)


def test_a_token_is_good_for_thirty_days(look: psycopg.Connection) -> None:
    accounts.register(email=EMAIL)
    log_in()
    row = look.execute("SELECT expires_at - now() FROM refresh_tokens").fetchone()
    assert row
    assert row[0].total_seconds() == pytest.approx(30 * 24 * 3600, abs=60)


def test_an_expired_token_is_refused(look: psycopg.Connection) -> None:
    accounts.register(email=EMAIL)
    tokens = log_in()
    look.execute("UPDATE refresh_tokens SET expires_at = now() - interval '1 second'")
    assert not is_alive(tokens)


def test_expired_tokens_do_not_pile_up(look: psycopg.Connection) -> None:
    accounts.register(email=EMAIL)
    for _ in range(3):
        log_in()
    look.execute("UPDATE refresh_tokens SET expires_at = now() - interval '1 second'")
    log_in()
    assert look.execute("SELECT count(*) FROM refresh_tokens").fetchone() == (1,)


@pytest.mark.usefixtures("connection_per_thread")
def test_of_many_refreshes_of_one_token_at_once_one_wins_and_the_family_is_revoked(
    look: psycopg.Connection,
) -> None:
    accounts.register(email=EMAIL)
    token = log_in().refresh_token
    outcomes = witness.at_once([partial(sessions.refresh, token)] * 12)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == [*["InvalidRefreshToken"] * 11, "Tokens"]
    [winner] = [outcome for outcome in outcomes if isinstance(outcome, Tokens)]
    assert not is_alive(winner)
    assert look.execute("SELECT count(*) FROM refresh_tokens").fetchone() == (0,)


# ── The end of a session ──────────────────────────────────────────────────────────────────────────────────


def test_a_session_that_was_logged_out_is_over_and_others_are_not() -> None:
    accounts.register(email=EMAIL)
    phone, laptop = log_in(), log_in()
    sessions.log_out(phone.refresh_token)
    assert not is_alive(phone)
    assert is_alive(laptop)


def test_logging_out_twice_is_refused() -> None:
    accounts.register(email=EMAIL)
    tokens = log_in()
    sessions.log_out(tokens.refresh_token)
    with pytest.raises(InvalidRefreshToken):
        sessions.log_out(tokens.refresh_token)


def test_logging_out_with_a_used_token_ends_the_session_of_its_successor() -> None:
    accounts.register(email=EMAIL)
    first = log_in()
    second = sessions.refresh(first.refresh_token)
    sessions.log_out(first.refresh_token)
    assert not is_alive(second)


@pytest.fixture
def paused_refresh(
    connection_per_thread: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[threading.Event, threading.Event]]:
    """A refresh stops when it has used up its token and not made the next: `reached`, until `go_on`."""
    assert connection_per_thread is None
    reached, go_on = threading.Event(), threading.Event()
    real = sessions._issue

    def issue(*arguments: object) -> Tokens:
        reached.set()
        assert go_on.wait(10)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(sessions, "_issue", issue)
    yield reached, go_on
    go_on.set()


@pytest.mark.parametrize("end", ["log out", "new password", "removal"])
def test_a_session_that_ends_while_it_is_being_refreshed_is_over(
    look: psycopg.Connection, paused_refresh: tuple[threading.Event, threading.Event], end: str
) -> None:
    reached, go_on = paused_refresh
    caller = accounts.caller(accounts.register(email=EMAIL))
    go_on.set()
    token = log_in().refresh_token
    go_on.clear()
    reached.clear()
    changes = ClientChanges(password="another fine password", current_password=PASSWORD)
    ends: dict[str, Callable[[], object]] = {
        "log out": partial(sessions.log_out, token),
        "new password": partial(clients.update, caller, "me", changes, if_match=None),
        "removal": partial(clients.remove, caller, "me"),
    }
    with ThreadPoolExecutor(2) as pool:
        refreshing = pool.submit(sessions.refresh, token)
        assert reached.wait(5)
        ending = pool.submit(ends[end])
        _wait_for_a_lock(look)
        go_on.set()
        ending.result(10)  # no deadlock: it is not this one that is given up
        refreshing.exception(10)
    assert look.execute("SELECT count(*) FROM refresh_tokens WHERE used_at IS NULL").fetchone() == (0,)


def _wait_for_a_lock(look: psycopg.Connection) -> None:
    """Until somebody waits for somebody else's lock in PostgreSQL, or half a second has passed."""
    for _ in range(50):
        waiting = look.execute("SELECT FROM pg_locks WHERE NOT granted").fetchall()
        if waiting:
            return
        threading.Event().wait(0.01)


def test_a_client_who_is_removed_during_the_log_in_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ana = accounts.register(email=EMAIL)
    real = passwords.is_password

    def is_password(password: str, password_hash: str | None) -> bool:
        clients.remove(accounts.caller(ana), "me")
        return real(password, password_hash)

    monkeypatch.setattr(passwords, "is_password", is_password)
    with pytest.raises(InvalidCredentials):
        log_in()
    assert not database.connection().broken
