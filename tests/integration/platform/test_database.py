"""The connection to PostgreSQL: reopened when it was lost; what broke is repeated where that is safe."""

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

INSERT = "INSERT INTO notes VALUES (%(note)s)"


@pytest.fixture
def notes(db: psycopg.Connection) -> Iterator[Callable[[], list[str]]]:
    """A table to write to; tells what is in it."""
    db.execute("CREATE TABLE notes (note text)")
    yield lambda: [note for (note,) in db.execute("SELECT note FROM notes ORDER BY note")]
    db.execute("DROP TABLE notes")


def write(note: str, *, idempotent: bool = False) -> int:
    return database.execute(INSERT, {"note": note}, idempotent=idempotent)


def write_in_a_transaction(note: str) -> int:
    return database.transaction(lambda current: current.execute(INSERT, {"note": note}).rowcount)


def read(current: Connection) -> object:
    row = current.execute("SELECT 40 + 2 AS answer").fetchone()
    return row and row["answer"]


def setting(name: str) -> object:
    row = database.run(lambda current: current.execute(f"SHOW {name}").fetchone(), idempotent=False)
    return row and row[name]


def session() -> int:
    return database.run(lambda current: current.info.backend_pid, idempotent=True)


def test_connection_is_kept_between_requests() -> None:
    assert session() == session()


LOST: dict[str, Callable[[psycopg.Connection], object]] = {
    "the server ended the session": lambda db: db.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'favorites'"
    ),
    # As after a failover: the old server only reads, and a new connection leads to one that writes.
    "the server only reads": lambda _: database.connection().execute(
        "SET default_transaction_read_only = on"
    ),
}
WRITES: dict[str, Callable[[str], int]] = {
    "a write": write,
    "an idempotent write": partial(write, idempotent=True),
    "a transaction": write_in_a_transaction,
}


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("how", WRITES)
def test_write_after_the_connection_was_lost_is_made_once_on_a_new_one(
    db: psycopg.Connection, notes: Callable[[], list[str]], lost: str, how: str
) -> None:
    before = session()
    LOST[lost](db)
    assert WRITES[how]("once") == 1
    assert notes() == ["once"]
    assert session() != before


@pytest.mark.parametrize("connected_before", [False, True])
def test_stopped_server_is_unavailable_until_it_is_back(
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
            assert time.monotonic() - started < database.CONNECT_TIMEOUT - 0.5  # refused, not timed out
    finally:
        migrated_postgres.start()
    assert database.run(read, idempotent=False) == 42
    migrated_postgres.restart()
    assert database.run(read, idempotent=False) == 42


# ── A connection that breaks in the middle ────────────────────────────────────────────────────────────────


def end_in_the_middle(db: psycopg.Connection, current: Connection) -> None:
    """End the session while a statement of it runs."""
    pid = current.info.backend_pid
    threading.Timer(0.05, db.execute, ["SELECT pg_terminate_backend(%s)", [pid]]).start()
    current.execute("SELECT pg_sleep(3)")


@pytest.mark.parametrize(
    ("idempotent", "breaks", "tries"), [(True, 1, 2), (True, 2, 2), (False, 1, 1)], ids=str
)
def test_work_that_breaks_is_repeated_once_where_it_is_idempotent(
    db: psycopg.Connection, notes: Callable[[], list[str]], idempotent: bool, breaks: int, tries: int
) -> None:
    sessions: list[int] = []

    def work(current: Connection) -> object:
        sessions.append(current.info.backend_pid)
        current.execute(INSERT, {"note": f"try {len(sessions)}"})
        if len(sessions) <= breaks:
            end_in_the_middle(db, current)
        return read(current)

    if breaks < tries:
        assert database.run(work, idempotent=idempotent) == 42
    else:
        with pytest.raises(DatabaseUnavailable):
            database.run(work, idempotent=idempotent)
    assert len(set(sessions)) == len(sessions) == tries
    assert notes() == [f"try {number + 1}" for number in range(tries)]
    assert write("next") == 1


@pytest.mark.parametrize("breaks", [True, False])
def test_transaction_that_breaks_or_fails_leaves_nothing(
    db: psycopg.Connection, notes: Callable[[], list[str]], breaks: bool
) -> None:
    def work(current: Connection) -> None:
        current.execute(INSERT, {"note": "never"})
        if breaks:
            end_in_the_middle(db, current)
        raise LookupError

    before = session()
    with pytest.raises(DatabaseUnavailable if breaks else LookupError):
        database.transaction(work)
    assert notes() == []
    assert (session() == before) == (not breaks)
    assert write("next") == 1


# ── Errors and timeouts of the server ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "run",
    [partial(database.run, idempotent=False), partial(database.run, idempotent=True), database.transaction],
    ids=["run", "idempotent run", "transaction"],
)
def test_statement_that_takes_too_long_is_given_up_and_the_connection_kept(
    run: Callable[[Callable[[Connection], None]], None],
) -> None:
    database.connection().execute("SET statement_timeout = '50ms'")
    tries = 0

    def work(current: Connection) -> None:
        nonlocal tries
        tries += 1
        current.execute("SELECT pg_sleep(60)")

    before = session()
    with pytest.raises(DatabaseUnavailable) as failed:
        run(work)
    assert (failed.value.retry_after, tries) == (1, 1)  # what took too long once would again
    assert session() == before


def test_statement_timeout_is_that_of_the_migrations() -> None:
    assert setting("statement_timeout") == "3500ms"


def test_session_that_the_server_ended_as_idle_is_replaced_before_it_is_used() -> None:
    assert setting("idle_session_timeout") == "10min"
    before = session()
    database.connection().execute("SET idle_session_timeout = '50ms'")
    time.sleep(0.3)
    assert setting("idle_session_timeout") == "10min"  # not idempotent, and yet it works
    assert session() != before


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
def test_error_that_would_come_again_is_no_outage(statement: Any, kind: type[psycopg.Error]) -> None:
    with pytest.raises(kind):
        database.execute(statement, {}, idempotent=True)
    assert database.fetch_tuples("SELECT 1", {}) == [(1,)]


def test_statements_are_not_prepared() -> None:
    for number in range(10):  # psycopg prepares a statement when it comes for the sixth time
        database.execute("DELETE FROM clients WHERE name = %(name)s", {"name": str(number)})
    assert database.fetch_tuples("SELECT name FROM pg_prepared_statements", {}) == []
