"""One PostgreSQL connection per execution environment: opened on first use, reopened when it was closed.

A slow statement is ended by `statement_timeout`. The migrations set it on the database, because a pooling
proxy pins sessions that set something or prepare statements (hence `prepare_threshold=None`). The deadlines
here are for a server that does not answer: they end the wait and close the connection.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, LiteralString, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.errors import ReadOnlySqlTransaction
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, class_row, dict_row, tuple_row

from shared.errors import DatabaseUnavailable, SecretUnavailable
from shared.platform import deadlines, settings

if TYPE_CHECKING:
    from psycopg.abc import PQGen

CONNECT_TIMEOUT = 3.0  # seconds from the name look-up to the end of authentication
ANSWER_TIMEOUT = 5.0  # seconds for a statement where no deadline is nearer; `statement_timeout` is shorter
PING_AFTER_IDLE = 5.0  # seconds without use after which a statement is preceded by a ping
PING_TIMEOUT = 1.0  # seconds

# With these the kernel notices a vanished server before the deadline.
_SOCKET: Mapping[str, int] = {
    "tcp_user_timeout": 2_000,  # milliseconds for the other side to confirm what was sent
    "keepalives_idle": 20,  # seconds
    "keepalives_interval": 3,
    "keepalives_count": 3,
}

Connection = psycopg.Connection[DictRow]
Parameters = Mapping[str, Any]
Result = TypeVar("Result")


class BoundedConnection(psycopg.Connection[DictRow]):
    """A connection that waits for its server until the deadline, and is then closed."""

    longest = ANSWER_TIMEOUT  # seconds for one statement
    used_at = 0.0  # seconds since the epoch: the monotonic clock of a frozen environment may stand still

    def wait(self, gen: PQGen[Result], interval: float = 0.1, timeout: float | None = None) -> Result:
        """Override: psycopg calls it for every exchange with the server."""
        try:
            result = super().wait(gen, interval, deadlines.left(self.longest) if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:  # out of time
                self.pgconn.finish()
            raise
        self.used_at = time.time()
        return result


# For callers with several threads: they share the one connection.
_opening = threading.Lock()
_connection: BoundedConnection | None = None


def connection() -> BoundedConnection:
    """The environment's connection (autocommit, rows as dicts), opened where there is none that works.

    Raises DatabaseUnavailable.
    """
    global _connection
    if not deadlines.left(ANSWER_TIMEOUT):
        raise _unanswered("out of time")
    with _opening:
        if _connection is None or not _works(_connection):
            close()
            _connection = _open()
        return _connection


def close() -> None:
    """Close the environment's connection, if there is one; the next use opens another."""
    global _connection
    if _connection is not None:
        _connection.close()
        _connection = None


def run(work: Callable[[Connection], Result], *, idempotent: bool) -> Result:
    """The result of `work`, which does one statement or one transaction on the connection.

    If the connection breaks, `idempotent` work (it reads, or a constraint makes a second write the same as
    the first) is repeated once on a new one. Other work is not, because the server may have done it. Any
    work is repeated if the server refused it as read-only, like a former primary after a failover.
    Raises DatabaseUnavailable.
    """
    current = connection()
    try:
        return work(current)
    except ReadOnlySqlTransaction:
        current.close()
    except psycopg.OperationalError as error:
        if _is_permanent(error):
            raise
        if not (idempotent and current.closed and deadlines.left(ANSWER_TIMEOUT)):
            raise _unanswered(str(error)) from error
    current = connection()
    try:
        return work(current)
    except (psycopg.OperationalError, ReadOnlySqlTransaction) as error:
        if _is_permanent(error):
            raise
        raise _unanswered(str(error)) from error


def _is_permanent(error: psycopg.Error) -> bool:
    """Whether the server refused the data or its size, so that a repetition cannot help.

    SQLSTATE classes 22 (data), 23 (constraints) and 54 (program limits).
    """
    return (error.sqlstate or "")[:2] in ("22", "23", "54")


