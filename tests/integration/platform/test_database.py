"""The connection to PostgreSQL: reopened when it was closed; what broke is repeated where that is safe."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import psycopg
import pytest

from local.servers.postgres import Postgres
from shared.errors import DatabaseUnavailable
from shared.platform import database
from shared.platform.database import Connection

pytestmark = pytest.mark.usefixtures("environment")

NOISE = 0.4  # seconds that a busy machine may add


@pytest.fixture
def notes(db: psycopg.Connection) -> Iterator[Callable[[], list[str]]]:
    """A table to write to; tells what is in it."""
    db.execute("CREATE TABLE notes (note text)")
    yield lambda: [note for (note,) in db.execute("SELECT note FROM notes ORDER BY note")]
    db.execute("DROP TABLE notes")


def write(note: str) -> int:
    return database.execute("INSERT INTO notes VALUES (%(note)s)", {"note": note})


def read(current: Connection) -> object:
    row = current.execute("SELECT 40 + 2 AS answer").fetchone()
    return row and row["answer"]


def end_sessions(db: psycopg.Connection) -> None:
    """End the environment's session from the server's side, and see it gone."""
    db.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'favorites'"
    )


def session() -> int:
    return database.run(lambda current: current.info.backend_pid, idempotent=True)


def test_the_connection_is_kept_between_requests() -> None:
    assert session() == session()


def test_a_read_after_the_server_closed_the_idle_connection_gets_a_new_one(db: psycopg.Connection) -> None:
    before = session()
    end_sessions(db)
    assert database.run(read, idempotent=False) == 42
    assert session() != before


def test_a_write_after_the_server_closed_the_idle_connection_is_made_once(
    db: psycopg.Connection, notes: Callable[[], list[str]]
) -> None:
    session()
    end_sessions(db)
    assert write("after") == 1
    assert notes() == ["after"]


def test_a_transaction_after_the_server_closed_the_idle_connection_is_made_once(
    db: psycopg.Connection, notes: Callable[[], list[str]]
) -> None:
    session()
    end_sessions(db)
    database.transaction(lambda current: current.execute("INSERT INTO notes VALUES ('after')"))
    assert notes() == ["after"]


def test_a_restart_of_the_server_is_not_noticed_by_the_next_request(
    migrated_postgres: Postgres,
) -> None:
    session()
    migrated_postgres.restart()
    assert database.run(read, idempotent=False) == 42


@pytest.fixture
def ended_in_the_middle(db: psycopg.Connection) -> Callable[[Connection], None]:
    """End the session while a statement of it runs; the first time only."""
    done: list[bool] = []

    def end(current: Connection) -> None:
        if done:
            return
        done.append(True)
        pid = current.info.backend_pid
        threading.Timer(0.05, db.execute, ["SELECT pg_terminate_backend(%s)", [pid]]).start()
        current.execute("SELECT pg_sleep(3)")

    return end


def test_a_read_whose_connection_breaks_in_the_middle_is_repeated_once(
    ended_in_the_middle: Callable[[Connection], None],
) -> None:
    tries: list[int] = []

    def work(current: Connection) -> object:
        tries.append(current.info.backend_pid)
        ended_in_the_middle(current)
        return read(current)

    assert database.run(work, idempotent=True) == 42
    assert len(tries) == len(set(tries)) == 2


def test_a_read_whose_connection_breaks_twice_is_given_up(db: psycopg.Connection) -> None:
    tries: list[int] = []

    def work(current: Connection) -> None:
        tries.append(current.info.backend_pid)
        db.execute("SELECT pg_terminate_backend(%s, 5000)", [current.info.backend_pid])
        read(current)

    with pytest.raises(DatabaseUnavailable):
        database.run(work, idempotent=True)
    assert len(tries) == 2


def test_a_write_whose_connection_breaks_in_the_middle_is_not_repeated(
    ended_in_the_middle: Callable[[Connection], None], notes: Callable[[], list[str]]
) -> None:
    tries: list[int] = []

    def work(current: Connection) -> None:
        tries.append(current.info.backend_pid)
        current.execute("INSERT INTO notes VALUES ('once')")
        ended_in_the_middle(current)

    with pytest.raises(DatabaseUnavailable):
        database.run(work, idempotent=False)
    assert len(tries) == 1
    assert notes() == ["once"]
    assert write("next") == 1


def test_a_transaction_whose_connection_breaks_in_the_middle_leaves_nothing(
    ended_in_the_middle: Callable[[Connection], None], notes: Callable[[], list[str]]
) -> None:
    def work(current: Connection) -> None:
        current.execute("INSERT INTO notes VALUES ('never')")
        ended_in_the_middle(current)

    with pytest.raises(DatabaseUnavailable):
        database.transaction(work)
    assert notes() == []
    assert write("next") == 1


def test_a_transaction_whose_work_fails_leaves_nothing_and_the_connection_works(
    notes: Callable[[], list[str]],
) -> None:
    def work(current: Connection) -> None:
        current.execute("INSERT INTO notes VALUES ('never')")
        raise LookupError

    before = session()
    with pytest.raises(LookupError):
        database.transaction(work)
    assert notes() == []
    assert session() == before


@pytest.mark.parametrize(
    "run",
    [partial(database.run, idempotent=False), partial(database.run, idempotent=True), database.transaction],
    ids=["run", "idempotent run", "transaction"],
)
def test_a_statement_that_takes_too_long_is_given_up_and_the_connection_works(
    run: Callable[[Callable[[Connection], None]], None],
) -> None:
    database.connection().execute("SET statement_timeout = '50ms'")
    tries = 0

    def work(current: Connection) -> None:
        nonlocal tries
        tries += 1
        current.execute("SELECT pg_sleep(2)")

    before = session()
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailable) as failed:
        run(work)
    assert time.monotonic() - started < 1
    assert failed.value.retry_after == 1
    assert tries == 1  # what took too long once would again
    assert session() == before


def test_the_environments_connection_has_the_statement_timeout_of_the_migrations() -> None:
    def timeout(current: Connection) -> object:
        row = current.execute("SHOW statement_timeout").fetchone()
        return row and row["statement_timeout"]

    assert database.run(timeout, idempotent=True) == "3500ms"


def test_the_server_ends_a_session_that_was_idle_for_ten_minutes_and_the_next_request_opens_another() -> None:
    def idle_timeout(current: Connection) -> object:
        row = current.execute("SHOW idle_session_timeout").fetchone()
        return row and row["idle_session_timeout"]

    assert database.run(idle_timeout, idempotent=True) == "10min"
    before = session()
    database.connection().execute("SET idle_session_timeout = '50ms'")
    time.sleep(0.3)
    # Not idempotent, and yet it works: the closed connection is seen before it is used.
    assert database.run(idle_timeout, idempotent=False) == "10min"
    assert session() != before


@pytest.mark.parametrize("connected_before", [False, True])
def test_a_stopped_server_is_told_fast_and_back_when_it_is_back(
    migrated_postgres: Postgres, connected_before: bool
) -> None:
    if connected_before:
        session()
    migrated_postgres.stop()
    try:
        for idempotent in (False, True):
            started = time.monotonic()
            with pytest.raises(DatabaseUnavailable):
                database.run(read, idempotent=idempotent)
            assert time.monotonic() - started < 0.5
    finally:
        migrated_postgres.start()
    assert database.run(read, idempotent=False) == 42


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("SELECT 1 / 0", psycopg.errors.DivisionByZero),  # class 22
        ("INSERT INTO products_missed VALUES ('nothing', 1)", psycopg.errors.ForeignKeyViolation),  # class 23
        (
            "INSERT INTO products (product_id, title, price, description, category, image, version,"
            " fetched_at, sort_key) SELECT 'x', '', 0, '', '', '', 1, now(), string_agg(md5(n::text), '')"
            " FROM generate_series(1, 500) AS n",
            psycopg.errors.ProgramLimitExceeded,  # class 54: more than an index takes
        ),
    ],
)
def test_an_error_that_would_come_again_is_no_outage(statement: Any, kind: type[psycopg.Error]) -> None:
    with pytest.raises(kind):
        database.execute(statement, {}, idempotent=True)
    assert database.fetch_tuples("SELECT 1", {}) == [(1,)]
