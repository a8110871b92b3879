"""Lambda execution environments on this machine: the real runtime on AWS's Runtime Interface Emulator.

SAM CLI brings the emulator for its containers; it also runs without one. It starts the runtime
(`python -m awslambdaric`) at the first invocation and speaks Lambda's Runtime API with it.
"""

import http.client
import json
import os
import platform
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import IO

import psutil

from local.lifeline import Lifeline
from local.servers.services import Log, free_port

_INVOCATIONS = "/2015-03-31/functions/function/invocations"
_START_SECONDS = 10
_GRACE_SECONDS = 0.25  # for the emulator to report a timeout
# What awslambdaric answers for an exception, always with these keys (its `make_error`). The emulator sends it
# with status 200, as it would a result.
_ERROR_KEYS = {"errorMessage", "errorType", "requestId", "stackTrace"}

# The emulator gives the runtime a process group of its own. This returns it to the emulator's group, so that
# one signal reaches both; so does the emulator's own kill at a timeout.
_RUNTIME = (
    "import os, runpy; os.setpgid(0, os.getpgid(os.getppid())); "
    "runpy.run_module('awslambdaric', run_name='__main__', alter_sys=True)"
)

_NOISE = re.compile(
    r"(START|END|REPORT) RequestId: "  # the access log has it too
    r"|.* \[[A-Z]+\] \(rapid\) "  # the emulator's view of a failure that is logged already
    r"|\[WARNING\]\t.*LAMBDA_WARNING: Unhandled exception"  # advice about AWS's runtime updates
)


@dataclass(frozen=True)
class FunctionSettings:
    """A function as the template declares it; `timeout` in seconds, `memory` in MB.

    `variables` are its environment variables, AWS's own included.
    """

    name: str
    handler: str
    timeout: int
    memory: int
    variables: Mapping[str, str]


