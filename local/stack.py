"""The whole service on this machine: its backing services, its functions, and what invokes them."""

import errno
import fcntl
import shutil
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, NoReturn

from local.aws.api_gateway import ApiGateway
from local.aws.aws_endpoint import AwsEndpoint
from local.aws.event_bus import Consumer, EventBus
from local.aws.event_queue import VISIBILITY_SECONDS
from local.aws.execution_environment import FunctionFailed
from local.aws.functions import Functions
from local.aws.outgoing import EventFile, EventPoster
from local.aws.schedules import Schedules
from local.aws.template import Template
from local.running import Running, forget
from local.servers.backing import BackingServices, ServiceGroup
from local.servers.services import Log, ServiceFailed
from local.settings import ROOT, TEMPLATE, check, parameters_of, settings_from, variables_of

__all__ = ["ROOT", "Stack", "bind", "claim", "drop", "refuse_a_second_run", "settings_from"]

# A catalog of 100,000 products takes 20 s; one that hangs is given up after 10.
_FIRST_RUNS_SECONDS = 60


class Stack(ServiceGroup):
    """Everything that `python -m local run` runs.

    `schedule_seconds` is the longest time between two runs of a schedule; None is no runs at all. A failed
    event is delivered again after `visibility_seconds`. Events that go out are appended to `events.jsonl` in
    `data`, and posted to `events_url` if there is one.
    """

    def __init__(
        self,
        *,
        data: Path,
        port: int = 0,
        settings: Mapping[str, str] | None = None,
        concurrency: int = 4,
        schedule_seconds: float | None = None,
        visibility_seconds: float = VISIBILITY_SECONDS,
        events_url: str | None = None,
        log: Log = print,
    ) -> None:
        super().__init__(data=data, port=port, settings=settings, log=log)
        self.backing = BackingServices(data=self._data, settings=self._given, log=log, push=self._push)
        self._concurrency = concurrency
        self._schedule_seconds = schedule_seconds
        self._visibility_seconds = visibility_seconds
        self._events_url = events_url
        self._bus: EventBus | None = None
        self.aws_url = ""

    def _start(self) -> None:
        # Common mistakes, and quick to find: checked before anything starts.
        if sys.platform != "linux":
            raise ServiceFailed(
                "Linux is needed: AWS's Runtime Interface Emulator is a Linux program; use WSL or a VM."
            )
        check(self._given)
        refuse_a_second_run(self._data)
        listener = self._running.enter_context(bind(self._port))
        self._running.enter_context(claim(self._data))
        self._running.callback(self.backing.stop)
        self.backing.start()
        template = Template(TEMPLATE, parameters_of(self.settings), variables_of(self.settings))
        functions, bus = self._start_functions(template)
        self.admin_password = self.backing.admin_password()
        gateway = ApiGateway(template, functions, self._log, shop=ROOT / "local" / "shop")
        self._running.callback(gateway.stop)
        gateway.serve(listener)
        self.url = "http://{}:{}".format(*listener.getsockname())
        if self._schedule_seconds is not None:
            self._begin_schedules(
                Schedules(template.schedules, functions, self._schedule_seconds, self._log), bus
            )
        self._running.callback(forget, self._data)
        catalog = self.backing.catalog
        Running(self.url, self.aws_url, catalog.url if catalog else None).write(self._data)

    def wait(self) -> NoReturn:
        """Serve until a signal ends it."""
        while True:
            signal.pause()

    def _start_functions(self, template: Template) -> tuple[Functions, EventBus]:
        """Return the functions, with the database migrated, and the bus that delivers events to them."""
        endpoint = AwsEndpoint()
        self._running.callback(endpoint.stop)
        self.aws_url = endpoint.url
        functions = Functions(
            template,
            concurrency=self._concurrency,
            log=self._log,
            variables={"AWS_ENDPOINT_URL_EVENTBRIDGE": self.aws_url, "AWS_ENDPOINT_URL_LAMBDA": self.aws_url},
        )
        self._running.callback(functions.stop)
        self._bus = bus = EventBus(
            template.rules,
            template.queues,
            functions.invoke,
            self._log,
            consumers=self._consumers(),
            visibility=self._visibility_seconds,
        )
        self._running.callback(bus.stop)
        endpoint.start(functions, bus)
        self._log("Running the migrations…")
        try:
            functions.invoke("RunMigrationsFunction", {})
        except FunctionFailed as error:
            raise ServiceFailed(f"The migrations failed: {error}") from error
        return functions, bus

    def _consumers(self) -> list[Consumer]:
        if self._events_url is None:
            return [EventFile(self._data)]
        poster = EventPoster(self._events_url, self._log, self._visibility_seconds)
        self._running.callback(poster.stop)
        return [EventFile(self._data), poster]

    def _begin_schedules(self, schedules: Schedules, bus: EventBus) -> None:
        """Return when the cache is filled and the function for events has started; log if it is not."""
        self._running.callback(schedules.stop)
        if self.backing.catalog is not None:
            # An event that changes nothing has the cold start, which takes longer than an event should.
            self.backing.catalog.push(1)
        self._log("Filling the cache…")
        if "warm_product_cache" in schedules.start(wait=_FIRST_RUNS_SECONDS):
            self._log("The catalog was not read yet: the list of products is old, or empty, until it was.")
        bus.wait_until_delivered(_FIRST_RUNS_SECONDS)

    def _push(self, detail_type: str, detail: str) -> None:
        if self._bus is not None:
            self._bus.put("catalog", detail_type, detail)


def drop(data: Path) -> bool:
    """Remove all data of a stack; return whether there was any. Raises ServiceFailed while it runs."""
    if not data.exists():
        return False
    with claim(data):
        shutil.rmtree(data)
    return True


def bind(port: int) -> socket.socket:
    """Listen on a port of this machine, 0 for a free one. Raises ServiceFailed when that is not possible."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(128)  # the port is ours from here on, however long the rest takes to start
    except (OSError, OverflowError) as error:
        listener.close()
        in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        reason = "is in use" if in_use else f"cannot be used ({error})"
        another = port + 1 if 1024 <= port < 65_535 else 3001
        raise ServiceFailed(f"Port {port} {reason}; choose another one: PORT={another}") from error
    return listener


def refuse_a_second_run(data: Path) -> None:
    """Raise ServiceFailed when a stack runs with the data: a better reason than its port, which is in use."""
    if data.exists():
        claim(data).close()


def claim(data: Path) -> IO[str]:
    """Own the data until the file is closed or this process ends. Raises ServiceFailed while another does."""
    where = ""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (data / "lock").open("a")
    except OSError as error:
        raise ServiceFailed(f"The data cannot be kept in {data}: {error.strerror}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        with suppress(ServiceFailed):  # it is starting, or it is `make sam-local`
            where = f" at {Running.find(data).api}"
        raise ServiceFailed(
            f"It runs already{where} with the data in {data}. "
            "Stop that one, or give this one data and a port of its own: LOCAL_DATA=… PORT=…"
        ) from error
    return lock
