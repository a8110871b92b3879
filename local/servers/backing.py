"""What stands behind the functions: database, cache, catalog (ours or the user's), and the admin."""

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import unquote

import psycopg
import redis
import urllib3

from local.servers.admin import Secrets, working_password
from local.servers.catalog import Catalog, Push
from local.servers.postgres import Postgres
from local.servers.service_watch import ServiceWatch
from local.servers.services import Log, ServiceFailed, Startable
from local.servers.valkey import Valkey

CURRENCY = "BRL"  # of the sample catalog, whose products name none: the Fake Store's do not either
_CONNECT_SECONDS = 5


class BackingServices(Startable):
    """The backing services of a run.

    `data` is the folder that keeps the databases and the secrets between runs; the caller has claimed it.
    `settings` has values by the names of the functions' variables. A server that DATABASE_URL, REDIS_URL or
    CATALOG_URL names is used and none started in its place. `push` gets the changes of our catalog.

    After start(), `settings` has all that the functions need, `postgres`, `valkey` and `catalog` are the
    services that were started (None for a server of the user's), and `started` has their addresses.
    """

    def __init__(
        self, *, data: Path, settings: Mapping[str, str], log: Log, push: Push | None = None
    ) -> None:
        self._data = data
        self._log = log
        self._push = push
        self._running = ExitStack()
        self._given_password = settings.get("ADMIN_PASSWORD")
        self.settings = {"ADMIN_EMAIL": "admin@example.com", **settings}
        self.postgres: Postgres | None = None
        self.valkey: Valkey | None = None
        self.catalog: Catalog | None = None
        self.started: dict[str, str] = {}  # given addresses are not here: they may contain passwords

    def start(self, listen: str = "127.0.0.1") -> None:
        """Start the services that have no address yet, on the address `listen`, and check the others.

        Raises ServiceFailed.
        """
        self._secrets = Secrets(self._data / "secrets.json")
        self.settings.setdefault("ADMIN_PASSWORD", self._secrets.admin_password)
        self.settings.setdefault("ACCESS_TOKEN_KEYS", self._secrets.access_token_keys)
        if "DATABASE_URL" in self.settings:
            _check_database(self.settings["DATABASE_URL"])
        else:
            self.postgres = Postgres(self._data / "postgres", listen=listen)
            self._start("PostgreSQL", "DATABASE_URL", self.postgres)
        if "REDIS_URL" in self.settings:
            _check_redis(self.settings["REDIS_URL"])
        else:
            self.valkey = Valkey(self._data, listen=listen)
            self._start("Valkey", "REDIS_URL", self.valkey)
        if "CATALOG_URL" in self.settings:
            self._check_catalog(self.settings["CATALOG_URL"])
        else:
            self.catalog = Catalog(listen=listen, push=self._push, changes=self._data / "catalog.json")
            self._start("Catalog", "CATALOG_URL", self.catalog)
            self.started["Catalog"] += "/products"
            self.settings.setdefault("CATALOG_CURRENCY", CURRENCY)
        ours = {"PostgreSQL": self.postgres, "Valkey": self.valkey}
        watch = ServiceWatch({name: each.exit_code for name, each in ours.items() if each}, self._log)
        self._running.callback(watch.stop)

    def stop(self) -> None:
        """Stop what was started; the data stays."""
        self._running.close()

    def _start(self, name: str, variable: str, service: Postgres | Valkey | Catalog) -> None:
        self._log(f"Starting {'the sample catalog' if service is self.catalog else name}…")
        self._running.callback(service.stop)
        self.settings[variable] = self.started[name] = service.start()

    def _check_catalog(self, url: str) -> None:
        """Log a catalog that does not answer: unlike the others, it does not prevent the start."""
        try:
            with urllib3.PoolManager(retries=False) as manager:
                answer = manager.request(
                    "GET", f"{url}/products", timeout=_CONNECT_SECONDS, preload_content=False
                )
                answer.close()
            reason = None if answer.status == 200 else f"its answer has status {answer.status}"
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            reason = _one_line(error)
        if reason is not None:
            self._log(
                f"The catalog of CATALOG_URL cannot be read: {reason}. "
                "Products come from the copy, if there is one, until it can."
            )

    def admin_password(self) -> str:
        """Return the admin's password once the database is migrated, "" when it is not known here.

        That of our own database is kept for the next run. Logs a given one that has no effect.
        """
        email = self.settings["ADMIN_EMAIL"]
        candidates = [self._given_password, self._secrets.admin_password]
        password = working_password(self.settings["DATABASE_URL"], email, candidates)
        if self._given_password is not None and password != self._given_password:
            self._log(f"ADMIN_PASSWORD has no effect: {email} exists already, with another password.")
        if password and self.postgres is not None:
            self._secrets.keep_admin_password(password)
        return password or ""


class ServiceGroup(Startable):
    """A run: the backing services, and what `_start` starts with them. After start(), `url` is the API's.

    `port` 0 is a free one. `data` and `settings` are those of BackingServices, `settings` also for the
    template's parameters (local.settings). `log` takes the lines for the console.
    """

    def __init__(
        self, *, data: Path, port: int = 0, settings: Mapping[str, str] | None = None, log: Log = print
    ) -> None:
        self._data = data.resolve()
        self._port = port
        self._given = dict(settings or {})
        self._log = log
        self._running = ExitStack()  # how to stop what was started
        self.backing = BackingServices(data=self._data, settings=self._given, log=log)
        self.admin_password = ""  # not known here if it stays so
        self.url = ""

    @property
    def settings(self) -> dict[str, str]:
        """The settings of the backing services."""
        return self.backing.settings

    @abstractmethod
    def _start(self) -> None: ...

    def start(self) -> str:
        """Start all of it; return the address, `url`.

        Raises ServiceFailed, with one sentence for the console, and then stops what was started.
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

    @abstractmethod
    def wait(self) -> None:
        """Serve until a signal comes."""


def _check_database(url: str) -> None:
    try:
        psycopg.connect(url, connect_timeout=_CONNECT_SECONDS).close()
    except psycopg.Error as error:
        raise _cannot_be_used("PostgreSQL of DATABASE_URL", url, error) from error


def _check_redis(url: str) -> None:
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=_CONNECT_SECONDS) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        raise _cannot_be_used("Valkey of REDIS_URL", url, error) from error


def _cannot_be_used(server: str, url: str, error: Exception) -> ServiceFailed:
    """Return the error without the password: the driver's message may repeat the address."""
    reason = _one_line(error)
    written = url.partition("://")[2].rpartition("@")[0].partition(":")[2]
    for password in {written, unquote(written)} - {""}:
        reason = reason.replace(password, "…")
    return ServiceFailed(f"The {server} cannot be used: {reason}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
