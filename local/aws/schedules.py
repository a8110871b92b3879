"""The schedules of a template: functions that are invoked again and again."""

import threading
import time
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from local.aws.event_queue import ACCOUNT, REGION
from local.aws.execution_environment import FunctionFailed
from local.aws.functions import Functions
from local.aws.template import Schedule
from local.servers.services import Log

_STOP_SECONDS = 2.0


class Schedules:
    """Runs each schedule in a thread of its own: at once, then at its rate, but at least every `seconds`.

    Logs the first run, each that did something, and the first of several that fail in the same way.
    """

    def __init__(self, schedules: Iterable[Schedule], functions: Functions, seconds: float, log: Log) -> None:
        self._functions = functions
        self._log = log
        self._stopping = threading.Event()
        self._runs = [
            _Run(schedule.function, min(schedule.seconds or seconds, seconds)) for schedule in schedules
        ]

    def start(self, wait: float) -> list[str]:
        """Begin; return when every first run is done, or after `wait` seconds.

        Returns the functions (their folders) that failed or still run.
        """
        deadline = time.monotonic() + wait
        for run in self._runs:
            run.thread = threading.Thread(
                target=self._repeat, args=[run], daemon=True, name=f"schedule-{run.function}"
            )
            run.thread.start()
        return [
            self._functions.label(run.function)
            for run in self._runs
            if not run.ran.wait(max(0.0, deadline - time.monotonic())) or run.failure is not None
        ]

    def stop(self) -> None:
        """Start no more runs; those under way get a moment to end."""
        self._stopping.set()
        deadline = time.monotonic() + _STOP_SECONDS
        for run in self._runs:
            if run.thread is not None:
                run.thread.join(max(0.0, deadline - time.monotonic()))

    def _repeat(self, run: "_Run") -> None:
        label = self._functions.label(run.function)
        while not self._stopping.is_set():
            started = time.monotonic()
            before = run.failure
            try:
                result = self._functions.invoke(run.function, _event(run.function))
            except FunctionFailed as error:
                result = {"failed": str(error)}
            run.failure = result.get("failed") if isinstance(result, dict) else None
            is_known = run.failure == before if run.failure else run.ran.is_set() and is_idle(result)
            if not self._stopping.is_set() and (not is_known or (before and not run.failure)):
                self._log(f"schedule | {label}: {summary(result)}")
            run.ran.set()
            self._stopping.wait(max(0.0, started + run.seconds - time.monotonic()))


class _Run:
    def __init__(self, function: str, seconds: float) -> None:
        self.function = function
        self.seconds = seconds
        self.ran = threading.Event()
        self.failure: str | None = None  # of the last run, or None when it did well
        self.thread: threading.Thread | None = None


def is_idle(result: Any) -> bool:
    """Whether a function changed nothing: the products that it checked and the seconds do not count."""
    return isinstance(result, dict) and not any(
        value for name, value in result.items() if name not in ("products", "seconds")
    )


def summary(result: Any) -> str:
    """Return a result as text: `66 products, 1 changed, 0.05 s`."""
    if not isinstance(result, dict) or not result:
        return "done"
    if "failed" in result:
        return f"failed: {result['failed']}"
    return ", ".join(
        f"{value} {'s' if name == 'seconds' else name.replace('_', ' ')}" if value is not True else name
        for name, value in result.items()
    )


def _event(function: str) -> dict[str, Any]:
    """Return the event of EventBridge Scheduler for a schedule without input."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": ACCOUNT,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/{function}"],
        "detail": "{}",
    }
