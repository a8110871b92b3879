"""The whole service on this machine: its backing services, its functions, and API Gateway in front."""

import errno
import fcntl
import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psycopg
import redis

from local.api_gateway import ApiGateway, template_parameters
from local.catalog import Catalog
from local.execution_environment import FunctionFailed, Log
from local.postgres import Postgres
from local.services import ServiceFailed
from local.valkey import Valkey

ROOT = Path(__file__).resolve().parent.parent

_CONNECT_SECONDS = 5


class Stack:
    """Everything that `python -m local run` runs, to be used in a `with` or between start() and stop().

    `port` 0 is a free one. `data` is the folder that keeps the databases and the secrets between runs.
    `settings` are values for the parameters of template.yaml by the names of the environment variables they
    become (`DATABASE_URL` for DatabaseUrl); with DATABASE_URL, REDIS_URL or CATALOG_URL among them, a server
    of the caller's is used and none started. `log` takes the functions' logs and the access log.

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
        log: Log = print,
    ) -> None:
        self._data = data.resolve()
        self._port = port
        self._settings = dict(settings or {})
        self._concurrency = concurrency
        self._log = log
        self._running = ExitStack()
        self.postgres: Postgres | None = None
        self.valkey: Valkey | None = None
        self.catalog: Catalog | None = None
        self.url = ""
        self.database_url = ""
        self.redis_url = ""
        self.catalog_url = ""
        self.admin_email = ""
        self.admin_password = ""
        self.access_token_keys = ""

    def start(self) -> str:
        """Start what is needed, migrate the database, serve; return the address, `self.url`.

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

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        # Both before anything is started: they are the mistakes a developer makes, and cost nothing to see.
        listener = self._running.enter_context(_bind(self._port))
        self._running.enter_context(claim(self._data))
        self._log("Starting…")
        self._start_services()
        kept = _Secrets.in_folder(self._data)
        self.admin_email = self._settings.setdefault("ADMIN_EMAIL", "admin@example.com")
        self.admin_password = self._settings.setdefault("ADMIN_PASSWORD", kept.admin_password)
        self.access_token_keys = self._settings.setdefault(
            "ACCESS_TOKEN_KEYS", json.dumps({"local": kept.access_token_key})
        )
        gateway = ApiGateway(
            ROOT / "template.yaml", self._parameters(), concurrency=self._concurrency, log=self._log
        )
        self._running.callback(gateway.stop)
        try:
            gateway.invoke("RunMigrationsFunction", {})
        except FunctionFailed as error:
            raise ServiceFailed(f"The migrations failed: {error}") from error
        gateway.serve(listener)
        self.url = "http://{}:{}".format(*listener.getsockname())

    def _start_services(self) -> None:
        if "DATABASE_URL" in self._settings:
            self.database_url = self._settings["DATABASE_URL"]
            _check_database(self.database_url)
        else:
            self.postgres = Postgres(self._data / "postgres")
            self._running.callback(self.postgres.stop)
            self.database_url = self._settings["DATABASE_URL"] = self.postgres.start()
        if "REDIS_URL" in self._settings:
            self.redis_url = self._settings["REDIS_URL"]
            _check_redis(self.redis_url)
        else:
            self.valkey = Valkey(self._data)
            self._running.callback(self.valkey.stop)
            self.redis_url = self._settings["REDIS_URL"] = self.valkey.start()
        if "CATALOG_URL" in self._settings:
            self.catalog_url = self._settings["CATALOG_URL"]
        else:
            self.catalog = Catalog()
            self._running.callback(self.catalog.stop)
            self.catalog_url = self._settings["CATALOG_URL"] = self.catalog.start()

    def _parameters(self) -> dict[str, str]:
        names = {_variable(name): name for name in template_parameters(ROOT / "template.yaml")}
        return {names[variable]: value for variable, value in self._settings.items() if variable in names}


def settings_from(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of a Stack that are given in the shell; an empty value counts as none."""
    variables = [_variable(name) for name in template_parameters(ROOT / "template.yaml")]
    return {variable: environment[variable] for variable in variables if environment.get(variable)}


def drop(data: Path) -> None:
    """Remove all data of a stack. Raises ServiceFailed while it runs."""
    if data.exists():
        with claim(data):
            shutil.rmtree(data)


@dataclass(frozen=True)
class _Secrets:
    """Made once per checkout and kept, so that tokens and the admin's password survive a restart."""

    access_token_key: str
    admin_password: str

    @classmethod
    def in_folder(cls, data: Path) -> "_Secrets":
        path = data / "secrets.json"
        if not path.exists():
            made = {"access_token_key": secrets.token_hex(32), "admin_password": secrets.token_urlsafe(12)}
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                json.dump(made, file)
        return cls(**json.loads(path.read_text()))


def _variable(parameter: str) -> str:
    """Return the environment variable of a parameter: DATABASE_URL for DatabaseUrl."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", parameter).upper()


def _bind(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        # From here on nobody else gets the port, however long the rest takes to start.
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        reason = "is in use" if in_use else f"cannot be used ({error})"
        raise ServiceFailed(f"Port {port} {reason}; choose another one with PORT=") from error
    return listener


def claim(data: Path) -> IO[str]:
    """Own the data until the file is closed, or until the kernel sees this process end, however it ends.

    Raises ServiceFailed while somebody else does.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = (data / "lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise ServiceFailed(f"It runs already with the data in {data}; stop that one first.") from error
    return lock


def _check_database(url: str) -> None:
    try:
        psycopg.connect(url, connect_timeout=_CONNECT_SECONDS).close()
    except psycopg.Error as error:
        raise ServiceFailed(f"The PostgreSQL of DATABASE_URL cannot be used: {_one_line(error)}") from error


def _check_redis(url: str) -> None:
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=_CONNECT_SECONDS) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        raise ServiceFailed(f"The Valkey of REDIS_URL cannot be used: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
