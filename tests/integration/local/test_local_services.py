"""The embedded PostgreSQL and Valkey that `make run` and the tests stand on."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from local.servers.postgres import Postgres, _have_user
from local.servers.services import ServiceFailed, free_port, wait_until
from local.servers.valkey import Valkey


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cluster for all tests below: to make one takes longer than to start it."""
    return tmp_path_factory.mktemp("cluster") / "postgres"


@pytest.fixture
def own_postgres(data: Path) -> Iterator[Postgres]:
    """A server of the test's own, not yet started."""
    server = Postgres(data, durable=False)
    yield server
    server.stop()


def test_a_path_with_signs_of_the_shell_is_one_clear_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "a $b" / "postgres"
    monkeypatch.setattr("local.servers.postgres._program", lambda _: program)
    with pytest.raises(ServiceFailed, match=r"^PostgreSQL cannot be started from .*: move the project to"):
        Postgres(tmp_path / "postgres").start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make data of another user")
def test_data_of_another_user_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("18\n")
    os.chown(tmp_path / "postgres", 12345, 12345)
    with pytest.raises(ServiceFailed, match="was not made by root: run as the user who made it"):
        Postgres(tmp_path / "postgres").start()


def test_two_servers_that_start_at_once_add_their_user_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Like useradd, the program does not notice another one that runs at the same time.
    users = tmp_path / "users"
    program = tmp_path / "bin" / "useradd"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nsleep 0.2; echo $$ >> {users}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")

    def user_named(name: str) -> None:
        if not users.exists():
            raise KeyError(name)

    monkeypatch.setattr("pwd.getpwnam", user_named)
    with ThreadPoolExecutor() as threads:
        for added in [threads.submit(_have_user) for _ in range(2)]:
            added.result()
    assert len(users.read_text().split()) == 1


def test_processes_that_look_for_a_port_at_the_same_moment_find_different_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("random.sample", lambda ports, k: list(ports)[:k])  # the same luck for all
    here = [free_port() for _ in range(3)]
    another = os.getpid() + 1
    monkeypatch.setattr("os.getpid", lambda: another)
    elsewhere = [free_port() for _ in range(3)]
    assert len({*here, *elsewhere}) == 6


def value_of(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row and row[0]


def postmaster(data: Path) -> "psutil.Process":
    return psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))