def _unanswered(reason: str) -> DatabaseUnavailable:
    return DatabaseUnavailable("The database did not answer in time.", retry_after=1, reason=reason)


def _open() -> BoundedConnection:
    seconds = deadlines.left(CONNECT_TIMEOUT)
    try:
        conninfo = make_conninfo(
            settings.database_url(),
            **settings.database_credentials(),
            **_SOCKET,
            # After a failover the name may lead to the old server for a while, which takes no writes.
            # No round trip: servers report it at the start of a session.
            target_session_attrs="read-write",
            connect_timeout=int(CONNECT_TIMEOUT) + 1,  # ends a thread that `deadlines.call` abandoned
            application_name="favorites",
        )
        opened = deadlines.call(
            lambda: BoundedConnection.connect(
                conninfo, autocommit=True, prepare_threshold=None, row_factory=dict_row
            ),
            seconds,
            discard=psycopg.Connection.close,
        )
    except (psycopg.OperationalError, SecretUnavailable, TimeoutError) as error:
        raise DatabaseUnavailable(
            "The database cannot be reached.", retry_after=1, reason=f"not connected: {error}"
        ) from error
    opened.used_at = time.time()
    return opened


def _works(current: BoundedConnection) -> bool:
    """Whether the connection is open, and its server answers a ping if it was idle for a while."""
    unused = abs(time.time() - current.used_at)
    if current.closed or unused > deadlines.KEPT_BY_NETWORKS or _server_hung_up(current):
        return False
    if unused <= PING_AFTER_IDLE:
        return True
    try:
        with deadlines.within(PING_TIMEOUT):
            current.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def _server_hung_up(current: Connection) -> bool:
    """Whether an idle connection has something to read: PostgreSQL sends unasked only when it hangs up.

    One system call. Without it a write after a server restart would fail, and it would be unknown whether it
    was done.
    """
    if not current.lock.acquire(blocking=False):  # in use by another thread
        return False
    try:
        poll = select.poll()
        poll.register(current.fileno(), select.POLLIN)
        return bool(poll.poll(0))
    finally:
        current.lock.release()


def fetch_one(
    row: type[Result], query: LiteralString, parameters: Parameters, *, idempotent: bool = False
) -> Result | None:
    """The statement's first row as a `row`, or None where it returned none. Raises DatabaseUnavailable."""

    def work(current: Connection) -> Result | None:
        return current.cursor(row_factory=class_row(row)).execute(query, parameters).fetchone()

    return run(work, idempotent=idempotent)


def fetch_all(
    row: type[Result], query: LiteralString, parameters: Parameters, *, idempotent: bool = False
) -> list[Result]:
    """All of the statement's rows, each as a `row`. Raises DatabaseUnavailable."""

    def work(current: Connection) -> list[Result]:
        return current.cursor(row_factory=class_row(row)).execute(query, parameters).fetchall()

    return run(work, idempotent=idempotent)


def fetch_tuples(
    query: LiteralString, parameters: Parameters, *, idempotent: bool = False
) -> list[tuple[Any, ...]]:
    """All of the statement's rows, each as the tuple of its columns. Raises DatabaseUnavailable."""

    def work(current: Connection) -> list[tuple[Any, ...]]:
        return current.cursor(row_factory=tuple_row).execute(query, parameters).fetchall()

    return run(work, idempotent=idempotent)


def execute(query: LiteralString, parameters: Parameters, *, idempotent: bool = False) -> int:
    """How many rows the statement wrote. Raises DatabaseUnavailable."""
    return run(lambda current: current.execute(query, parameters).rowcount, idempotent=idempotent)


def transaction(work: Callable[[Connection], Result]) -> Result:
    """The result of `work`, done in one transaction.

    Raises DatabaseUnavailable; then nothing was committed, unless the answer to COMMIT itself was lost.
    """

    def in_transaction(current: Connection) -> Result:
        with current.transaction():
            return work(current)

    return run(in_transaction, idempotent=False)
