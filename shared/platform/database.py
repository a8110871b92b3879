"""One PostgreSQL connection per execution environment: opened on first use, reopened when it was closed.

`statement_timeout` is set on the database by the first migration and not per connection: a pooling proxy pins
the sessions that set things, as it pins those that prepare statements (hence `prepare_threshold=None`).
"""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Mapping
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, class_row, dict_row

from shared.errors import DatabaseUnavailable
from shared.platform import logs, secrets_manager, settings

CONNECT_TIMEOUT = 3  # seconds

Connection = psycopg.Connection[DictRow]
Parameters = Mapping[str, Any]
Result = TypeVar("Result")

# A request has its environment to itself; whoever calls this from threads gets one connection all the same.
_opening = threading.Lock()
_connection: Connection | None = None


def connection() -> Connection:
    """The environment's connection (autocommit, rows as dicts), opened where there is none that works.

    Raises DatabaseUnavailable.
    """
    global _connection
    with _opening:
        if _connection is None or _connection.closed or _server_hung_up(_connection):
            close()
            try:
                _connection = psycopg.connect(
                    make_conninfo(settings.database_url(), **settings.database_credentials()),
                    autocommit=True,
                    prepare_threshold=None,
                    connect_timeout=CONNECT_TIMEOUT,
                    application_name="favorites",
                    row_factory=dict_row,
                )
            except (psycopg.OperationalError, secrets_manager.SecretUnavailable) as error:
                # At night the one question is why; the caller is told no more than that it is so.
                logs.logger().error("database unavailable", reason=str(error))
                raise DatabaseUnavailable("The database cannot be reached.", retry_after=1) from error
        return _connection


def close() -> None:
    """Close the environment's connection, if there is one; the next use opens another."""
    global _connection
    if _connection is not None:
        _connection.close()
        _connection = None


def run(work: Callable[[Connection], Result], *, repeatable: bool) -> Result:
    """What `work` makes of the connection.

    Work that says it is `repeatable` (it reads, or a constraint makes a second write the same as the first)
    is done once more on a new connection when the server closed this one under it; other work never is, for
    nobody can tell whether the server had done it. Raises DatabaseUnavailable.
    """
    try:
        return _run(work)
    except DatabaseUnavailable:
        if repeatable and _connection is not None and _connection.closed:
            return _run(work)
        raise


def _run(work: Callable[[Connection], Result]) -> Result:
    current = connection()
    try:
        return work(current)
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable("The database did not answer in time.", retry_after=1) from error


def fetch_one(
    row: type[Result], query: LiteralString, parameters: Parameters, *, repeatable: bool = False
) -> Result | None:
    """The statement's first row as a `row`, or None where it returned none. Raises DatabaseUnavailable."""

    def work(current: Connection) -> Result | None:
        with current.cursor(row_factory=class_row(row)) as cursor:
            return cursor.execute(query, parameters).fetchone()

    return run(work, repeatable=repeatable)


def fetch_all(
    row: type[Result], query: LiteralString, parameters: Parameters, *, repeatable: bool = False
) -> list[Result]:
    """All of the statement's rows, each as a `row`. Raises DatabaseUnavailable."""

    def work(current: Connection) -> list[Result]:
        with current.cursor(row_factory=class_row(row)) as cursor:
            return cursor.execute(query, parameters).fetchall()

    return run(work, repeatable=repeatable)


def execute(query: LiteralString, parameters: Parameters, *, repeatable: bool = False) -> int:
    """How many rows the statement wrote. Raises DatabaseUnavailable."""
    return run(lambda current: current.execute(query, parameters).rowcount, repeatable=repeatable)


def transaction(work: Callable[[Connection], Result]) -> Result:
    """What `work` makes of the connection inside one transaction; all of it is kept, or none.

    Raises DatabaseUnavailable, and then nothing of it was kept unless the answer to COMMIT itself was lost.
    """

    def in_transaction(current: Connection) -> Result:
        with current.transaction():
            return work(current)

    return run(in_transaction, repeatable=False)


def _server_hung_up(current: Connection) -> bool:
    """Whether an idle connection has something to read: PostgreSQL only speaks unasked to say goodbye.

    Costs one system call, and lets a write after a server restart go to a new connection at once, where
    finding out by failing would leave open whether the write was done.
    """
    if not current.lock.acquire(blocking=False):  # another thread is using it, so it is no idle one
        return False
    try:
        poll = select.poll()
        poll.register(current.fileno(), select.POLLIN)
        return bool(poll.poll(0))
    finally:
        current.lock.release()