def run_that_starts_postgres(data: Path) -> subprocess.Popen[str]:
    """Return another Python process that has started the server, and lives."""
    program = (
        "import sys, pathlib, local.servers.postgres as p\n"
        "server = p.Postgres(pathlib.Path(sys.argv[1]), durable=False)\n"
        "print(server.start(), flush=True)\n"
        "sys.stdin.read()"
    )
    run = subprocess.Popen(  # noqa: S603 - a list, no shell
        [sys.executable, "-c", program, str(data)],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    assert run.stdout.readline().startswith("postgresql://")
    return run


class TestPostgres:
    def test_speaks_utf8_sorts_by_code_point_and_lives_in_utc(self, postgres_url: str) -> None:
        assert value_of(postgres_url, "SHOW server_version_num") > "180000"  # type: ignore[operator]
        assert value_of(postgres_url, "SHOW server_encoding") == "UTF8"
        assert value_of(postgres_url, "SHOW timezone") == "UTC"
        in_order = value_of(postgres_url, "SELECT array_agg(w ORDER BY w) FROM unnest('{é,b,Z}'::text[]) w")
        assert in_order == ["Z", "b", "é"]

    def test_only_its_owner_may_enter_from_this_machine_and_is_no_superuser(self, postgres_url: str) -> None:
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
        assert value_of(postgres_url, "SELECT current_user::text") == value_of(postgres_url, owner)
        assert value_of(postgres_url, "SHOW is_superuser") == "off"
        assert value_of(postgres_url, "SHOW listen_addresses") == "127.0.0.1"
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(postgres_url, password="guessed")

    def test_an_interrupted_first_start_leaves_nothing_in_the_way_and_the_path_may_be_long(
        self, tmp_path: Path
    ) -> None:
        deep = tmp_path / "a folder with spaces" / "/".join(["deeper"] * 25)  # longer than a socket's path
        unfinished = deep / "postgres.new"
        unfinished.mkdir(parents=True)
        (unfinished / "PG_VERSION").write_text("18\n")
        with Postgres(deep / "postgres", durable=False) as server:
            assert value_of(server.url, "SELECT 1") == 1
        assert not unfinished.exists()

    def test_data_and_port_survive_a_stop_and_a_kill(self, own_postgres: Postgres, data: Path) -> None:
        url = own_postgres.start()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE memory AS SELECT 'kept' AS word")
        assert own_postgres.restart() == url
        assert value_of(url, "SELECT word FROM memory") == "kept"
        killed = postmaster(data)
        killed.kill()
        wait_until(lambda: killed.status() == psutil.STATUS_ZOMBIE, timeout=5)
        assert own_postgres.start() == url
        assert value_of(url, "SELECT word FROM memory") == "kept"

    def test_starting_twice_is_starting_once_and_outlives_the_thread(
        self, own_postgres: Postgres, data: Path
    ) -> None:
        thread = threading.Thread(target=own_postgres.start)
        thread.start()
        thread.join()
        server = postmaster(data)
        assert value_of(own_postgres.start(), "SELECT 1") == 1
        assert postmaster(data) == server

    def test_starts_although_a_stale_pid_file_names_a_living_process(
        self, own_postgres: Postgres, data: Path
    ) -> None:
        own_postgres.start()
        pid_file = data / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
        own_postgres.stop()
        pid_file.write_text("\n".join([str(os.getppid()), *lines[1:]]))
        assert value_of(own_postgres.start(), "SELECT 1") == 1

    def test_the_left_over_server_of_a_killed_run_gives_way(self, own_postgres: Postgres, data: Path) -> None:
        run = run_that_starts_postgres(data)
        server = postmaster(data)
        server.suspend()  # so that it cannot notice that the run dies
        with run:
            run.kill()
        threading.Timer(0.5, server.resume).start()
        assert value_of(own_postgres.start(), "SELECT 1") == 1
        assert postmaster(data) != server

    def test_data_in_use_by_another_run_is_left_to_it(self, own_postgres: Postgres, data: Path) -> None:
        with run_that_starts_postgres(data) as run:
            with pytest.raises(ServiceFailed, match="another run uses"):
                own_postgres.start()
            assert postmaster(data).is_running()
            run.kill()

    def test_a_port_in_use_is_one_clear_sentence(self, data: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(ServiceFailed, match=rf"^PostgreSQL did not start: port {port} is in use\.$"):
                Postgres(data, port, durable=False).start()

    @pytest.mark.parametrize(
        ("file", "text", "sentence"),
        [
            (
                "postgres/postgresql.conf",
                "no_such_setting = on",
                r"did not start; it said: .*no_such_setting",
            ),
            ("postgres/PG_VERSION", "16\n", "of PostgreSQL 16, this is 18"),
            ("postgres.password", None, "is missing: put it back"),
        ],
    )
    def test_a_failed_start_is_one_clear_sentence(
        self, own_postgres: Postgres, data: Path, file: str, text: str | None, sentence: str
    ) -> None:
        own_postgres.start()
        own_postgres.stop()
        changed = data.parent / file
        before = changed.read_text()
        try:
            if text:
                changed.write_text(text)
            else:
                changed.unlink()
            with pytest.raises(ServiceFailed, match=sentence) as failure:
                own_postgres.start()
            assert "\n" not in str(failure.value)
        finally:
            changed.write_text(before)


class TestValkey:
    def test_is_a_cache_of_256_megabytes_that_keeps_nothing(self, valkey: Valkey) -> None:
        wanted = {
            "maxmemory": str(256 * 1024 * 1024),
            "maxmemory-policy": "allkeys-lru",
            "save": "",
            "appendonly": "no",
            "bind": "127.0.0.1",
        }
        with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
            assert client.config_get(*wanted) == wanted

    def test_comes_back_empty_on_the_same_port_after_a_restart_and_after_a_kill(self, valkey: Valkey) -> None:
        url = valkey.url
        with redis.Redis.from_url(url) as client:
            client.set("key", "value")
            assert valkey.restart() == url
        with redis.Redis.from_url(url) as client:
            assert client.get("key") is None
            valkey.kill()
            with pytest.raises(redis.ConnectionError):
                client.ping()
            assert valkey.start() == url
            assert client.ping()

    def test_writes_its_log_into_the_data_folder(self, tmp_path: Path) -> None:
        with Valkey(tmp_path / "new"):
            assert "Ready to accept connections" in (tmp_path / "new" / "valkey.log").read_text()

    def test_a_port_in_use_is_one_clear_sentence(self, valkey: Valkey) -> None:
        with pytest.raises(ServiceFailed, match=rf"^Valkey did not start: port {valkey.port} is in use\.$"):
            Valkey(port=valkey.port).start()

    def test_a_start_that_fails_says_what_the_server_said(self) -> None:
        # TEST-NET-1: an address no machine has.
        with pytest.raises(ServiceFailed, match=r"did not start; it said: .*192\.0\.2\.1"):
            Valkey(listen="192.0.2.1").start()
