"""Failed log-ins are counted per account and address in Valkey, and have to wait longer and longer."""

import hashlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from local.servers.valkey import Valkey
from shared.accounts import passwords
from shared.accounts.attempts import guesses
from shared.accounts.attempts.networks import network_of
from shared.accounts.models import Tokens
from shared.accounts.sessions import starts
from shared.errors import DatabaseUnavailable, InvalidCredentials, TooManyAttempts
from shared.platform import database
from shared.platform import valkey as cache
from tests.integration import accounts, concurrency
from tests.integration.accounts import PASSWORD
from tests.integration.conftest import NO_DATABASE

pytestmark = pytest.mark.usefixtures("environment")

EMAIL = "ana@example.com"


@pytest.fixture
def server(valkey: Valkey) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        yield client


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that were looked at; looking takes no time."""
    seen: list[str] = []

    def is_password(password: str, password_hash: str | None) -> bool:
        seen.append(password)
        return password_hash is not None and password == PASSWORD

    monkeypatch.setattr(passwords, "is_password", is_password)
    return seen


HERE = "203.0.113.24"


def count_one() -> tuple[int, bool]:
    return guesses.begin(guesses.of_log_in(EMAIL, HERE))


def fail(email: str = EMAIL, *, typed: str = "wrong", source: str = HERE) -> int:
    """A log-in that fails: 0 for a plain refusal, or the seconds that it tells to wait."""
    with pytest.raises((InvalidCredentials, TooManyAttempts)) as refused:
        starts.log_in(email, typed, source_ip=source)
    return refused.value.retry_after or 0


def log_in(source: str = HERE) -> Tokens:
    return starts.log_in(EMAIL, PASSWORD, source_ip=source)


def _text(held: object) -> dict[str, str]:
    assert isinstance(held, dict)
    return {str(field): str(value) for field, value in held.items()}


def waits_until(server: redis.Redis, moment: float) -> None:
    """Let the waits of all addresses end then."""
    [key] = server.keys("login:*")
    for field, held in _text(server.hgetall(key)).items():
        if field.startswith("at:"):
            failures, _, is_turn, tried = held.split()
            server.hset(key, field, f"{failures} {moment:.3f} {is_turn} {tried}")


def let_the_wait_pass(server: redis.Redis) -> None:
    waits_until(server, time.time() - 1)


def let_the_wait_last(server: redis.Redis) -> None:
    """A minute is longer than the test takes on any machine."""
    waits_until(server, time.time() + 59.5)


def let_pass(server: redis.Redis, seconds: float) -> None:
    """Make everything so much older."""
    for key in server.keys("login:*"):
        aged: dict[Any, Any] = {}
        for field, held in _text(server.hgetall(key)).items():
            if field == "all":
                total, since, turn = held.split()
                older = f"{total} {float(since) - seconds:.3f} {float(turn) - seconds:.3f}"
            elif field.startswith("at:"):
                failures, not_before, is_turn, tried = held.split()
                older = f"{failures} {float(not_before) - seconds:.3f} {is_turn} {float(tried) - seconds:.3f}"
            else:
                older = str(float(held) - seconds)
            aged[field] = older
        server.hset(key, mapping=aged)


def test_four_failures_are_free_and_the_fifth_has_to_wait_a_second() -> None:
    accounts.register(email=EMAIL)
    assert [fail() for _ in range(5)] == [0, 0, 0, 0, 1]


def test_the_wait_doubles_up_to_fifteen_minutes(server: redis.Redis) -> None:
    accounts.register(email=EMAIL)
    waits = []
    for _ in range(17):
        waits.append(fail())
        let_the_wait_pass(server)
    assert waits == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]


def test_the_wait_of_a_second_is_over_after_a_second() -> None:
    accounts.register(email=EMAIL)
    for _ in range(5):
        fail()
    time.sleep(1.01)
    assert fail() == 2


def test_who_comes_too_early_is_not_heard_and_does_not_wait_longer_for_it(
    quick_hashes: list[str], server: redis.Redis
) -> None:
    accounts.register(email=EMAIL)
    for _ in range(5):
        fail()
    let_the_wait_last(server)
    quick_hashes.clear()
    waits = [fail(typed=PASSWORD) for _ in range(3)]  # not even with the right one
    assert 60 >= waits[0] >= waits[1] >= waits[2] > 30
    assert quick_hashes == []


def test_the_time_left_is_told_in_whole_seconds_rounded_up(server: redis.Redis) -> None:
    accounts.register(email=EMAIL)
    for _ in range(5):
        fail()
    waits_until(server, time.time() + 41.5)
    assert fail() == 42


def test_a_log_in_that_succeeds_clears_the_count() -> None:
    accounts.register(email=EMAIL)
    for _ in range(4):
        fail()
    log_in()
    assert [fail() for _ in range(5)] == [0, 0, 0, 0, 1]


def test_the_right_password_is_heard_once_the_wait_is_over(server: redis.Redis) -> None:
    accounts.register(email=EMAIL)
    for _ in range(6):
        fail()
    let_the_wait_pass(server)
    assert isinstance(log_in(), Tokens)


def test_the_accounts_are_counted_apart() -> None:
    accounts.register(email=EMAIL)
    accounts.register(email="ben@example.com")
    for _ in range(5):
        fail()
    assert isinstance(starts.log_in("ben@example.com", PASSWORD), Tokens)


def test_spellings_of_one_e_mail_are_one_account() -> None:
    accounts.register(email=EMAIL)
    spellings = [EMAIL, EMAIL.upper(), f" {EMAIL}", "Ana@example.com", EMAIL]
    assert [fail(spelling) for spelling in spellings] == [0, 0, 0, 0, 1]


def test_an_e_mail_that_nobody_has_is_counted_as_any_other() -> None:
    assert [fail("nobody@example.com") for _ in range(5)] == [0, 0, 0, 0, 1]


def test_what_was_typed_is_not_to_be_read_from_the_cache(server: redis.Redis) -> None:
    fail("my secret typed into the wrong field")
    [key] = server.keys("login:*")
    assert "secret" not in key
    assert "secret" not in str(server.hgetall(key))
    plain = hashlib.sha256(f"{HERE}/32".encode()).hexdigest()[:16]
    assert plain not in str(server.hgetall(key)) + str(server.keys("*"))


def test_an_address_is_hashed_with_the_key_of_the_installation(environment: pytest.MonkeyPatch) -> None:
    here = network_of(HERE)
    environment.setenv("DATABASE_URL", "postgresql://favorites:another@127.0.0.1/favorites")
    assert network_of(HERE) != here


def test_one_failure_is_forgotten_in_a_twentieth_of_a_day_and_more_in_a_day(server: redis.Redis) -> None:
    fail()
    [key] = server.keys("login:*")
    assert server.ttl(key) == pytest.approx(24 * 3600 / 20, abs=5)
    fail()
    assert server.ttl(key) == pytest.approx(24 * 3600, abs=5)


def test_many_guesses_at_once_get_no_more_looks_than_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the count alone: with a log-in around it, a busy machine needs longer than the wait of a second."""
    monkeypatch.setattr(cache, "TIMEOUT", 5.0)  # fifty threads share one interpreter here
    waits = concurrency.at_once([count_one] * 50)
    assert sorted(wait[0] for wait in waits if isinstance(wait, tuple)) == [0, 0, 0, 0, 1]  # the looks
    assert sum(isinstance(wait, TooManyAttempts) for wait in waits) == 45


