"""Logs when a backing service ends while the rest runs: requests would only show the consequences."""

import threading
from collections.abc import Callable, Mapping

from local.servers.services import Log

_EVERY = 1.0  # seconds


class ServiceWatch:
    """Checks the services until stop(), and logs one line for each that ended.

    `exit_codes` gives the exit code of each service by its name, None while it runs.
    """

    def __init__(self, exit_codes: Mapping[str, Callable[[], int | None]], log: Log) -> None:
        self._exit_codes = exit_codes
        self._log = log
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="service-watch")
        self._thread.start()

    def stop(self) -> None:
        """Stop checking."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        logged: set[str] = set()
        while not self._stopping.wait(_EVERY):
            for name, exit_code in self._exit_codes.items():
                code = exit_code()
                if code is None:
                    logged.discard(name)
                elif name not in logged:
                    logged.add(name)
                    self._log(
                        f"{name} has ended (exit code {code}). Its log is in the data folder; "
                        "stop with Ctrl-C and start anew."
                    )
