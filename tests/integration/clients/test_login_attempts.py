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
from shared.errors import (
    DatabaseUnavailable,
    DomainError,
    InvalidCredentials,
    SecretUnavailable,
    TooManyAttempts,
)
from shared.platform import database
from shared.platform import valkey as cache
from tests.integration import concurrency
from tests.integration.accounts import EMAIL, PASSWORD
from tests.integration.conftest import NO_DATABASE

pytestmark = pytest.mark.usefixtures("ana")

HERE = "203.0.113.24"


@pytest.fixture
def server(valkey: Valkey) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        yield client


@pytest.fixture(autouse=True)
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that were verified, which takes no time."""
    seen: list[str] = []

    def is_password(password: str, password_hash: str | None) -> bool:
        seen.append(password)
        return password_hash is not None and password == PASSWORD

    monkeypatch.setattr(passwords, "is_password", is_password)
    return seen


def count_one() -> tuple[int, bool]:
    return guesses.begin(guesses.of_log_in(EMAIL, HERE))


def fail(email: str = EMAIL, *, typed: str = "wrong", source: str = HERE) -> int:
    """A log-in that fails: 0 for a plain refusal, or the seconds that it tells to wait."""
    with pytest.raises((InvalidCredentials, TooManyAttempts)) as refused:
        starts.log_in(email, typed, source_ip=source)
    return refused.value.retry_after or 0


def fail_often(times: int) -> list[int]:
    return [fail() for _ in range(times)]


def log_in(source: str = HERE) -> Tokens:
    return starts.log_in(EMAIL, PASSWORD, source_ip=source)


def fields(server: redis.Redis, key: Any) -> dict[str, str]:
    held: Any = server.hgetall(key)
    return dict(held)


def let_the_wait_last(server: redis.Redis, seconds: float = 59.5) -> None:
    """Let the waits of all addresses end then: a minute is longer than a test takes on any machine."""
    [key] = server.keys("login:*")
    for field, held in fields(server, key).items():
        if field.startswith("at:"):
            failures, _, is_turn, tried = held.split()
            server.hset(key, field, f"{failures} {time.time() + seconds:.3f} {is_turn} {tried}")


def let_pass(server: redis.Redis, seconds: float) -> None:
    """Make everything so much older."""
    for key in server.keys("login:*"):
        aged: dict[Any, Any] = {}
        for field, held in fields(server, key).items():
            if field == "all":
                total, since, turn = held.split()
                aged[field] = f"{total} {float(since) - seconds:.3f} {float(turn) - seconds:.3f}"
            elif field.startswith("at:"):
                failures, until, is_turn, tried = held.split()
                aged[field] = (
                    f"{failures} {float(until) - seconds:.3f} {is_turn} {float(tried) - seconds:.3f}"
                )
            else:
                aged[field] = str(float(held) - seconds)
        server.hset(key, mapping=aged)


def test_wait_doubles_up_to_fifteen_minutes(server: redis.Redis) -> None:
    waits = []
    for _ in range(17):
        waits.append(fail())
        let_pass(server, waits[-1])
    assert waits == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]


def test_log_in_before_the_wait_is_over_is_not_verified_and_does_not_wait_longer(
    verified: list[str], server: redis.Redis
) -> None:
    assert fail_often(5) == [0, 0, 0, 0, 1]
    let_the_wait_last(server)
    verified.clear()
    waits = [fail(typed=PASSWORD) for _ in range(3)]  # not even with the right one
    assert 60 >= waits[0] >= waits[1] >= waits[2] > 30
    assert verified == []


def test_wait_is_told_in_whole_seconds_rounded_up(server: redis.Redis) -> None:
    fail_often(5)
    let_the_wait_last(server, 41.5)
    assert fail() == 42


def test_log_in_after_the_wait_succeeds_and_clears_the_count(server: redis.Redis) -> None:
    let_pass(server, fail_often(5)[-1])
    assert isinstance(log_in(), Tokens)
    assert fail_often(5) == [0, 0, 0, 0, 1]


def test_spellings_of_an_email_are_one_account_even_where_no_client_has_it() -> None:
    spellings = [
        "ben@example.com",
        "BEN@EXAMPLE.COM",
        " ben@example.com",
        "Ben@example.com",
        "ben@example.com",
    ]
    assert [fail(spelling) for spelling in spellings] == [0, 0, 0, 0, 1]
    assert isinstance(log_in(), Tokens)  # another account


def test_neither_what_was_typed_nor_the_address_is_readable_in_the_cache(server: redis.Redis) -> None:
    fail("my secret typed into the wrong field")
    [key] = server.keys("login:*")
    held = f"{server.keys('*')} {fields(server, key)}"
    assert "secret" not in held
    assert hashlib.sha256(f"{HERE}/32".encode()).hexdigest()[:16] not in held


def test_address_is_hashed_with_the_key_of_the_installation(environment: pytest.MonkeyPatch) -> None:
    here = network_of(HERE)
    environment.setenv("DATABASE_URL", "postgresql://favorites:another@127.0.0.1/favorites")
    assert network_of(HERE) != here


def test_one_failure_is_forgotten_in_a_twentieth_of_a_day_and_more_in_a_day(server: redis.Redis) -> None:
    for seconds in (24 * 3600 / 20, 24 * 3600):
        fail()
        [key] = server.keys("login:*")
        assert server.ttl(key) == pytest.approx(seconds, abs=5)


def test_many_guesses_at_once_are_verified_no_more_often_than_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Of the count alone: with a log-in around it, a busy machine needs longer than the wait of a second.
    monkeypatch.setattr(cache, "TIMEOUT", 5.0)  # fifty threads share one interpreter here
    waits = concurrency.at_once([count_one] * 50)
    assert sorted(wait[0] for wait in waits if isinstance(wait, tuple)) == [0, 0, 0, 0, 1]
    assert sum(isinstance(wait, TooManyAttempts) for wait in waits) == 45


@pytest.mark.parametrize("trouble", ["stopped", "killed between two"])
def test_without_valkey_log_ins_work_and_are_not_counted(valkey: Valkey, trouble: str) -> None:
    if trouble == "killed between two":
        fail()
        valkey.kill()
    else:
        valkey.stop()
    assert fail_often(6) == [0] * 6
    assert isinstance(log_in(), Tokens)


@pytest.mark.parametrize(("failures_before", "next_wait"), [(0, 0), (4, 1), (5, 2)])
def test_outage_of_the_database_is_no_failure_of_the_account(
    environment: pytest.MonkeyPatch, server: redis.Redis, failures_before: int, next_wait: int
) -> None:
    let_pass(server, sum(fail_often(failures_before)))
    with environment.context() as outage:
        outage.setenv("DATABASE_URL", NO_DATABASE)
        database.close()
        for _ in range(5):
            with pytest.raises(DatabaseUnavailable):
                log_in()
    assert fail() == next_wait


@pytest.mark.parametrize("error", [DatabaseUnavailable("in a test"), SecretUnavailable("in a test")])
def test_right_password_whose_session_cannot_be_written_is_no_failure(
    environment: pytest.MonkeyPatch, server: redis.Redis, error: DomainError
) -> None:
    def unavailable(_: object) -> None:
        raise error

    with environment.context() as outage:
        outage.setattr(database, "transaction", unavailable)
        for _ in range(5):
            with pytest.raises(type(error)):
                log_in()
    assert fail() == 0
    assert server.keys("login:*")
