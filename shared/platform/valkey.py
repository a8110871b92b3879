"""The connection to Valkey (Redis protocol): one per execution environment, and quick to do without.

Everything kept there can be had elsewhere, so a Valkey that is down or slow costs a request at most
`TIMEOUT`, and only one request in `HOLD_OFF` finds out.

The client is our own, for three reasons: a command has one deadline whatever the server does (redis-py has
one for each read); it loads nothing (redis-py takes a tenth of a cached product's cold start); and a command
costs 30 µs of CPU in place of 70.
Protocol: RESP2, https://valkey.io/topics/protocol/
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from shared.platform import deadlines, logs, settings

TIMEOUT = 0.1  # seconds for a command, or a pipeline of them: connecting, sending and the whole answer
HOLD_OFF = 1.0  # seconds without a try after a failure
READ_BYTES = 65_536  # at a time

Result = TypeVar("Result")
Word = str | bytes | int | float
Reply = Any  # bytes, int, None, or a list of them

_URL = re.compile(
    r"(?P<scheme>rediss?)://(?:(?P<user>[^:@/]*):(?P<password>[^@/]*)@)?"
    r"(?P<host>\[[^]]+\]|[^:/\[\]]+)(?::(?P<port>\d+))?/?(?P<number>\d*)"
)

_server: Server | None = None
_not_before = 0.0


class CacheDown(Exception):
    """Valkey did not answer, or not in time; go on without it."""


class Refused(Exception):
    """Valkey's answer to a command is an error."""


def command(run: Callable[[Server], Result]) -> Result:
    """What `run` gets from Valkey. Raises CacheDown."""
    global _server, _not_before
    if time.monotonic() < _not_before:
        raise CacheDown
    try:
        if _server is None:
            _server = Server(settings.redis_url())
        return run(_server)
    except (OSError, Refused) as error:  # no answer, too slow, still loading, out of memory: all the same
        _not_before = time.monotonic() + HOLD_OFF
        logs.logger().warning("cache down", reason=str(error))
        raise CacheDown from error


def close() -> None:
    """Forget the connection and that it ever failed; the next use opens another."""
    global _server, _not_before
    if _server is not None:
        _server.close()
    _server, _not_before = None, 0.0


class Server:
    """A Valkey server by its URL, and its commands as far as they are needed here.

    Connections are kept; a request uses one, threads one each. Every method raises OSError where there is no
    whole answer in time, and Refused for an error.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._idle: list[_Connection] = []

    def close(self) -> None:
        """Close the connections that nobody uses just now."""
        while self._idle:
            self._idle.pop().close()

    def get(self, key: str) -> bytes | None:
        """The value, or None."""
        return self._bytes("GET", key)

    def set(
        self,
        key: str,
        value: Word,
        *,
        ex: int | None = None,
        px: int | None = None,
        nx: bool = False,
        get: bool = False,
    ) -> bytes | None:
        """Keep the value for `ex` seconds or `px` milliseconds, with `nx` only where there is none.

        With `get`, what was there before; otherwise b"OK", or None where `nx` kept it from being set.
        """
        words: list[Word] = ["SET", key, value]
        if ex is not None:
            words += ("EX", ex)
        if px is not None:
            words += ("PX", px)
        return self._bytes(*words, *(["NX"] if nx else []), *(["GET"] if get else []))

    def delete(self, *keys: str) -> int:
        """How many of the keys there were."""
        return self._int("DEL", *keys)

    def exists(self, key: str) -> bool:
        """Whether there is such a key."""
        return bool(self._int("EXISTS", key))

    def hmget(self, key: str, fields: Sequence[str]) -> list[bytes | None]:
        """The hash's value for each field, None where it has none."""
        values: list[bytes | None] = self.do("HMGET", key, *fields)
        return values

    def hset(self, key: str, field: str, value: Word) -> int:
        """How many fields were new."""
        return self._int("HSET", key, field, value)

    def eval(self, script: str, number_of_keys: int, *words: Word) -> Reply:
        """What the Lua script returns."""
        return self.do("EVAL", script, number_of_keys, *words)

    def ping(self) -> None:
        """Nothing, when it answers."""
        self.do("PING")

    def do(self, *words: Word) -> Reply:
        """The answer to a command."""
        return self.do_all([words])[0]

    def do_all(self, commands: Sequence[Sequence[Word]]) -> list[Reply]:
        """The answers to commands that are sent together, in their order."""
        ends = time.monotonic() + deadlines.left(TIMEOUT)
        packed = b"".join(map(_packed, commands))
        while self._idle:
            connection = self._idle.pop()
            if abs(time.time() - connection.used_at) > deadlines.KEPT_BY_NETWORKS:
                connection.close()
                continue
            try:
                return self._exchange(connection, packed, len(commands), ends)
            except ConnectionError:  # closed by the server while this environment slept
                continue
        return self._exchange(_Connection(self._url, ends), packed, len(commands), ends)

    def _exchange(self, connection: _Connection, packed: bytes, count: int, ends: float) -> list[Reply]:
        try:
            replies = connection.exchange(packed, count, ends)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        for reply in replies:
            if isinstance(reply, Refused):
                raise reply
        return replies

    def _bytes(self, *words: Word) -> bytes | None:
        reply: bytes | None = self.do(*words)
        return reply

    def _int(self, *words: Word) -> int:
        reply: int = self.do(*words)
        return reply