def test_a_guess_that_is_not_heard_gets_no_look(quick_hashes: list[str], server: redis.Redis) -> None:
    accounts.register(email=EMAIL)
    assert [fail(typed=f"guess {number}") for number in range(5)] == [0, 0, 0, 0, 1]
    let_the_wait_last(server)
    assert all(fail(typed=f"guess {number}") > 30 for number in range(5, 8))
    assert quick_hashes == [f"guess {number}" for number in range(5)]


@pytest.mark.parametrize("trouble", ["stopped", "killed between two"])
def test_without_valkey_log_ins_work_and_are_not_counted(valkey: Valkey, trouble: str) -> None:
    accounts.register(email=EMAIL)
    if trouble == "killed between two":
        fail()
        valkey.kill()
    else:
        valkey.stop()
    assert [fail() for _ in range(6)] == [0] * 6
    assert isinstance(log_in(), Tokens)


@pytest.mark.parametrize("failures_before", [0, 4, 5])
def test_a_failure_that_is_the_databases_is_not_the_accounts(
    environment: pytest.MonkeyPatch, server: redis.Redis, failures_before: int
) -> None:
    """An outage does not lock out who tried to log in during it: neither the count nor the wait stays."""
    accounts.register(email=EMAIL)
    for _ in range(failures_before):
        fail()
    if failures_before > guesses.FREE_FAILURES:
        let_the_wait_pass(server)
    with environment.context() as outage:
        outage.setenv("DATABASE_URL", NO_DATABASE)
        database.close()
        for _ in range(5):
            with pytest.raises(DatabaseUnavailable):
                log_in()
    assert fail() == {0: 0, 4: 1, 5: 2}[failures_before]


def test_a_right_password_whose_session_cannot_be_written_is_no_failure(
    environment: pytest.MonkeyPatch, server: redis.Redis
) -> None:
    accounts.register(email=EMAIL)

    def unavailable(_: object) -> None:
        raise DatabaseUnavailable("in a test")

    with environment.context() as outage:
        outage.setattr(database, "transaction", unavailable)
        for _ in range(5):
            with pytest.raises(DatabaseUnavailable):
                log_in()
    assert fail() == 0
    assert server.keys("login:*")
