"""How `make sam-local` refuses to start: one sentence each, and nothing left running."""

import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from local import docker
from local.docker import NoDocker
from local.sam_local import SamLocal
from local.servers.services import ServiceFailed, free_port, is_free

FakeDocker = Callable[[str], None]


@pytest.fixture
def fake_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """Puts a `docker` onto the PATH that runs the lines of a shell's `case` on its arguments."""

    def put(cases: str) -> None:
        program = tmp_path / "bin" / "docker"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\ncase "$*" in\n{cases}\nesac\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent), prepend=":")

    return put


def refusal(data: Path, settings: dict[str, str] | None = None, port: int = 0) -> ServiceFailed:
    """Why it does not start."""
    with pytest.raises(ServiceFailed) as refused:
        SamLocal(data=data, port=port, settings=settings, log=lambda _: None).start()
    assert "\n" not in str(refused.value)
    return refused.value


def test_a_port_in_use_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert str(refusal(tmp_path / "data", port=port)).startswith(f"Port {port} is in use;")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("DATABASE_URL", "postgresql://favorites:secret@{}:5432/favorites"),
        ("REDIS_URL", "redis://{}:6379/0"),
        ("CATALOG_URL", "http://{}:8090"),
    ],
)
def test_a_loopback_address_would_mean_the_container_and_is_refused(
    tmp_path: Path, host: str, variable: str, url: str
) -> None:
    told = str(refusal(tmp_path / "data", {variable: url.format(host)}))
    assert told.startswith(f"{variable} names {host.strip('[]')}, which in a container")
    assert "secret" not in told
    assert not (tmp_path / "data").exists()


def test_a_machine_without_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    told = refusal(tmp_path / "data")
    assert isinstance(told, NoDocker)
    assert str(told).startswith("Docker is needed and was not found: install it, or use `make run`")


ENGINES = {
    'version*) echo "Cannot connect to the daemon." >&2; exit 1 ;;': (
        r"Docker does not run: .* it said: Cannot connect to the daemon\."
    ),
    'version*) echo "permission denied while trying to connect" >&2; exit 1 ;;': (
        "This user may not use Docker: "
    ),
    'image*) exit 1 ;;\npull*) echo "one thing" >&2; echo "no such host" >&2; exit 1 ;;': (
        f"The image {docker.RUNTIME_IMAGE} cannot be pulled: no such host$"
    ),
}


@pytest.mark.parametrize("cases", ENGINES)
def test_an_unusable_engine_is_one_clear_sentence(
    tmp_path: Path, fake_docker: FakeDocker, cases: str
) -> None:
    fake_docker(cases)
    told = refusal(tmp_path / "data")
    assert isinstance(told, NoDocker)
    assert re.match(ENGINES[cases], str(told))