def _packed(words: Sequence[Word]) -> bytes:
    """A command as RESP has it: an array of texts."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        text = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(parts)


class _Connection:
    """A connection, and the answers that come over it."""

    def __init__(self, url: str, ends: float) -> None:
        match = _URL.fullmatch(url)
        if match is None:
            raise settings.MissingSetting("REDIS_URL has to be like redis://host:port or rediss://host:port")
        address = match["host"].strip("[]"), int(match["port"] or 6379)
        seconds = _seconds_until(ends)
        self._socket = deadlines.call(
            lambda: _connect(address, seconds, tls=match["scheme"] == "rediss"),
            seconds,
            discard=socket.socket.close,
        )
        self._received = bytearray()
        self._position = 0
        # Nothing else is said before the first command: a cold start pays for each round trip.
        greeting: list[Sequence[Word]] = []
        if match["password"] is not None:
            from urllib.parse import unquote

            words = [unquote(match[part]) for part in ("user", "password") if match[part]]
            greeting.append(["AUTH", *words])
        if int(match["number"] or 0):
            greeting.append(["SELECT", match["number"]])
        if greeting:
            for reply in self.exchange(b"".join(map(_packed, greeting)), len(greeting), ends):
                if isinstance(reply, Refused):
                    self.close()
                    raise reply

    def close(self) -> None:
        self._socket.close()

    def exchange(self, packed: bytes, count: int, ends: float) -> list[Reply]:
        """Send commands and receive `count` replies, an error as a `Refused`; all of it until `ends`."""
        self._ends = ends
        self._socket.settimeout(_seconds_until(ends))
        self._socket.sendall(packed)  # its timeout is for all of it
        replies = [self._reply() for _ in range(count)]
        if self._position != len(self._received):
            raise OSError("an answer that nobody asked for")
        self._received.clear()
        self._position = 0
        self.used_at = time.time()  # a frozen environment's monotonic clock may stand still
        return replies

    def _reply(self) -> Reply:
        line = self._line()
        kind, text = line[:1], line[1:]
        match kind:
            case b"+":
                return text
            case b"-":
                return Refused(text.decode(errors="replace"))
            case b":":
                return int(text)
            case b"$":
                return None if text == b"-1" else self._text(int(text))
            case b"*":
                return None if text == b"-1" else [self._reply() for _ in range(int(text))]
        raise OSError("an answer that is not RESP")

    def _line(self) -> bytes:
        searched = self._position
        while (end := self._received.find(b"\r\n", searched)) < 0:
            searched = max(self._position, len(self._received) - 1)
            self._receive()
        line = bytes(self._received[self._position : end])
        self._position = end + 2
        return line

    def _text(self, length: int) -> bytes:
        end = self._position + length
        while len(self._received) < end + 2:
            self._receive()
        text = bytes(self._received[self._position : end])
        self._position = end + 2
        return text

    def _receive(self) -> None:
        self._socket.settimeout(_seconds_until(self._ends))
        received = self._socket.recv(READ_BYTES)
        if not received:
            raise ConnectionResetError("the server closed the connection")
        self._received += received


def _connect(address: tuple[str, int], seconds: float, *, tls: bool) -> socket.socket:
    connected = socket.create_connection(address, timeout=seconds)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not tls:
        return connected
    import ssl

    return ssl.create_default_context().wrap_socket(connected, server_hostname=address[0])


def _seconds_until(ends: float) -> float:
    seconds = ends - time.monotonic()
    if seconds <= 0:
        raise TimeoutError(f"no whole answer in {TIMEOUT} seconds")
    return seconds
