"""What the servers of this folder have in common: starting, failing, ports and waiting."""

import errno
import os
import random
import signal
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from local.lifeline import Lifeline

Log = Callable[[str], None]
"""Takes one line for the console, without its line break; may be called from any thread."""


class ServiceFailed(Exception):
    """A local service did not start; the text is one sentence for the console."""


class Startable(ABC):
    """Something that is started and stopped, also by a `with`."""

    @abstractmethod
    def start(self) -> object:
        """Start. Raises ServiceFailed."""

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


class ServerProcess(Startable):
    """A server program that listens on the address `listen`, on `port` or on a free one.

    The port stays the same over every stop and start of the object.
    """

    name: str  # for the console
    stop_signals: tuple[signal.Signals, ...]
    stop_seconds: float  # after each of them

    def __init__(self, port: int | None, listen: str) -> None:
        self.port = port or free_port(listen)
        self._listen = listen
        self._lifeline: Lifeline | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def start(self) -> str:
        """Start the server unless it runs; return its URL once it answers. Raises ServiceFailed."""

    def stop(self) -> None:
        """End the server in order, or by force if that takes too long."""
        self._end(*self.stop_signals)

    def kill(self) -> None:
        """End the server as a crash would."""
        self._end()

    def restart(self) -> str:
        """Stop and start again, on the same port."""
        self.stop()
        return self.start()

    def exit_code(self) -> int | None:
        """The exit code of a server that ended by itself; None while it runs, or after stop()."""
        return None if self._process is None else self._process.poll()

    @property
    def is_running(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def _launch(
        self,
        command: Sequence[str],
        log: Path,
        is_ready: Callable[[], bool],
        seconds: float,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start the program, and return when `is_ready`. Raises ServiceFailed with the end of its log."""
        if not is_free(self.port, self._listen):
            raise ServiceFailed(f"{self.name} did not start: port {self.port} is in use.")
        self._lifeline = Lifeline(self.stop_signals[0])
        with log.open("ab") as file:
            log_start = file.tell()
            self._process = process = self._lifeline.start(command, log=file, env=env)
        wait_until(lambda: process.poll() is not None or is_ready(), timeout=seconds)
        if process.poll() is not None or not is_ready():
            raise ServiceFailed(f"{self.name} did not start; it said: {log_tail(log, log_start)} ({log})")

    def _end(self, *signals: signal.Signals) -> None:
        if self._process is not None and self._lifeline is not None:
            self._lifeline.end(self._process, *signals, patience=self.stop_seconds)
            self._lifeline.close()
            self._process = self._lifeline = None


_PARTS = 16  # of the ports, for processes that run at once
_given: deque[int] = deque(maxlen=100)  # the latest ports of this process
_giving = threading.Lock()


def free_port(host: str = "127.0.0.1") -> int:
    """Return a free TCP port.

    It lies below the range of outgoing connections (from 32768 on Linux, 49152 elsewhere), so a service that
    restarts finds its port still free. Each process searches its own part of the range and does not repeat a
    port for a while, so that two searches at the same moment find different ports.
    """
    part = range(20_000 + os.getpid() % _PARTS, 32_768, _PARTS)
    for port in random.sample(part, k=len(part)):
        with _giving:
            if port not in _given and is_free(port, host):
                _given.append(port)
                return port
    raise ServiceFailed(f"No free port was found on {host}.")


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        # As servers do: closing connections of a predecessor are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            # The server itself explains any other error better (a port below 1024, a foreign address).
            return error.errno != errno.EADDRINUSE
        return True


def reached_at(listen: str) -> str:
    """Return the address at which this machine reaches a server that listens on `listen`."""
    return "127.0.0.1" if listen == "0.0.0.0" else listen  # noqa: S104 - compared, not listened on


def wait_until(condition: Callable[[], bool], timeout: float, interval: float = 0.02) -> bool:
    """Check the condition every `interval` seconds until it holds; False after `timeout` seconds."""
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
        text = file.read().decode(errors="replace").split("\n")
    return " | ".join([line.strip() for line in text if line.strip()][-lines:]) or "nothing"
