"""What stands behind the functions: database, cache, catalog (ours or the caller's), and the admin."""

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

_CONNECT_SECONDS = 5


class BackingServices(Startable):
    """The backing services of a run, to be used between start() and stop().

    `data` is the folder that keeps the databases and the secrets between runs; it has to be claimed.
    `settings` has values by the names of the functions' variables: a server that DATABASE_URL, REDIS_URL or
    CATALOG_URL names is used and none started in its place. Those started listen on the address `listen`.
    `push` gets the changes of our catalog.

    After start(), `settings` has all that the functions need to know, `postgres`, `valkey` and `catalog` are
    the services that were started (None for a server of the caller's), and `started` their addresses.
    """

    def __init__(
        self,
        *,
        data: Path,
        settings: Mapping[str, str],
        log: Log,
        listen: str = "127.0.0.1",
        push: Push | None = None,
    ) -> None:
        self._data = data
        self._log = log
        self._listen = listen
        self._push = push
        self._running = ExitStack()
        self._secrets = Secrets(data / "secrets.json")
        self._given_password = settings.get("ADMIN_PASSWORD")
        self.settings = {
            "ADMIN_EMAIL": "admin@example.com",
            "ADMIN_PASSWORD": self._secrets.admin_password,
            "ACCESS_TOKEN_KEYS": self._secrets.access_token_keys,
            **settings,
        }
        self.admin_email = self.settings["ADMIN_EMAIL"]
        self.postgres: Postgres | None = None
        self.valkey: Valkey | None = None
        self.catalog: Catalog | None = None

    def start(self) -> None:
        """Start the services that have no address yet, and check the others. Raises ServiceFailed."""
        if "DATABASE_URL" in self.settings:
            _check_database(self.settings["DATABASE_URL"])
        else:
            self._log("Starting PostgreSQL…")
            self.postgres = Postgres(self._data / "postgres", listen=self._listen)
            self._running.callback(self.postgres.stop)
            self.settings["DATABASE_URL"] = self.postgres.start()
        if "REDIS_URL" in self.settings:
            _check_redis(self.settings["REDIS_URL"])
        else:
            self._log("Starting Valkey…")
            self.valkey = Valkey(self._data, listen=self._listen)
            self._running.callback(self.valkey.stop)
            self.settings["REDIS_URL"] = self.valkey.start()
        if "CATALOG_URL" in self.settings:
            self._look_at_catalog(self.settings["CATALOG_URL"])
        else:
            self._log("Starting the sample catalog…")
            self.catalog = Catalog(listen=self._listen, push=self._push, changes=self._data / "catalog.json")
            self._running.callback(self.catalog.stop)
            self.settings["CATALOG_URL"] = self.catalog.start()
        ours = {"PostgreSQL": self.postgres, "Valkey": self.valkey}
        watch = ServiceWatch({name: service for name, service in ours.items() if service}, self._log)
        self._running.callback(watch.stop)

    def _look_at_catalog(self, url: str) -> None:
        """Say so when it does not answer; that is no reason not to start, as it would be for the others."""
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

    def stop(self) -> None:
        """Stop what was started; the data stays."""
        self._running.close()

    @property
    def started(self) -> dict[str, str]:
        """The addresses of the services that were started; given addresses may contain passwords."""
        urls = {
            "PostgreSQL": (self.postgres, self.settings["DATABASE_URL"]),
            "Valkey": (self.valkey, self.settings["REDIS_URL"]),
            "Catalog": (self.catalog, f"{self.settings['CATALOG_URL']}/products"),
        }
        return {name: url for name, (service, url) in urls.items() if service is not None}

    def admin_password(self) -> str | None:
        """Return the password that the admin of the migrated database has, None when it is not known here.

        That of our own database is kept for the next run. Logs when one was given that has no effect.
        """
        candidates = [self._given_password, self._secrets.admin_password]
        password = working_password(self.settings["DATABASE_URL"], self.admin_email, candidates)
        if self._given_password is not None and password != self._given_password:
            self._log(
                f"ADMIN_PASSWORD has no effect: {self.admin_email} exists already, with another password."
            )
        if password and self.postgres is not None:
            self._secrets.keep_admin_password(password)
        return password


def _check_database(url: str) -> None:
    try:
        psycopg.connect(url, connect_timeout=_CONNECT_SECONDS).close()
    except psycopg.Error as error:
        reason = _without_password(_one_line(error), url)
        raise ServiceFailed(f"The PostgreSQL of DATABASE_URL cannot be used: {reason}") from error


def _check_redis(url: str) -> None:
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=_CONNECT_SECONDS) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        reason = _without_password(_one_line(error), url)
        raise ServiceFailed(f"The Valkey of REDIS_URL cannot be used: {reason}") from error


def _without_password(reason: str, url: str) -> str:
    """Leave the password out: the message for a mistake in an address may repeat the address."""
    written = url.partition("://")[2].rpartition("@")[0].partition(":")[2]
    for password in {written, unquote(written)} - {""}:
        reason = reason.replace(password, "…")
    return reason


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
