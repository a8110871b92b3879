"""Failed log-ins by address: an owner elsewhere gets in, a network is bounded over all accounts."""

from contextlib import suppress
from functools import partial

import pytest
import redis

from local.servers.valkey import Valkey
from shared.accounts import passwords, profile_changes, removal
from shared.accounts.attempts import bounds, guesses
from shared.accounts.models import ClientChanges, Tokens
from shared.accounts.sessions import everywhere
from shared.errors import InvalidCredentials, TooManyAttempts, WrongPassword
from shared.platform import valkey as cache
from tests.integration import accounts, concurrency
from tests.integration.accounts import PASSWORD
from tests.integration.clients.test_login_attempts import (
    EMAIL,
    HERE,
    _text,
    count_one,
    fail,
    let_pass,
    let_the_wait_last,
    let_the_wait_pass,
    log_in,
    quick_hashes,
    server,
)

__all__ = ["quick_hashes", "server"]

pytestmark = pytest.mark.usefixtures("environment")


def address(number: int) -> str:
    return f"198.51.100.{number}"


def test_guesses_from_elsewhere_do_not_keep_the_owner_waiting(server: redis.Redis) -> None:
    accounts.register(email=EMAIL)
    for _ in range(14):
        fail(source=address(1))
        let_the_wait_pass(server)
    fail(source=address(1))
    let_the_wait_last(server)
    assert fail(source=address(1), typed=PASSWORD) > 30
    assert isinstance(log_in(address(2)), Tokens)


def test_sixty_guesses_from_sixty_addresses_are_slowed(quick_hashes: list[str]) -> None:
    accounts.register(email=EMAIL)
    waits = [fail(source=address(number)) for number in range(60)]
    assert waits[:20] == [0] * 20
    assert waits[20] == 16  # nobody waits for a turn yet, but this one for its next guess
    assert all(1 <= wait <= 11 for wait in waits[21:])
    assert len(quick_hashes) == 21  # the others were not even looked at


def test_the_owner_at_a_new_address_gets_in_when_the_answer_said(server: redis.Redis) -> None:
    accounts.register(email=EMAIL)
    for number in range(60):
        fail(source=address(number))
    wait = fail(source=HERE, typed=PASSWORD)
    assert wait <= 11
    let_pass(server, wait)
    assert isinstance(log_in(HERE), Tokens)


def waits_or_gets_in(source: str) -> int:
    try:
        log_in(source)
    except TooManyAttempts as refused:
        return refused.retry_after or 0
    return 0


def test_an_owner_gets_in_while_sixty_addresses_guess_as_fast_as_they_are_heard(server: redis.Redis) -> None:
    """A quarter of an hour of it, and now and then the owner comes from an address that is new."""
    accounts.register(email=EMAIL)
    heard = 0
    for second in range(0, 900, 5):
        for number in range(60):
            with suppress(TooManyAttempts):
                heard += 1
                guesses.begin(guesses.of_log_in(EMAIL, address(number)))
                continue
            heard -= 1
        if second % 150 == 75:
            source = f"192.0.2.{second // 150}"
            wait = waits_or_gets_in(source)
            assert wait <= guesses.LONGEST_QUEUE
            let_pass(server, wait)
            assert waits_or_gets_in(source) == 0
        let_pass(server, 5)
    assert heard < 500  # of 10,800 tries


def test_an_address_that_logged_in_before_needs_no_turn() -> None:
    accounts.register(email=EMAIL)
    log_in(HERE)
    for number in range(60):
        fail(source=address(number))
    assert isinstance(log_in(HERE), Tokens)
    assert fail(source=HERE) == 0


def test_ever_new_addresses_keep_out_an_owner_at_a_new_address_and_not_at_a_known_one() -> None:
    """What SECURITY.md says that is not prevented."""
    accounts.register(email=EMAIL)
    log_in(HERE)
    for number in range(21):
        fail(source=address(number))
    while fail(source=f"2001:db8:0:{(number := number + 1):x}::1") < guesses.LONGEST_QUEUE:
        pass
    assert fail(source="192.0.2.1", typed=PASSWORD) == guesses.LONGEST_QUEUE
    assert isinstance(log_in(HERE), Tokens)


def test_an_address_is_known_for_thirty_days(server: redis.Redis) -> None:
    accounts.register(email=EMAIL)
    log_in(HERE)
    [key] = server.keys("login:*")
    assert server.ttl(key) == pytest.approx(30 * 24 * 3600, abs=5)
    let_pass(server, 31 * 24 * 3600)
    for number in range(21):
        fail(source=address(number))
    assert fail(source=HERE, typed=PASSWORD) > 0


def test_a_turn_is_kept_for_its_address_and_is_one_guess(server: redis.Redis) -> None:
    accounts.register(email=EMAIL)
    for number in range(22):
        fail(source=address(number))
    assert fail(source=address(30)) == 1
    let_pass(server, 2)
    assert fail(source=address(30)) == 16  # heard, and from now on it waits
    assert 10 <= fail(source=address(30)) <= 16