class FunctionFailed(Exception):
    """The function answered with an error, as Lambda's Invoke API marks with `FunctionError`."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(f"{error_type}: {message}" if error_type else message)
        self.error_type = error_type
        self.message = message


class EnvironmentLost(FunctionFailed):
    """The environment crashed or ran out of time, and with it the invocation: it must be replaced."""


class ExecutionEnvironment:
    """One process of a function, which keeps its state between invocations and serves one at a time.

    `root` is the folder the handler is imported from. The function sees its own variables and the few that
    any program needs, but nothing else of the developer's shell. Raises OSError when the emulator does not
    start.
    """

    def __init__(self, settings: FunctionSettings, root: Path, lifeline: Lifeline, log: Log) -> None:
        self._settings = settings
        self._root = root
        self._lifeline = lifeline
        self._log = log
        self._process, self._connection = self._start()
        self._reader = threading.Thread(target=self._copy_log, daemon=True, name=f"log-{settings.name}")
        self._reader.start()

    @property
    def is_alive(self) -> bool:
        """Whether the emulator still runs."""
        return self._process.poll() is None

    def invoke(self, payload: bytes) -> bytes:
        """Return the function's result for the event `payload`, both JSON.

        Raises FunctionFailed when the handler raised, EnvironmentLost when the function could not be
        imported, ended the process, or was not done after its timeout.
        """
        started = time.monotonic()
        try:
            self._connection.request("POST", _INVOCATIONS, payload)
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            # At a timeout the emulator kills the runtime's process group, and so itself.
            if time.monotonic() - started >= self._settings.timeout - _GRACE_SECONDS:
                raise self._timed_out() from error
            raise EnvironmentLost("Runtime.ExitError", "The execution environment crashed") from error
        if body.startswith(b"Task timed out after "):
            raise self._timed_out()
        if response.status != http.client.OK:
            answer = json.loads(body)
            if answer["errorType"] == "Runtime.ImportModuleError":
                self._show_failed_import()
            raise EnvironmentLost(answer["errorType"], answer["errorMessage"])
        # Checked first, so that a large result is not parsed.
        if b'"stackTrace"' in body:
            answer = json.loads(body)
            if isinstance(answer, dict) and answer.keys() == _ERROR_KEYS:
                raise FunctionFailed(answer["errorType"], answer["errorMessage"])
        return body

    def stop(self) -> None:
        """Kill the emulator and the runtime, also in the midst of an invocation."""
        self._lifeline.end(self._process)
        self._connection.close()
        self._reader.join(timeout=1)

    def _start(self) -> tuple[subprocess.Popen[bytes], http.client.HTTPConnection]:
        # The emulator cannot choose ports itself, and one that was free may be taken by now.
        for _ in range(3):
            port, runtime_port = free_port(), free_port()
            process = self._lifeline.start(
                self._command(port, runtime_port),
                env=self._environment(),
                cwd=self._root,
                log=subprocess.PIPE,
            )
            timeout = self._settings.timeout + _GRACE_SECONDS
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
            if _listens(process, {port, runtime_port}):
                connection.connect()
                return process, connection
            self._lifeline.end(process)
            connection.close()
            with _output(process) as output:
                output_text = output.read().decode(errors="replace")
        raise OSError(f"The Runtime Interface Emulator did not start: {output_text.strip() or 'no answer'}")

    def _command(self, port: int, runtime_port: int) -> list[str]:
        return [
            *(str(_emulator()), "--log-level", "error"),
            *("--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
            *("--runtime-api-address", f"127.0.0.1:{runtime_port}"),
            *(sys.executable, "-c", _RUNTIME, self._settings.handler),
        ]

    def _environment(self) -> dict[str, str]:
        inherited = {
            name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR") if name in os.environ
        }
        return {
            **inherited,
            "PYTHONPATH": str(self._root),
            **self._settings.variables,
            "AWS_LAMBDA_FUNCTION_NAME": self._settings.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(self._settings.timeout),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self._settings.memory),
        }

    def _timed_out(self) -> EnvironmentLost:
        return EnvironmentLost(
            "Sandbox.Timedout", f"Task timed out after {self._settings.timeout}.00 seconds"
        )

    def _copy_log(self) -> None:
        with _output(self._process) as output:
            for raw in output:
                # awslambdaric makes a traceback one record: carriage returns and no-break spaces.
                text = raw.decode(errors="replace").rstrip().replace("\u00a0", " ")
                if not _NOISE.match(text):
                    for line in text.split("\r"):
                        # Go on reading after any error: a function whose pipe is full stops.
                        with suppress(Exception):
                            self._log(line)

    def _show_failed_import(self) -> None:
        """Log the traceback of a failed import; the runtime gives only its message."""
        module = self._settings.handler.rpartition(".")[0]
        attempt = subprocess.run(  # noqa: S603 - the developer's own function
            [sys.executable, "-c", f"import {module}"],
            env=self._environment(),
            cwd=self._root,
            capture_output=True,
            timeout=self._settings.timeout,
            check=False,
        )
        for line in attempt.stderr.decode(errors="replace").splitlines():
            self._log(line)


class Pool:
    """The execution environments of one function: at most `concurrency`, started when they are needed.

    The one used last is used first, so that the others stay idle as on AWS. Further callers wait in line.
    """

    def __init__(self, start: Callable[[], ExecutionEnvironment], concurrency: int, log: Log) -> None:
        self._start = start
        self._log = log
        self._slots = threading.Semaphore(concurrency)  # one for each invocation under way
        self._lock = threading.Lock()  # for the following
        self._alive: set[ExecutionEnvironment] = set()
        self._idle: list[ExecutionEnvironment] = []
        self._outdated: set[ExecutionEnvironment] = set()
        self._closed = False

    def invoke(self, payload: bytes) -> bytes:
        """As ExecutionEnvironment.invoke; the next caller gets another environment for a lost one."""
        with self._slots:
            environment = self._take_idle()
            if environment is not None:
                return self._invoke(environment, payload)
            started = time.monotonic()
            environment = self._start_one()
            try:
                return self._invoke(environment, payload)
            finally:
                self._log(f"cold start: {time.monotonic() - started:.1f} s")

    def refresh(self) -> None:
        """Let the next invocations run new code: stop idle environments now, busy ones when done."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._outdated = self._alive - set(idle)
        for environment in idle:
            self._discard(environment)

    def stop(self) -> None:
        """Stop every environment, busy ones too; callers get EnvironmentLost."""
        with self._lock:
            self._closed = True
            alive = list(self._alive)
        for environment in alive:
            self._discard(environment)

    def _take_idle(self) -> ExecutionEnvironment | None:
        while True:
            with self._lock:
                if self._closed:
                    raise _stopping()
                if not self._idle:
                    return None
                environment = self._idle.pop()
            if environment.is_alive:
                return environment
            self._discard(environment)

    def _start_one(self) -> ExecutionEnvironment:
        try:
            environment = self._start()
        except OSError as error:
            raise EnvironmentLost("Sandbox.Failure", str(error)) from error
        with self._lock:
            self._alive.add(environment)
            closed = self._closed
        if closed:
            self._discard(environment)
            raise _stopping()
        return environment

    def _invoke(self, environment: ExecutionEnvironment, payload: bytes) -> bytes:
        try:
            return environment.invoke(payload)
        except EnvironmentLost as error:
            if not self._closed:
                self._log(str(error))
            self._discard(environment)
            raise
        finally:
            with self._lock:
                is_outdated = environment in self._outdated
                if environment in self._alive and not is_outdated:
                    self._idle.append(environment)
            if is_outdated:
                self._discard(environment)

    def _discard(self, environment: ExecutionEnvironment) -> None:
        with self._lock:
            # Both the caller that lost it and stop() may discard it.
            if environment not in self._alive:
                return
            self._alive.remove(environment)
            self._outdated.discard(environment)
        environment.stop()


def _stopping() -> EnvironmentLost:
    return EnvironmentLost("Sandbox.Failure", "The function is being stopped")


def _listens(process: subprocess.Popen[bytes], ports: set[int]) -> bool:
    """Wait until the process listens on all the ports; False when it ends, or does not in time.

    A port that answers may be another's: the emulator opens one, and ends when it cannot open the other.
    """
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(psutil.Error):  # it ends just now
            sockets = psutil.Process(process.pid).net_connections("tcp")
            if ports <= {each.laddr.port for each in sockets if each.status == psutil.CONN_LISTEN}:
                return True
        time.sleep(0.005)
    return False


def _output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdout is None:
        raise ValueError("The process was started without a pipe for its output.")
    return process.stdout


def _emulator() -> Path:
    """Return the emulator for this machine's processor, executable."""
    machine = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
    path = Path(str(resources.files("samcli").joinpath(f"local/rapid/aws-lambda-rie-{machine}")))
    if not os.access(path, os.X_OK):
        path.chmod(path.stat().st_mode | 0o111)  # not every installer keeps the bit
    return path
