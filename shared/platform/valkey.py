"""The connection to Valkey (Redis protocol): one per execution environment; requests work without it.

Everything in it can be had elsewhere. A server that is down or slow costs a request at most `TIMEOUT` a
command (`SLOW_TIMEOUT` where guesses are counted), and only one request in `COOLDOWN`: the others skip it. A
server that answers and refuses, as one does that is full, goes on being used: its reads still work.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any

from redis.connection import Connection, ConnectionPool, SSLConnection
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from shared.platform import deadlines, logs, settings

TIMEOUT = 0.1  # seconds for a command, or a pipeline of them: connecting, sending and the whole answer
SLOW_TIMEOUT = 0.5  # seconds for a command that is worth waiting for: counting guesses at passwords
COOLDOWN = 1.0  # seconds without a try after a failure

# Amazon Trust Services, which issue ElastiCache's certificates. See authorities/README.md.
AUTHORITIES = __file__.rpartition("/")[0] + "/authorities/amazon_roots.pem"

_pool: ConnectionPool | None = None
_not_before = 0.0
_used_at = 0.0  # seconds since the epoch: a frozen environment's monotonic clock may stand still


class CacheDown(Exception):
    """Valkey did not answer, or not in time; go on without it."""


class CacheRefused(CacheDown):
    """Valkey refused a command, as a full server or a replica refuses to write; it executed the others."""


def pipeline(*commands: Sequence[str], seconds: float = TIMEOUT) -> list[Any]:
    """The replies to commands (None, bytes, int, or a list of those), in one round trip.

    All of it takes `seconds` at most. Written out here, as redis-py's own client takes longer to put a
    command together than Valkey to answer it, and 10 ms of a cold start to load. Raises CacheDown.
    """
    global _not_before, _used_at
    left = deadlines.left(seconds)
    if time.monotonic() < _not_before or not left:
        raise CacheDown
    sent = b"".join(map(_packed, commands))
    try:
        with deadlines.within(seconds):
            replies = _exchange(_connected(), sent, len(commands))
    except ResponseError as error:
        logs.logger().warning("cache refused", reason=str(error))
        raise CacheRefused from error
    except RedisError as error:
        if left == seconds:  # else the caller ran out of time, which says little of Valkey
            _not_before = time.monotonic() + COOLDOWN
        logs.logger().warning("cache down", reason=str(error))
        raise CacheDown from error
    _used_at = time.time()
    return replies


def script(source: str, key: str, *arguments: object) -> list[str]:
    """The command that runs a Lua script, which has the one key: one step on the server."""
    return ["EVAL", source, "1", key, *map(str, arguments)]


def _exchange(pool: ConnectionPool, sent: bytes, commands: int) -> list[Any]:
    """The replies; a ResponseError, where one of them is that, is raised after all were read."""
    connection: Any = pool.get_connection()
    was_kept, connection.is_kept = connection.is_kept, True
    replies: list[Any] = []
    refusal: ResponseError | None = None
    try:
        connection.send_packed_command([sent])
        for _ in range(commands):
            try:
                replies.append(connection.read_response())
            except ResponseError as error:
                refusal = error
    except BaseException as error:
        connection.disconnect()  # unread replies would be taken for those of the next command
        # A connection that the server closed while this environment slept breaks at the first command. A
        # server that is slow is not tried twice.
        if not was_kept or type(error) is not Disconnected:
            raise
    else:
        if refusal is None:
            return replies
        if isinstance(refusal, ReadOnlyError):
            connection.disconnect()  # the server has become a replica: its name may lead to the new primary
        raise refusal
    finally:
        pool.release(connection)
    return _exchange(pool, sent, commands)


def _packed(words: Sequence[str]) -> bytes:
    """A command in the protocol's form (RESP): an array of strings, each behind its length in bytes."""
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded])


def close() -> None:
    """Forget the connection and its failures; the next use opens another."""
    global _pool, _not_before
    if _pool is not None:
        _pool.close()
    _pool, _not_before = None, 0.0


def _connected() -> ConnectionPool:
    global _pool, _used_at
    if _pool is None:
        pool = ConnectionPool.from_url(
            settings.redis_url(),
            max_connections=1_000,  # a request uses one, threads one each
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            # Two round trips less at every cold start: no HELLO, no CLIENT SETINFO.
            protocol=2,
            driver_info=None,
        )
        is_tls = pool.connection_class is SSLConnection
        pool.connection_class = _BoundedTlsConnection if is_tls else _BoundedConnection
        _pool, _used_at = pool, time.time()
    elif abs(time.time() - _used_at) > deadlines.KEPT_BY_NETWORKS:
        _pool.disconnect(inuse_connections=False)  # another thread may be in a command
    return _pool


# ── One deadline for a whole command ──────────────────────────────────────────────────────────────────────

# redis-py's timeouts begin anew with each read: a server that sends a byte now and then would hold a command
# without end. The sockets here wait no longer than the deadline in force.


class _BoundedSocket:
    """A socket whose every wait takes what is left of the deadline; without one in force, `SLOW_TIMEOUT`."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._waits = True

    def settimeout(self, seconds: float | None) -> None:
        """With 0 it does not wait: redis-py looks so whether there is something to read."""
        self._waits = seconds != 0
        if not self._waits:
            self._socket.settimeout(0)

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes. Raises TimeoutError."""
        if not self._waits:
            return self._socket.recv(size)
        seconds = deadlines.left(SLOW_TIMEOUT)
        if not seconds and deadlines.overdue() > TIMEOUT:
            raise TimeoutError("out of time")
        self._socket.settimeout(seconds)
        try:
            return self._socket.recv(size)
        except BlockingIOError:
            # Out of time. A reply that came in time was read above, even if this process was late to look.
            raise TimeoutError("out of time") from None

    def sendall(self, data: bytes) -> None:
        """Send all of it; a socket's timeout is for the whole of that. Raises TimeoutError."""
        self._socket.settimeout(_seconds_left())
        self._socket.sendall(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


def _seconds_left() -> float:
    seconds = deadlines.left(SLOW_TIMEOUT)
    if not seconds:
        raise TimeoutError("out of time")
    return seconds


def _bounded(connect: Callable[[], socket.socket]) -> _BoundedSocket:
    """The socket that `connect` opens, in a thread: a name look-up and a TLS handshake know no deadline."""
    return _BoundedSocket(deadlines.call(connect, _seconds_left(), discard=socket.socket.close))


class _BoundedConnection(Connection):
    is_kept = False  # from an earlier command

    def _connect(self) -> _BoundedSocket:
        self.is_kept = False
        return _bounded(super()._connect)


class _BoundedTlsConnection(SSLConnection):
    is_kept = False

    def _connect(self) -> _BoundedSocket:
        self.is_kept = False
        return _bounded(super()._connect)

    def _wrap_socket_with_ssl(self, sock: socket.socket) -> ssl.SSLSocket:
        """The socket in TLS, after the server's certificate and name were verified. Raises ssl.SSLError.

        redis-py would load all authorities that the system trusts, over a hundred: 15 ms of a cold start.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and host name
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(os.environ.get("SSL_CERT_FILE") or AUTHORITIES)
        return context.wrap_socket(sock, server_hostname=self.host)
