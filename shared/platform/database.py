"""One PostgreSQL connection per execution environment: opened on first use, reopened when it was closed.

`statement_timeout` is set on the database by the migrations and not per connection: a pooling proxy pins
sessions that set something, and those that prepare statements (so `prepare_threshold=None`). It ends a
statement that takes too long. The deadlines here are for a server that does not answer: they end the wait,
and close the connection.
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

CONNECTING = 3.0  # seconds from the name look-up to the end of authentication
ANSWERING = 5.0  # seconds for a statement where no deadline is nearer; `statement_timeout` comes before it
DOZED = 5.0  # seconds after which the server is asked whether it is there, before anything else is
THERE = 1.0  # seconds for it to say so

# Where the kernel can tell that a server vanished, it need not wait for the deadline.
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
    """A connection that waits for its server no longer than the deadline, and is closed when that passes.

    `longest` is what one statement may take in seconds; it was last used at `used_at` (seconds since the
    epoch: a frozen environment's monotonic clock may stand still).
    """

    longest = ANSWERING
    used_at = 0.0

    def wait(self, gen: PQGen[Result], interval: float = 0.1, timeout: float | None = None) -> Result:
        """What psycopg calls for all that it exchanges with the server."""
        try:
            result = super().wait(gen, interval, deadlines.left(self.longest) if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:  # out of time
                self.pgconn.finish()
            raise
        self.used_at = time.time()
        return result


# A request has its environment to itself; whoever calls this from threads gets one connection all the same.
_opening = threading.Lock()
_connection: BoundedConnection | None = None


def connection() -> BoundedConnection:
    """The environment's connection (autocommit, rows as dicts), opened where there is none that works.

    Raises DatabaseUnavailable.
    """
    global _connection
    if not deadlines.left(ANSWERING):  # nothing is begun that nobody waits for
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


def run(work: Callable[[Connection], Result], *, repeatable: bool) -> Result:
    """What `work` makes of the connection: one statement, or one transaction.

    Work that says it is `repeatable` (it reads, or a constraint makes a second write the same as the first)
    is done once more on a new connection when this one broke under it; other work is not, for nobody can
    tell whether the server had done it. What a server refused because it may only read, as one does that
    was the primary until a moment ago, was certainly not done. Raises DatabaseUnavailable.
    """
    current = connection()
    try:
        return work(current)
    except ReadOnlySqlTransaction:
        current.close()
    except psycopg.OperationalError as error:
        if _would_come_again(error):
            raise
        if not (repeatable and current.closed and deadlines.left(ANSWERING)):
            raise _unanswered(str(error)) from error
    current = connection()
    try:
        return work(current)
    except (psycopg.OperationalError, ReadOnlySqlTransaction) as error:
        if _would_come_again(error):
            raise
        raise _unanswered(str(error)) from error


def _would_come_again(error: psycopg.Error) -> bool:
    """Whether the server refuses the data or its size, however often it is sent: that is no outage.

    SQLSTATE classes 22 (data), 23 (constraints) and 54 (program limits).
    """
    return (error.sqlstate or "")[:2] in ("22", "23", "54")


def _unanswered(reason: str) -> DatabaseUnavailable:
    return DatabaseUnavailable("The database did not answer in time.", retry_after=1, reason=reason)


def _open() -> BoundedConnection:
    seconds = deadlines.left(CONNECTING)
    try:
        conninfo = make_conninfo(
            settings.database_url(),
            **settings.database_credentials(),
            **_SOCKET,
            # After a failover the name may lead to the old server for a while, which takes no writes.
            # Servers say which they are as they greet: this costs no round trip.
            target_session_attrs="read-write",
            connect_timeout=int(CONNECTING) + 1,  # ends the thread that nobody waits for any more
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
    """Whether the connection is open and, if it was not used for a while, its server still there."""
    unused = abs(time.time() - current.used_at)
    if current.closed or unused > deadlines.KEPT_BY_NETWORKS or _server_hung_up(current):
        return False
    if unused <= DOZED:
        return True
    try:
        with deadlines.within(THERE):
            current.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


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


def fetch_tuples(
    query: LiteralString, parameters: Parameters, *, repeatable: bool = False
) -> list[tuple[Any, ...]]:
    """All of the statement's rows, each as the tuple of its columns. Raises DatabaseUnavailable."""

    def work(current: Connection) -> list[tuple[Any, ...]]:
        with current.cursor(row_factory=tuple_row) as cursor:
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
