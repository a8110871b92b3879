"""The schedules of a template: functions that are invoked again and again."""

import threading
import time
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from local.aws.event_bus import ACCOUNT, REGION
from local.aws.execution_environment import FunctionFailed
from local.aws.functions import Functions
from local.aws.template import Schedule
from local.servers.services import Log

_STOP_SECONDS = 2.0


class Schedules:
    """Runs each schedule in a thread of its own: at once, and then at its rate.

    Two runs of one schedule lie at most `seconds` apart, and never overlap. A line for each run, also for one
    that failed, goes to `log`.
    """

    def __init__(self, schedules: Iterable[Schedule], functions: Functions, seconds: float, log: Log) -> None:
        self._functions = functions
        self._log = log
        self._stopping = threading.Event()
        self._runs = [
            _Run(schedule.function, min(schedule.seconds or seconds, seconds)) for schedule in schedules
        ]

    def start(self, wait: float) -> None:
        """Begin; return when every first run is done, or after `wait` seconds."""
        deadline = time.monotonic() + wait
        for run in self._runs:
            run.thread = threading.Thread(
                target=self._repeat, args=[run], daemon=True, name=f"schedule-{run.function}"
            )
            run.thread.start()
        for run in self._runs:
            run.ran.wait(max(0.0, deadline - time.monotonic()))

    def stop(self) -> None:
        """Start no more runs; those under way get a moment to end in order."""
        self._stopping.set()
        deadline = time.monotonic() + _STOP_SECONDS
        for run in self._runs:
            if run.thread is not None:
                run.thread.join(max(0.0, deadline - time.monotonic()))

    def _repeat(self, run: "_Run") -> None:
        label = self._functions.label(run.function)
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                did = summary(self._functions.invoke(run.function, _event(run.function)))
            except FunctionFailed as error:
                did = f"failed: {error}"
            if not self._stopping.is_set():
                self._log(f"schedule | {label}: {did}")
            run.ran.set()
            self._stopping.wait(max(0.0, started + run.seconds - time.monotonic()))


class _Run:
    def __init__(self, function: str, seconds: float) -> None:
        self.function = function
        self.seconds = seconds
        self.ran = threading.Event()
        self.thread: threading.Thread | None = None


def summary(result: Any) -> str:
    """Return what a function did in a few words: `66 products, 1 changed, 0.05 s` for such an object."""
    if not isinstance(result, dict) or not result:
        return "done"
    return ", ".join(
        f"{value} {'s' if name == 'seconds' else name}" if value is not True else name
        for name, value in result.items()
    )


def _event(function: str) -> dict[str, Any]:
    """Return what EventBridge Scheduler sends where a schedule has no input of its own."""
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