@pytest.mark.parametrize("end", ["new password", "log out everywhere"])
def test_an_intruders_address_is_known_no_longer_after(end: str) -> None:
    ana = accounts.register(email=EMAIL)
    log_in(address(99))
    if end == "new password":
        changes = ClientChanges(password=PASSWORD + "!", current_password=PASSWORD)
        profile_changes.update(accounts.caller(ana), "me", changes, source_ip=HERE)
    else:
        everywhere.log_out(accounts.caller(ana), "me")
    assert guesses.begin(guesses.of_log_in(EMAIL, address(99))) == (0, False)


# ── A network, over all accounts ──────────────────────────────────────────────────────────────────────────


def test_a_network_fails_fifty_times_over_all_accounts_and_then_once_in_ten_seconds() -> None:
    waits = [fail(f"client{number // 3}@example.com") for number in range(53)]
    assert waits[:50] == [0] * 50
    assert all(1 <= wait <= 10 for wait in waits[50:])
    assert fail("client1@example.com", source=address(1)) == 0  # another network


def test_a_network_that_used_up_its_failures_leaves_nothing_of_the_next_account(server: redis.Redis) -> None:
    for number in range(50):
        fail(f"client{number}@example.com")
    assert fail(EMAIL) > 0
    assert len(server.keys("login:*")) == 50


def test_at_a_known_address_and_with_the_right_password_nothing_counts_for_the_network() -> None:
    accounts.register(email=EMAIL)
    for _ in range(60):
        log_in()
    for _ in range(4):
        fail()
    for number in range(50):
        fail(f"client{number}@example.com")
    assert fail("other@example.com") > 0
    assert isinstance(log_in(), Tokens)  # known here


def test_failures_of_a_network_at_once_are_no_more_than_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cache, "TIMEOUT", 5.0)
    outcomes = concurrency.at_once([partial(bounds.take, bounds.FAILED_LOG_INS, HERE)] * 60)
    assert outcomes.count(None) == 50


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:203.0.113.24", HERE, True),
        ("fe80::1%eth0", "fe80::2", True),
        ("203.0.113.25", HERE, False),
    ],
)
def test_an_address_is_what_one_customer_of_a_provider_has(one: str, other: str, are_one: bool) -> None:
    same = guesses.of_log_in(EMAIL, one) == guesses.of_log_in(EMAIL, other)
    assert same == are_one


def test_what_an_account_keeps_is_bounded_whoever_guesses(server: redis.Redis) -> None:
    accounts.register(email=EMAIL)
    for number in range(12):
        log_in(f"192.0.2.{number}")
    for number in range(600):
        with suppress(TooManyAttempts):
            guesses.begin(guesses.of_log_in(EMAIL, f"10.0.{number // 200}.{number % 200}"))
        let_pass(server, 30)
    [key] = server.keys("login:*")
    fields = list(_text(server.hgetall(key)))
    assert sum(field.startswith("known:") for field in fields) == guesses.MOST_KNOWN
    assert len(fields) <= guesses.MOST_ADDRESSES + 2


def test_guesses_at_the_current_password_do_not_count_at_the_log_in() -> None:
    ana = accounts.register(email=EMAIL)
    changes = ClientChanges(password="another fine password", current_password="a guess")
    for _ in range(6):
        with pytest.raises((WrongPassword, TooManyAttempts)):
            profile_changes.update(accounts.caller(ana), "me", changes, source_ip=HERE)
    assert isinstance(log_in(), Tokens)


def test_guesses_at_the_log_in_do_not_keep_the_client_from_changing_the_password() -> None:
    ana = accounts.register(email=EMAIL)
    for _ in range(6):
        fail()
    changes = ClientChanges(password="another fine password", current_password=PASSWORD)
    assert profile_changes.update(accounts.caller(ana), "me", changes, source_ip=HERE)


def test_nothing_is_left_of_a_client_who_is_removed_during_the_log_in(
    server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = accounts.register(email=EMAIL)
    removing = [partial(removal.remove, accounts.caller(ana), "me")]

    def is_password(_password: str, password_hash: str | None) -> bool:
        if removing:
            removing.pop()()
        return password_hash is not None

    monkeypatch.setattr(passwords, "is_password", is_password)
    with pytest.raises(InvalidCredentials):
        log_in()
    assert server.keys("login:*") == []


@pytest.mark.parametrize("end", ["removal", "another e-mail"])
def test_nothing_of_the_account_is_left_after_its(server: redis.Redis, end: str) -> None:
    ana = accounts.register(email=EMAIL)
    log_in()
    fail()
    if end == "removal":
        removal.remove(accounts.caller(ana), "me")
    else:
        changes = ClientChanges(email="anna@example.com", current_password=PASSWORD)
        profile_changes.update(accounts.caller(ana), "me", changes)
    assert server.keys("*") == []


def test_the_count_is_one_command_and_one_trip(valkey: Valkey) -> None:
    count_one()
    with concurrency.commands(valkey.url) as counted:
        count_one()
    assert counted["eval"] == 1
    assert set(counted) <= {"eval", "time", "hmget", "hlen", "hset", "ttl", "expire"}
