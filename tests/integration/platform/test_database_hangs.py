"""PostgreSQL that hangs, slept or may only read: given up in time, and written to once."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from local.servers.postgres import Postgres
from local.servers.services import wait_until
from shared.errors import DatabaseUnavailable
from shared.platform import database, deadlines
from shared.platform.database import BoundedConnection, Connection
from tests.integration.hindered import HinderedServer
from tests.integration.platform.test_database import notes, read, session, write

__all__ = ["notes"]

pytestmark = pytest.mark.usefixtures("environment")

IN_TIME = 2  # seconds over the deadline: a busy machine takes some, and the timeouts without one are longer


@pytest.fixture
def hindered(migrated_postgres: Postgres, environment: pytest.MonkeyPatch) -> Iterator[HinderedServer]:
    """PostgreSQL behind a proxy that can hinder it, as the environment's database."""
    with HinderedServer(migrated_postgres.url) as server:
        environment.setenv("DATABASE_URL", server.url)
        yield server


def assert_given_up(work: Callable[[], object], seconds: float) -> None:
    """The work ends with DatabaseUnavailable, soon after that many seconds."""
    started = time.monotonic()
    with deadlines.within(seconds), pytest.raises(DatabaseUnavailable) as failed:
        work()
    assert failed.value.retry_after == 1
    assert time.monotonic() - started < seconds + IN_TIME


@pytest.mark.parametrize("how", ["silent", "trickling"])
@pytest.mark.parametrize("idempotent", [False, True])
@pytest.mark.parametrize("connected", [False, True])
def test_server_that_hangs_is_given_up_at_the_deadline_and_the_next_statement_works(
    hindered: HinderedServer, how: str, idempotent: bool, connected: bool
) -> None:
    before = session() if connected else None
    setattr(hindered, how, True)
    assert_given_up(lambda: database.run(read, idempotent=idempotent), 0.3)
    setattr(hindered, how, False)
    assert database.run(read, idempotent=False) == 42
    assert session() != before


def test_several_statements_share_the_deadline() -> None:
    def work(current: Connection) -> None:
        for _ in range(20):
            current.execute("SELECT pg_sleep(0.2)")

    session()
    assert_given_up(lambda: database.transaction(work), 0.5)
    assert_given_up(lambda: [database.run(work, idempotent=False) for _ in range(3)], 0.5)


def test_nothing_is_begun_after_the_deadline(
    hindered: HinderedServer, notes: Callable[[], list[str]]
) -> None:
    session()
    assert_given_up(lambda: write("late"), 0)
    assert notes() == []
    assert hindered.accepted == 1


def test_name_that_is_not_found_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(3))
    monkeypatch.setenv("DATABASE_URL", "postgresql://any@database.test/any")
    assert_given_up(lambda: database.run(read, idempotent=True), 0.3)


def test_connection_that_is_made_too_late_is_closed(hindered: HinderedServer, db: psycopg.Connection) -> None:
    hindered.trickling = True
    assert_given_up(lambda: database.run(read, idempotent=True), 0.3)
    hindered.trickling = False

    def sessions() -> object:
        count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'favorites'"
        return db.execute(count).fetchone()

    assert wait_until(lambda: sessions() == (0,), 10)


def test_server_that_hangs_is_given_up_without_a_deadline_too(
    hindered: HinderedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedConnection, "longest", 0.3)
    session()
    hindered.silent = True
    with pytest.raises(DatabaseUnavailable):
        database.run(read, idempotent=False)


# ── A connection that slept ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def sleep(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let the environment's connection have been idle for so many seconds."""

    def sleep_for(seconds: float) -> None:
        current = database.connection()
        monkeypatch.setattr(current, "used_at", current.used_at - seconds)

    return sleep_for


def test_connection_that_slept_is_kept_while_its_server_answers(sleep: Callable[[float], None]) -> None:
    before = session()
    sleep(database.PING_AFTER_IDLE + 1)
    assert session() == before


@pytest.mark.parametrize("idle", ["until its server vanished", "longer than networks keep it"])
def test_write_on_a_connection_that_was_lost_while_it_slept_is_made_once(
    hindered: HinderedServer, sleep: Callable[[float], None], notes: Callable[[], list[str]], idle: str
) -> None:
    session()
    if idle == "until its server vanished":
        sleep(database.PING_AFTER_IDLE + 1)
        hindered.silent = True
        threading.Timer(database.PING_TIMEOUT / 2, setattr, (hindered, "silent", False)).start()
    else:
        sleep(deadlines.KEPT_BY_NETWORKS + 1)
    assert write("once") == 1
    assert notes() == ["once"]
    assert hindered.accepted == 2


# ── A server that refuses ─────────────────────────────────────────────────────────────────────────────────


def test_server_that_may_only_read_is_not_connected_to(db: psycopg.Connection) -> None:
    name = db.info.dbname
    db.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    try:
        with pytest.raises(DatabaseUnavailable, match="read-only"):
            session()
    finally:
        db.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    session()


def test_refusal_tells_nothing_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody:secret@127.0.0.1:9/somewhere")
    with pytest.raises(DatabaseUnavailable) as failed:
        database.run(read, idempotent=False)
    assert failed.value.detail == "The database cannot be reached."
