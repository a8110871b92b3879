"""Failed log-ins by address: an owner elsewhere gets in, a network is bounded over all accounts."""

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
import redis

from local.servers.valkey import Valkey
from shared.accounts import passwords, profile_changes, removal
from shared.accounts.access_tokens import Caller
from shared.accounts.attempts import bounds, guesses
from shared.accounts.models import ClientChanges, Tokens
from shared.accounts.sessions import everywhere
from shared.errors import InvalidCredentials, TooManyAttempts, WrongPassword
from shared.platform import valkey as cache
from tests.integration import concurrency
from tests.integration.accounts import EMAIL, NEW_PASSWORD, PASSWORD, change
from tests.integration.clients.test_login_attempts import (
    HERE,
    count_one,
    fail,
    fail_often,
    fields,
    let_pass,
    let_the_wait_last,
    log_in,
    server,
    verified,
)

__all__ = ["server", "verified"]

pytestmark = pytest.mark.usefixtures("ana")


def address(number: int) -> str:
    return f"198.51.100.{number}"


def fail_from_addresses(count: int) -> list[int]:
    return [fail(source=address(number)) for number in range(count)]


def test_guesses_from_elsewhere_do_not_keep_the_owner_waiting(server: redis.Redis) -> None:
    for _ in range(15):
        let_pass(server, fail(source=address(1)))
    let_the_wait_last(server)
    assert fail(source=address(1), typed=PASSWORD) > 30
    assert isinstance(log_in(address(2)), Tokens)


def test_guesses_from_many_addresses_are_queued_and_not_verified(verified: list[str]) -> None:
    waits = fail_from_addresses(60)
    assert waits[:20] == [0] * 20
    assert waits[20] == 16  # no address is in the queue yet, but this one waits for its next guess
    assert all(1 <= wait <= 11 for wait in waits[21:])
    assert len(verified) == 21


def waits_or_gets_in(source: str) -> int:
    try:
        log_in(source)
    except TooManyAttempts as refused:
        return refused.retry_after or 0
    return 0


def test_owner_at_new_addresses_gets_in_while_sixty_guess_whenever_they_may(server: redis.Redis) -> None:
    admitted = 0
    for second in range(0, 300, 5):
        for number in range(60):
            with suppress(TooManyAttempts):
                guesses.begin(guesses.of_log_in(EMAIL, address(number)))
                admitted += 1
        if second % 150 == 75:
            source = f"192.0.2.{second // 150}"
            wait = waits_or_gets_in(source)
            assert wait <= guesses.LONGEST_QUEUE
            let_pass(server, wait)
            assert waits_or_gets_in(source) == 0
        let_pass(server, 5)
    assert admitted < 350  # of 3,600 tries


def test_ever_new_addresses_keep_out_an_owner_at_a_new_address_and_not_at_a_known_one() -> None:
    # What SECURITY.md says that is not prevented.
    log_in(HERE)
    fail_from_addresses(21)
    number = 0
    while fail(source=f"2001:db8:0:{(number := number + 1):x}::1") < guesses.LONGEST_QUEUE:
        pass
    assert fail(source="192.0.2.1", typed=PASSWORD) == guesses.LONGEST_QUEUE
    assert isinstance(log_in(HERE), Tokens)
    assert fail(source=HERE) == 0


def test_address_is_known_for_thirty_days(server: redis.Redis) -> None:
    log_in(HERE)
    [key] = server.keys("login:*")
    assert server.ttl(key) == pytest.approx(30 * 24 * 3600, abs=5)
    let_pass(server, 31 * 24 * 3600)
    fail_from_addresses(21)
    assert fail(source=HERE, typed=PASSWORD) > 0


def test_queue_slot_is_kept_for_its_address_and_is_one_guess(server: redis.Redis) -> None:
    fail_from_addresses(22)
    assert fail(source=address(30)) == 1
    let_pass(server, 2)
    assert fail(source=address(30)) == 16  # admitted, and from now on it waits
    assert 10 <= fail(source=address(30)) <= 16


def test_longest_queue_has_a_slot_in_five_seconds_and_half_of_them_for_addresses_that_failed(
    server: redis.Redis,
) -> None:
    fail(source=HERE)
    [key] = server.keys("login:*")
    server.hset(key, "all", f"1000 {time.time():.3f} 0")
    waits = fail_from_addresses(5)
    assert waits[0] == 16  # admitted at once
    assert 10 < waits[4] <= 20
    assert fail(source=HERE) == guesses.LONGEST_QUEUE
    assert 15 < fail(source=address(5)) <= 25


