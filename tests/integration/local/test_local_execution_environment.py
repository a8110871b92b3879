"""Real execution environments: the emulator, the runtime, their processes."""

import gc
import json
import socket
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from local.aws.execution_environment import (
    EnvironmentLost,
    ExecutionEnvironment,
    FunctionFailed,
    FunctionSettings,
)
from local.lifeline import Lifeline
from local.servers.services import free_port, wait_until

HANDLER = """
import os, signal, time

def lambda_handler(event, context):
    print("handling", event["do"])
    match event["do"]:
        case "pid":
            return os.getpid()
        case "environment":
            return dict(os.environ)
        case "time left":
            return context.get_remaining_time_in_millis()
        case "say much":
            print("much " * 100_000)
        case "fail":
            raise ValueError("no such thing")
        case "exit":
            os._exit(3)
        case "hang":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(60)
        case "look like an error":
            return {"errorType": "a", "errorMessage": "b", "stackTrace": []}
"""


class Console:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        self.lines.append(line)

    def shows(self, text: str) -> bool:
        return wait_until(lambda: any(text in line for line in self.lines), timeout=30)


class Runner:
    """Starts environments of the function above, in a folder of their own."""

    def __init__(self, root: Path, lifeline: Lifeline) -> None:
        self.root = root
        self.console = Console()
        self.started: list[ExecutionEnvironment] = []
        self._lifeline = lifeline

    def start(self, code: str = HANDLER, timeout: int = 10) -> Callable[[str], Any]:
        (self.root / "handler.py").write_text(code)
        settings = FunctionSettings("Sample", "handler.lambda_handler", timeout, 256, {"COLOR": "green"})
        environment = ExecutionEnvironment(settings, self.root, self._lifeline, self.console)
        self.started.append(environment)
        return lambda do: json.loads(environment.invoke(json.dumps({"do": do}).encode()))


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    with Lifeline() as lifeline:
        runner = Runner(tmp_path, lifeline)
        yield runner
        for environment in runner.started:
            environment.stop()


def is_running(pid: int) -> bool:
    """Tell whether a process runs; one that is dead but not yet reaped does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_port_that_was_taken_meanwhile_is_given_up_and_leaves_nothing_open(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, warnings.catch_warnings(record=True) as left_open:
        warnings.simplefilter("always", ResourceWarning)
        ports = iter([free_port(), other.getsockname()[1], free_port(), free_port()])
        monkeypatch.setattr("local.aws.execution_environment.free_port", lambda: next(ports))
        assert runner.start()("time left") > 0
        gc.collect()
    assert [str(warning.message) for warning in left_open] == []


def test_a_process_that_psutil_cannot_read_is_read_again(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of a process that has ended, another user than root may not see the files.
    process, looks = psutil.Process, iter([psutil.AccessDenied, psutil.NoSuchProcess])

    def seen(pid: int) -> psutil.Process:
        if error := next(looks, None):
            raise error(pid)
        return process(pid)

    monkeypatch.setattr("psutil.Process", seen)
    assert runner.start()("time left") > 0


def test_the_function_sees_its_own_variables_and_nothing_of_the_shell(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    seen = runner.start()("environment")
    assert seen["COLOR"] == "green"
    assert seen["AWS_LAMBDA_FUNCTION_NAME"] == "Sample"
    assert seen["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert not {"AWS_PROFILE", "GITHUB_TOKEN", "PYTEST_CURRENT_TEST"} & seen.keys()


def test_what_a_function_prints_is_logged_without_the_emulators_noise(runner: Runner) -> None:
    assert 5_000 < runner.start(timeout=10)("time left") <= 10_000
    assert runner.console.shows("handling time left")
    assert runner.console.lines == ["handling time left"]


def test_a_log_that_fails_does_not_stop_the_function(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Console, line: str) -> None:
        raise OSError(28, "No space left on device", line)

    monkeypatch.setattr(Console, "__call__", fail)
    invoke = runner.start()
    for _ in range(3):  # more than a pipe holds
        assert invoke("say much") is None


def test_an_exception_is_told_and_logged_and_the_process_goes_on(runner: Runner) -> None:
    invoke = runner.start()
    before = invoke("pid")
    with pytest.raises(FunctionFailed, match="ValueError: no such thing"):
        invoke("fail")
    assert runner.console.shows('raise ValueError("no such thing")')
    assert invoke("look like an error")["errorType"] == "a"
    assert invoke("pid") == before


def test_a_process_that_ends_itself_loses_the_environment(runner: Runner) -> None:
    with pytest.raises(EnvironmentLost, match="exit status 3"):
        runner.start()("exit")


def test_a_function_that_is_not_done_in_time_is_killed(runner: Runner) -> None:
    invoke = runner.start(timeout=1)
    pid = invoke("pid")
    with pytest.raises(EnvironmentLost, match=r"Task timed out after 1\.00 seconds"):
        invoke("hang")
    assert wait_until(lambda: not is_running(pid), timeout=30)


def test_a_failed_import_is_logged_with_the_place_where_it_failed(runner: Runner) -> None:
    with pytest.raises(EnvironmentLost, match="No module named 'missing_package'"):
        runner.start("import json\nimport missing_package\n")("pid")
    assert runner.console.shows('handler.py", line 2')


def test_stopping_kills_a_function_that_hangs(runner: Runner) -> None:
    invoke = runner.start()
    pid = invoke("pid")
    with ThreadPoolExecutor(1) as caller:
        hanging = caller.submit(invoke, "hang")
        assert runner.console.shows("handling hang")
        runner.started[0].stop()
        assert isinstance(hanging.exception(timeout=30), EnvironmentLost)
    assert wait_until(lambda: not is_running(pid), timeout=30)