def test_a_build_that_fails(tmp_path: Path, fake_docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_docker("*) echo unix:///nowhere ;;")
    monkeypatch.setenv("PYTHON313", "/bin/false")
    told = str(refusal(tmp_path / "data"))
    assert told.startswith("The build failed: ")
    assert "PYTHON313=/bin/false is no working Python 3.13 with pip." in told


FakeSam = Callable[[str], SamLocal]


@pytest.fixture
def fake_sam(tmp_path: Path, fake_docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> FakeSam:
    """Puts a `sam` in the place of SAM CLI that runs a line of shell; returns the stack that calls it."""
    fake_docker("*) echo unix:///nowhere ;;")

    def put(line: str) -> SamLocal:
        program = tmp_path / "bin" / "sam"
        program.write_text(f"#!/bin/sh\ncd {tmp_path}\n{line}\n")
        program.chmod(0o755)
        monkeypatch.setattr("local.sam_local._sam", lambda: program)
        (tmp_path / "data").mkdir()
        return SamLocal(data=tmp_path / "data", log=print)

    return put


def test_a_container_that_did_not_listen_in_time_is_asked_again(fake_sam: FakeSam, tmp_path: Path) -> None:
    # Exit code 0 and nothing on stdout, as SAM CLI has it.
    third_time = "[ $(wc -l < asked) = 3 ] && echo '{\"applied\": []}' || echo No response >&2"
    fake_sam(f"echo x >> asked; {third_time}")._migrate()
    assert (tmp_path / "asked").read_text() == "x\nx\nx\n"


def test_migrations_without_an_answer_are_not_taken_for_done(
    fake_sam: FakeSam, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.sam_local._LISTEN_SECONDS", 0.2)
    stack = fake_sam("echo No response from invoke container >&2")
    with pytest.raises(ServiceFailed, match="RunMigrationsFunction could not be invoked: No response from"):
        stack._migrate()


def test_a_cache_that_cannot_be_filled_ends_nothing(
    fake_sam: FakeSam, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("local.sam_local._LISTEN_SECONDS", 0)
    fake_sam("echo No response >&2")._fill_cache()
    assert "The cache was not filled: " in capsys.readouterr().out.splitlines()[-1]


def test_the_server_of_sam_cli_runs_until_it_is_stopped(fake_sam: FakeSam) -> None:
    # sam local start-api --host 127.0.0.1 --port <port> …
    stack = fake_sam(f'exec {sys.executable} -m http.server "$6" --bind "$4"')
    port = free_port()
    stack._serve(port)
    assert stack.url == f"http://127.0.0.1:{port}"
    stack.stop()
    assert is_free(port)


def test_a_server_of_sam_cli_that_ends_is_one_clear_sentence(fake_sam: FakeSam) -> None:
    stack = fake_sam("exit 3")
    with pytest.raises(ServiceFailed, match=r"^`sam local start-api` ended with 3\.$"):
        stack._serve(free_port())
    stack.stop()


@pytest.mark.parametrize(
    "ranges", ['[{"Subnet":"127.8.0.0/16"}]', '[{"Subnet":"127.8.0.0/16","Gateway":""}]']
)
def test_the_gateway_of_a_bridge_without_one_is_its_first_address(
    fake_docker: FakeDocker, ranges: str
) -> None:
    fake_docker(f"'network inspect'*) echo '{ranges}' ;;")
    assert docker.gateway() == "127.8.0.1"


@pytest.mark.parametrize(
    "answer",
    [
        """echo '[{"Subnet":"192.0.2.0/24","Gateway":"192.0.2.1"}]'""",  # in a machine of its own
        "exit 1",  # without a bridge
        *(f"echo '{ranges}'" for ranges in ("null", "[]", "[{}]", "nonsense")),
    ],
)
def test_a_bridge_without_an_address_of_this_machine_is_refused(fake_docker: FakeDocker, answer: str) -> None:
    fake_docker(f"'network inspect'*) {answer} ;;")
    with pytest.raises(ServiceFailed, match=r"^Containers cannot reach this machine: "):
        docker.gateway()


def test_the_containers_that_a_killed_run_left_are_known_by_their_folder_and_removed(tmp_path: Path) -> None:
    try:
        docker.check()
        docker.have_runtime_image(lambda _: None)
    except NoDocker as error:
        pytest.skip(str(error))
    ours, others = tmp_path / "ours", tmp_path / "others"
    for folder in (ours, others):
        mount = f"{folder / 'build' / 'GetHealthFunction'}:/var/task:ro"
        create = ["docker", "create", "--volume", mount, docker.RUNTIME_IMAGE, "true"]
        subprocess.run(create, check=True, capture_output=True)  # noqa: S603 - this test's own
    try:
        docker.remove_containers_of(ours)
        assert docker.containers_of(ours) == []
        assert len(docker.containers_of(others)) == 1
    finally:
        docker.remove_containers_of(tmp_path)
    docker.remove_containers_of(tmp_path)  # none is no fault
