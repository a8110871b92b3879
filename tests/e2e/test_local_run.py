"""`python -m local run` as a person at a console uses it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
import redis

from local.servers.services import wait_until
from local.stack import ROOT
from tests.e2e.console_run import ConsoleRun


class Run(ConsoleRun):
    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__("run", folder, ready=60, **settings)

    def family(self) -> list[psutil.Process]:
        return list(psutil.Process(self.process.pid).children(recursive=True))


# One run after another with the same data, as the tests stand here: each takes over from the one before it.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def first(folder: Path) -> Iterator[Run]:
    run = Run(folder)
    run.wait_until_ready()
    yield run
    run.close()


def printed_password(run: Run) -> str:
    found = re.search(r"admin@example\.com +password: (\S{12,})$", run.text(), re.MULTILINE)
    assert found
    return found[1]


def log_in(url: str, password: str) -> int:
    account = {"email": "admin@example.com", "password": password}
    return httpx.post(f"{url}/auth/login", json=account, timeout=30).status_code


def end(run: Run, how: signal.Signals) -> None:
    """Stop it by a signal: that stops everything and leaves the data."""
    family = run.family()
    assert family
    run.process.send_signal(how)
    assert run.process.wait(timeout=20) == 0
    assert psutil.wait_procs(family, timeout=5)[1] == []
    assert "Traceback" not in run.text()
    assert (run.data / "postgres" / "PG_VERSION").exists()


def test_the_console_tells_how_to_begin(first: Run) -> None:
    url, text = first.wait_until_ready(), first.text()
    assert f"{url}/docs" in text
    assert f"{url}/shop " in text
    assert text.count("  curl ") == 3
    addresses = dict(re.findall(r"^(PostgreSQL|Valkey|Catalog) +(\S+)$", text, re.MULTILINE))
    psycopg.connect(addresses["PostgreSQL"]).close()
    with redis.Redis.from_url(addresses["Valkey"]) as client:
        assert client.ping()
    assert len(httpx.get(addresses["Catalog"]).json()) == 66
    assert '"_aws"' not in text
    assert re.search(
        r"^[0-9:]{8} run_migrations \| migration applied: migration=0001_\S+\.sql$", text, re.MULTILINE
    )
    steps = ["Starting PostgreSQL…", "Starting Valkey…", "Running the migrations…", "Filling the cache…"]
    assert [line[9:] for line in text.splitlines() if line[9:] in steps] == steps
    assert '"_aws"' in (first.data / "metrics.jsonl").read_text()
    assert (first.data / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_a_second_run_with_the_same_data_is_told_where_the_first_one_answers(first: Run) -> None:
    url = first.wait_until_ready()
    for port in ("0", url.rpartition(":")[2]):
        second = subprocess.run(  # noqa: S603 - a list, no shell
            [sys.executable, "-m", "local", "run", "--port", port],
            env={**os.environ, "LOCAL_DATA": str(first.data)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert second.returncode == 1
        assert second.stderr.startswith(f"It runs already at {url} with the data in {first.data}. ")
        assert second.stderr.count("\n") == 1


def test_a_signal_stops_it_and_the_admins_password_works_whatever_the_shell_says_later(
    first: Run, folder: Path
) -> None:
    password = printed_password(first)
    assert "ADMIN_PASSWORD has no effect" not in first.text()
    assert log_in(first.wait_until_ready(), password) == 200
    end(first, signal.SIGINT)
    again = Run(folder, ADMIN_PASSWORD="another long password")
    try:
        assert log_in(again.wait_until_ready(), password) == 200
        assert printed_password(again) == password
        assert "ADMIN_PASSWORD has no effect: admin@example.com exists already" in again.text()
        end(again, signal.SIGTERM)
    finally:
        again.close()


def test_nothing_is_left_when_it_is_killed(folder: Path) -> None:
    run = Run(folder)
    try:
        url = run.wait_until_ready()
        httpx.get(f"{url}/products/1", timeout=30)
        family = run.family()
        run.process.kill()
        assert psutil.wait_procs(family, timeout=20)[1] == []
    finally:
        run.close()


def is_ignored(pid: int, number: signal.Signals) -> bool:
    """Whether a process ignores a signal."""
    found = re.search(r"^SigIgn:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return bool(int(found[1], 16) >> (number - 1) & 1)


@pytest.mark.parametrize("seconds", [0, 0.15, 0.3, 0.6, 1.2])
def test_ctrl_c_during_the_start_ends_it_without_a_traceback(tmp_path: Path, seconds: float) -> None:
    # Before the program's first line Python itself starts, and ends at a Ctrl-C with a traceback of its own.
    # It leaves a Ctrl-C ignored that was so before it, and the program does not: there it begins.
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        run = Run(tmp_path)
    finally:
        signal.signal(signal.SIGINT, former)
    assert wait_until(lambda: not is_ignored(run.process.pid, signal.SIGINT), timeout=20)
    time.sleep(seconds)
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(timeout=20) in (0, -signal.SIGINT)
    assert "Traceback" not in run.text()
