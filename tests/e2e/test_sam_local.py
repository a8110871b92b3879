"""`python -m local sam-local` as a person at a console uses it."""

import json
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from local import docker
from local.docker import NoDocker
from local.stack import ROOT
from tests.e2e.console_run import ConsoleRun


class Run(ConsoleRun):
    def __init__(self, folder: Path) -> None:
        super().__init__("sam-local", folder, ready=120)

    def containers(self) -> list[str]:
        return docker.containers_of(self.data)

    def close(self) -> None:
        super().close()
        docker.remove_containers_of(self.data)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    try:
        docker.check()
        docker.have_runtime_image(lambda _: None)
    except NoDocker as error:
        pytest.skip(str(error))
    run = Run(tmp_path)
    yield run
    run.close()


def test_it_serves_what_was_built_and_ctrl_c_leaves_nothing_but_the_data(run: Run) -> None:
    url = run.wait_until_ready()
    curl = subprocess.run(  # noqa: S603 - the command is this test's own
        ["curl", "--silent", "--fail", f"{url}/products?limit=3"],  # noqa: S607
        check=True,
        capture_output=True,
    )
    assert len(json.loads(curl.stdout)["items"]) == 3
    assert len(run.containers()) == 1

    text = run.text()
    assert f"{url}/docs" in text
    assert text.count("  curl ") == 3
    (admin,) = re.findall(r"^Admin +(\S+)  password: (\S+)$", text, re.MULTILINE)
    log_in = {"email": admin[0], "password": admin[1]}
    assert httpx.post(f"{url}/auth/login", json=log_in, timeout=30).status_code == 200
    variables = run.data / "sam-local.json"
    assert variables.stat().st_mode & 0o777 == 0o600
    secret = json.loads(json.loads(variables.read_text())["Parameters"]["ACCESS_TOKEN_KEYS"])["local"]

    family = psutil.Process(run.process.pid).children(recursive=True)
    assert any("start-api" in process.cmdline() for process in family)
    assert not any(secret in " ".join(process.cmdline()) for process in family)
    for address in re.findall(
        r"^(?:PostgreSQL|Valkey|Catalog) +\S+?//(?:\S+@)?([\d.]+):", text, re.MULTILINE
    ):
        assert not address.startswith(("127.", "0."))

    # The command that the console offers, from a second one.
    (command,) = re.findall(r"^  (\S+ local invoke WarmProductCacheFunction .*)$", text, re.MULTILINE)
    invoked = subprocess.run(  # noqa: S603
        shlex.split(command), cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert json.loads(invoked.stdout)["products"] == 66

    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(timeout=60) == 0
    assert psutil.wait_procs(family, timeout=5)[1] == []
    assert run.containers() == []
    # None of ours: a runtime that waits for its next event while SAM CLI stops its container may show one.
    assert f'File "{ROOT}/local' not in run.text()
    assert (run.data / "postgres" / "PG_VERSION").exists()
