"""What the servers of this folder have in common: starting, failing, ports and waiting."""

import errno
import os
import random
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

Log = Callable[[str], None]
"""Takes one line for the console, without its end of line; may be called from any thread."""


class ServiceFailed(Exception):
    """A local service did not start; the text is one sentence for the person at the console."""


class Startable(ABC):
    """Something that is started and stopped, also by a `with`."""

    @abstractmethod
    def start(self) -> object:
        """Start; return what there is to know of it, if anything. Raises ServiceFailed."""

    @abstractmethod
    def stop(self) -> None:
        """Stop what was started."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class TcpServer(Startable):
    """A server that listens on a TCP port of the address `listen`: on `port`, or on a free one."""

    def __init__(self, port: int | None, listen: str) -> None:
        self._port = port
        self._listen = listen

    @property
    def port(self) -> int:
        """The TCP port, chosen when first asked for."""
        if self._port is None:
            self._port = free_port(self._listen)
        return self._port


class ServiceGroup(Startable):
    """Several services as one: `_start` starts them in order and leaves in `_running` how each is stopped.

    After start(), `url` is where it serves.
    """

    def __init__(self) -> None:
        self._running = ExitStack()
        self.url = ""

    @abstractmethod
    def _start(self) -> None: ...

    def start(self) -> str:
        """Start all of it; return the address, `url`.

        Raises ServiceFailed, with one sentence for the console, when any of it does not work; whatever was
        started by then is stopped.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self.url

    def stop(self) -> None:
        """Stop everything that was started; the data stays."""
        self._running.close()


_PARTS = 16  # of the ports, for processes that run at once
_given: deque[int] = deque(maxlen=100)  # the latest ports of this process
_giving = threading.Lock()


def free_port(host: str = "127.0.0.1") -> int:
    """Return a free TCP port.

    It lies below the range from which operating systems number outgoing connections (32768 and up on
    Linux, 49152 and up elsewhere): a service that stops and starts again finds its port still free, however
    many connections were opened meanwhile. Each process searches its own part of the range, and does not
    return a port twice for a while, so that two searches at the same moment find different ports.
    """
    part = range(20_000 + os.getpid() % _PARTS, 32_768, _PARTS)
    for port in random.sample(part, k=len(part)):
        with _giving:
            if port not in _given and is_free(port, host):
                _given.append(port)
                return port
    raise ServiceFailed(f"No free port was found on {host}.")


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether a server could listen on the port now."""
    with socket.socket() as probe:
        # As servers do: connections of a predecessor that are still closing are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            # Any other refusal (a port below 1024, a foreign address) the server itself explains better.
            return error.errno != errno.EADDRINUSE
        return True


def reached_at(listen: str) -> str:
    """Return the address at which this machine reaches a server that listens on `listen`."""
    return "127.0.0.1" if listen == "0.0.0.0" else listen  # noqa: S104 - compared, not listened on


def wait_until(condition: Callable[[], bool], timeout: float, interval: float = 0.02) -> bool:
    """Ask every `interval` seconds until the condition holds; False when `timeout` seconds do not do."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True


def log_tail(log: Path, start: int = 0, lines: int = 3) -> str:
    """Return the last lines of a log from byte `start` on, joined to fit into a sentence."""
    with log.open("rb") as file:
        file.seek(start)
        text: Sequence[str] = file.read().decode(errors="replace").split("\n")
    return " | ".join([line.strip() for line in text if line.strip()][-lines:]) or "nothing"
