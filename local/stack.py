"""The whole service on this machine: its backing services, its functions, and what invokes them."""

import errno
import fcntl
import shutil
import signal
import socket
import sys
from collections.abc import Mapping
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
from local.servers.backing import BackingServices
from local.servers.catalog import Catalog
from local.servers.postgres import Postgres
from local.servers.services import Log, ServiceFailed, ServiceGroup
from local.servers.valkey import Valkey
from local.settings import ROOT, TEMPLATE, check, parameters_of, settings_from, variables_of

__all__ = ["ROOT", "Stack", "bind", "claim", "drop", "refuse_a_second_run", "settings_from"]

# A catalog of 100,000 products takes 20 s; one that hangs is given up after 10.
_FIRST_RUNS_SECONDS = 60


class Stack(ServiceGroup):
    """Everything that `python -m local run` runs, to be used in a `with` or between start() and stop().

    `port` 0 is a free one. `data` is the folder that keeps the databases and the secrets between runs.
    `settings` are values for parameters of template.yaml by the names of the environment variables they
    become (`CATALOG_URL` for CatalogUrl), and for the variables that are not its business (see
    local.settings); with DATABASE_URL, REDIS_URL or CATALOG_URL among them, a server of the caller's is used
    and none started. `schedule_seconds` is the longest time between two runs of a schedule; None is no runs
    at all. `visibility_seconds` is after how long a failed event is delivered again. Events that go out are
    appended to `events.jsonl` in `data`, and posted to `events_url` if there is one. `log` takes the
    functions' logs, the access log, and a line for each event and each run of a schedule.

    Beside the API it serves a page to see it work, `/shop`.

    After start(), `postgres`, `valkey` and `catalog` are the services it started (None for a server of the
    caller's), so that a test can stop and start them.
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
        super().__init__()
        self._data = data.resolve()
        self._port = port
        self._settings = dict(settings or {})
        self._concurrency = concurrency
        self._schedule_seconds = schedule_seconds
        self._visibility_seconds = visibility_seconds
        self._events_url = events_url
        self._log = log
        self._bus: EventBus | None = None
        self.postgres: Postgres | None = None
        self.valkey: Valkey | None = None
        self.catalog: Catalog | None = None
        self.database_url = ""
        self.redis_url = ""
        self.catalog_url = ""
        self.admin_email = ""
        self.admin_password = ""  # not known when it stays so
        self.aws_url = ""
        self.access_token_keys = ""
        self.started: dict[str, str] = {}

    def _start(self) -> None:
        # Checked before anything starts: these are common mistakes, and quick to find.
        if sys.platform != "linux":
            raise ServiceFailed(
                "Linux is needed: AWS's Runtime Interface Emulator is a Linux program; use WSL or a VM."
            )
        check(self._settings)
        refuse_a_second_run(self._data)
        listener = self._running.enter_context(bind(self._port))
        self._running.enter_context(claim(self._data))
        backing = self._start_services()
        template = Template(TEMPLATE, parameters_of(self._settings), variables_of(self._settings))
        functions, bus = self._start_functions(template)
        self.admin_password = backing.admin_password() or ""
        gateway = ApiGateway(template, functions, self._log, shop=ROOT / "local" / "shop")
        self._running.callback(gateway.stop)
        gateway.serve(listener)
        self.url = "http://{}:{}".format(*listener.getsockname())
        if self._schedule_seconds is not None:
            self._begin_schedules(
                Schedules(template.schedules, functions, self._schedule_seconds, self._log), bus
            )
        self._running.callback(forget, self._data)
        Running(self.url, self.aws_url, self.catalog_url if self.catalog else None).write(self._data)

    def wait(self) -> NoReturn:
        """Serve until a signal ends it."""
        while True:
            signal.pause()

    def _start_services(self) -> BackingServices:
        backing = BackingServices(data=self._data, settings=self._settings, log=self._log, push=self._push)
        self._running.callback(backing.stop)
        backing.start()
        self._settings = backing.settings
        self.postgres, self.valkey, self.catalog = backing.postgres, backing.valkey, backing.catalog
        self.database_url = backing.settings["DATABASE_URL"]
        self.redis_url = backing.settings["REDIS_URL"]
        self.catalog_url = backing.settings["CATALOG_URL"]
        self.admin_email = backing.admin_email
        self.access_token_keys = backing.settings["ACCESS_TOKEN_KEYS"]
        self.started = backing.started
        return backing

    def _start_functions(self, template: Template) -> tuple[Functions, EventBus]:
        """Return them with the database migrated, and events on their way to them."""
        endpoint = AwsEndpoint()
        self._running.callback(endpoint.stop)
        self.aws_url = endpoint.start()
        functions = Functions(
            template,
            concurrency=self._concurrency,
            log=self._log,
            variables={"AWS_ENDPOINT_URL_EVENTBRIDGE": self.aws_url},
        )
        self._running.callback(functions.stop)
        self._log("Running the migrations…")
        try:
            functions.invoke("RunMigrationsFunction", {})
        except FunctionFailed as error:
            raise ServiceFailed(f"The migrations failed: {error}") from error
        consumers: list[Consumer] = [EventFile(self._data)]
        if self._events_url is not None:
            poster = EventPoster(self._events_url, self._log, self._visibility_seconds)
            self._running.callback(poster.stop)
            consumers.append(poster)
        self._bus = bus = EventBus(
            template.rules,
            template.queues,
            functions.invoke,
            self._log,
            consumers=consumers,
            visibility=self._visibility_seconds,
        )
        self._running.callback(bus.stop)
        endpoint.serve(functions, bus)
        return functions, bus

    def _begin_schedules(self, schedules: Schedules, bus: EventBus) -> None:
        """Return when the first requests find the cache filled, and the first events a function that runs.

        Logs a warning when they do not.
        """
        self._running.callback(schedules.stop)
        if self.catalog is not None:
            # A cold start takes longer than an event should: this one, which changes nothing, has it.
            self.catalog.push(1)
        self._log("Filling the cache…")
        if "warm_product_cache" in schedules.start(wait=_FIRST_RUNS_SECONDS):
            self._log("The catalog was not read yet: the list of products is old, or empty, until it was.")
        bus.wait_until_delivered(_FIRST_RUNS_SECONDS)

    def _push(self, detail_type: str, detail: str) -> None:
        if self._bus is not None:
            self._bus.put("catalog", detail_type, detail)


def drop(data: Path) -> bool:
    """Remove all data of a stack; tell whether there was any. Raises ServiceFailed while it runs."""
    if not data.exists():
        return False
    with claim(data):
        shutil.rmtree(data)
    return True


def bind(port: int) -> socket.socket:
    """Own a port of this machine, 0 for a free one. Raises ServiceFailed when somebody else does."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        # From here on the port is ours, however long the rest takes to start.
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        reason = "is in use" if in_use else f"cannot be used ({error})"
        raise ServiceFailed(f"Port {port} {reason}; choose another one: PORT={_another(port)}") from error
    return listener


def _another(port: int) -> int:
    return port + 1 if 1024 <= port < 65_535 else 3001


def refuse_a_second_run(data: Path) -> None:
    """Raise ServiceFailed when a stack runs with the data: before its port is found to be in use as well."""
    if data.exists():
        claim(data).close()


def claim(data: Path) -> IO[str]:
    """Own the data until the file is closed, or until the kernel sees this process end, however it ends.

    Raises ServiceFailed while somebody else does.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (data / "lock").open("a")
    except OSError as error:
        raise ServiceFailed(f"The data cannot be kept in {data}: {error.strerror}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise ServiceFailed(
            f"It runs already{_where(data)} with the data in {data}. "
            "Stop that one, or give this one data and a port of its own: LOCAL_DATA=… PORT=…"
        ) from error
    return lock


def _where(data: Path) -> str:
    try:
        return f" at {Running.find(data).api}"
    except ServiceFailed:  # it is starting, or it is `make sam-local`
        return ""