def test_what_is_kept_of_an_account_is_bounded(server: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "MOST_ADDRESSES", 20)
    for number in range(12):
        log_in(f"192.0.2.{number}")
    for number in range(60):
        with suppress(TooManyAttempts):
            guesses.begin(guesses.of_log_in(EMAIL, address(number)))
        let_pass(server, 30)
    [key] = server.keys("login:*")
    held = list(fields(server, key))
    assert sum(field.startswith("known:") for field in held) == guesses.MOST_KNOWN
    assert sum(field.startswith("at:") for field in held) == guesses.MOST_ADDRESSES


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
def test_address_is_what_one_customer_of_a_provider_has(one: str, other: str, are_one: bool) -> None:
    assert (guesses.of_log_in(EMAIL, one) == guesses.of_log_in(EMAIL, other)) == are_one


# ── A network, over all accounts ──────────────────────────────────────────────────────────────────────────


def test_network_fails_fifty_times_over_all_accounts_and_then_once_in_ten_seconds(
    server: redis.Redis,
) -> None:
    waits = [fail(f"client{number // 3}@example.com") for number in range(53)]
    assert waits[:50] == [0] * 50
    assert all(1 <= wait <= 10 for wait in waits[50:])
    assert fail("client1@example.com", source=address(1)) == 0  # another network
    accounts_counted = len(server.keys("login:*"))
    assert fail("one.more@example.com") > 0
    assert len(server.keys("login:*")) == accounts_counted  # a failure that does not count leaves nothing


def test_right_passwords_and_known_addresses_count_nothing_for_the_network() -> None:
    for _ in range(60):
        log_in()
    fail_often(4)
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


# ── Log-ins beside changes of the account ─────────────────────────────────────────────────────────────────


def test_guesses_at_the_current_password_do_not_count_at_the_log_in(ana: Caller) -> None:
    for _ in range(6):
        with pytest.raises((WrongPassword, TooManyAttempts)):
            change_password(ana, "a guess")
    assert isinstance(log_in(), Tokens)


def test_guesses_at_the_log_in_do_not_count_at_the_current_password(ana: Caller) -> None:
    fail_often(6)
    change_password(ana, PASSWORD)


def change_password(ana: Caller, current: str) -> None:
    changes = ClientChanges(password=NEW_PASSWORD, current_password=current)
    profile_changes.update(ana, "me", changes, source_ip=HERE)


ENDS: dict[str, Callable[[Caller], object]] = {
    "a new password": lambda ana: change_password(ana, PASSWORD),
    "log out everywhere": lambda ana: everywhere.log_out(ana, "me"),
}


@pytest.mark.parametrize("end", ENDS)
def test_intruders_address_is_not_known_any_more_after(ana: Caller, end: str) -> None:
    log_in(address(99))
    ENDS[end](ana)
    assert guesses.begin(guesses.of_log_in(EMAIL, address(99))) == (0, False)


def test_no_count_is_left_of_a_client_who_is_removed_during_the_log_in(
    ana: Caller, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    removing = [partial(removal.remove, ana, "me")]

    def is_password(_password: str, password_hash: str | None) -> bool:
        if removing:
            removing.pop()()
        return password_hash is not None

    monkeypatch.setattr(passwords, "is_password", is_password)
    with pytest.raises(InvalidCredentials):
        log_in()
    assert server.keys("login:*") == []


@pytest.mark.parametrize("end", ["removal", "another e-mail"])
def test_no_count_is_left_of_an_account_after(ana: Caller, server: redis.Redis, end: str) -> None:
    log_in()
    fail()
    if end == "removal":
        removal.remove(ana, "me")
    else:
        change(ana, email="anna@example.com", current_password=PASSWORD)
    assert server.keys("*") == []


def test_counting_is_one_command_in_one_round_trip(valkey: Valkey) -> None:
    count_one()
    with concurrency.commands(valkey.url) as counted:
        count_one()
    assert counted["eval"] == 1
    assert set(counted) <= {"eval", "time", "hmget", "hlen", "hset", "ttl", "expire"}
