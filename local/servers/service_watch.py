"""Logs when a backing service ends while the rest runs: requests would only show the consequences."""

import threading
from collections.abc import Mapping
from typing import Protocol

from local.servers.services import Log

_EVERY = 1.0  # seconds


class Watched(Protocol):
    """A service that knows how it ended."""

    @property
    def exit_code(self) -> int | None:
        """None while it runs, or after it was stopped on purpose."""


class ServiceWatch:
    """Looks at the services (name to service) until stop(), and logs one line for each that ended."""

    def __init__(self, services: Mapping[str, Watched], log: Log) -> None:
        self._services = dict(services)
        self._log = log
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True, name="service-watch")
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; what ends from now on ends on purpose."""
        self._stopping.set()
        self._thread.join()

    def _look(self) -> None:
        logged: set[str] = set()
        while not self._stopping.wait(_EVERY):
            for name, service in self._services.items():
                code = service.exit_code
                if code is None:
                    logged.discard(name)
                elif name not in logged:
                    logged.add(name)
                    self._log(
                        f"{name} has ended (exit code {code}). Its log is in the data folder; "
                        "stop with Ctrl-C and start anew."
                    )
