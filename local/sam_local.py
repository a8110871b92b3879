"""What `sam build` makes, under the real `sam local start-api`, before the backing services of `make run`."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local import docker
from local.lifeline import Lifeline
from local.servers import private_file
from local.servers.backing import ServiceGroup
from local.servers.services import Log, ServiceFailed, free_port, log_tail, wait_until
from local.settings import ROOT, TEMPLATE, check, parameters_of
from local.stack import bind, claim, refuse_a_second_run

# Settings that go to the functions in a file that only its user may read, never on a command line.
_BY_FILE = ("DATABASE_URL", "REDIS_URL", "CATALOG_URL", "ACCESS_TOKEN_KEYS", "ADMIN_EMAIL", "ADMIN_PASSWORD")
_SERVE_SECONDS = 60
_LISTEN_SECONDS = 60  # for a new container on a busy machine; SAM CLI waits for less than one second
_STOP_SECONDS = 60  # SAM CLI stops its containers one by one


class SamLocal(ServiceGroup):
    """Everything that `python -m local sam-local` runs.

    start() builds, migrates and then runs `sam local start-api`, whose output goes to the console. It raises
    NoDocker without Docker or Lambda's image. The services listen on an address that containers can reach and
    no other machine can. The build lies in `data`: it is for this machine's processor, so `sam deploy` must
    not use it.
    """

    def __init__(
        self, *, data: Path, port: int = 0, settings: Mapping[str, str] | None = None, log: Log = print
    ) -> None:
        super().__init__(data=data, port=port, settings=settings, log=log)
        self._build = self._data / "build"
        self._log_file = self._data / "sam-local.log"
        self._variables = self._data / "sam-local.json"
        self._server: subprocess.Popen[bytes] | None = None

    def invoke_command(self, function: str) -> str:
        """Return the command line that invokes a function beside this run, with its settings."""
        here = Path.cwd()
        command = [str(_short(_sam(), here)), "local", "invoke", function, *self._options(here)]
        return shlex.join(command)

    def _start(self) -> None:
        # Common mistakes, and quick to find: checked before anything starts.
        check(self._given)
        for name in ("DATABASE_URL", "REDIS_URL", "CATALOG_URL"):
            _check_reachable(name, self._given.get(name, ""))
        refuse_a_second_run(self._data)
        with bind(self._port) as probe:  # SAM CLI has to bind it itself
            port = probe.getsockname()[1] if self._port else free_port()
        docker.check()
        self._running.enter_context(claim(self._data))
        self._log_file.unlink(missing_ok=True)
        docker.have_runtime_image(self._log)
        self._log("Building what a deploy would upload; the first time takes a minute…")
        self._make()
        docker.remove_containers_of(self._build)  # left by a killed run
        self._running.callback(docker.remove_containers_of, self._build)
        self._running.callback(self.backing.stop)
        self.backing.start(docker.gateway())
        # DATABASE_CREDENTIALS is the name of a secret in the cloud; not used here.
        variables = {name: self.settings[name] for name in _BY_FILE} | {"DATABASE_CREDENTIALS": ""}
        variables["CATALOG_CURRENCY"] = self.settings.get("CATALOG_CURRENCY", "")
        private_file.write(self._variables, json.dumps({"Parameters": variables}, indent=2))
        self._migrate()
        self.admin_password = self.backing.admin_password()
        self._fill_cache()
        self._serve(port)

    def _make(self) -> None:
        self._run_sam(
            "The build failed",
            *("build", "--template", str(TEMPLATE), "--build-dir", str(self._build)),
            *("--cached", "--cache-dir", str(self._data / "build-cache")),
            *("--parallel", *self._parameters()),
        )

    def _migrate(self) -> None:
        self._log("Running the migrations…")
        answer = self._invoke("RunMigrationsFunction")
        if "errorType" in answer:
            reason = f"{answer['errorType']}: {answer.get('errorMessage')}"
            raise ServiceFailed(f"The migrations failed: {reason} ({self._log_file})")

    def _fill_cache(self) -> None:
        """Do once what the schedule does in the cloud: it does not run here."""
        self._log("Filling the cache…")
        try:
            answer = self._invoke("WarmProductCacheFunction")
        except ServiceFailed as error:
            answer = {"errorType": type(error).__name__, "errorMessage": str(error)}
        if "errorType" in answer:
            self._log(f"The cache was not filled: {answer['errorType']}: {answer.get('errorMessage')}")

    def _invoke(self, function: str) -> dict[str, Any]:
        """Return what a function answers to an empty event; a failure in it has an `errorType`.

        Raises ServiceFailed when SAM CLI refuses or gets no answer. When the new container does not listen
        yet, SAM CLI exits with 0 and prints nothing (aws/aws-sam-cli#3714): try again then.
        """
        failure = f"{function} could not be invoked"
        deadline = time.monotonic() + _LISTEN_SECONDS
        while True:
            output = self._run_sam(failure, "local", "invoke", function, "--no-event", *self._options())
            if output.strip():
                answer = json.loads(output)
                return answer if isinstance(answer, dict) else {}
            if time.monotonic() > deadline:
                raise ServiceFailed(f"{failure}: {log_tail(self._log_file, lines=1)} ({self._log_file})")

    def _serve(self, port: int) -> None:
        """Run SAM CLI's server on this console; return when it listens."""
        command = [str(_sam()), "local", "start-api", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--warm-containers", "LAZY", *self._options()]
        lifeline = self._running.enter_context(Lifeline(signal.SIGTERM))
        self._server = server = lifeline.start(command, env=_environment(), cwd=ROOT)
        # SIGTERM lets SAM CLI remove its containers.
        self._running.callback(lifeline.end, server, signal.SIGTERM, patience=_STOP_SECONDS)
        wait_until(lambda: server.poll() is not None or _answers(port), timeout=_SERVE_SECONDS, interval=0.1)
        if server.poll() is not None:
            raise ServiceFailed(f"`sam local start-api` ended with {server.returncode}.")
        if not _answers(port):
            raise ServiceFailed(f"`sam local start-api` did not listen within {_SERVE_SECONDS} s.")
        self.url = f"http://127.0.0.1:{port}"

    def wait(self) -> None:
        """Return when SAM CLI's server ends by itself, which it should not. Raises ServiceFailed then."""
        if self._server is not None:
            raise ServiceFailed(f"`sam local start-api` ended with {self._server.wait()}.")

    def _options(self, seen_from: Path | None = None) -> list[str]:
        """Return the options of all commands that run functions."""
        template, variables = self._build / "template.yaml", self._variables
        if seen_from is not None:
            template, variables = _short(template, seen_from), _short(variables, seen_from)
        return [
            *("--template", str(template), "--env-vars", str(variables), "--skip-pull-image"),
            *self._parameters(),
        ]

    def _parameters(self) -> list[str]:
        values = {"Architecture": docker.ARCHITECTURE, **parameters_of(self._given)}
        values.pop("KeepHot", None)  # about schedules, which do not run here
        return ["--parameter-overrides", *(f"{name}={value}" for name, value in values.items())]

    def _run_sam(self, failure: str, *arguments: str) -> str:
        """Run a command of SAM CLI; return what it wrote to stdout. The rest goes to the log file.

        Raises ServiceFailed, which begins with `failure`, when it fails.
        """
        with self._log_file.open("ab") as log:
            start = log.tell()
            ran = subprocess.run(  # noqa: S603 - a list, no shell
                [str(_sam()), *arguments],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env=_environment(),
                text=True,
            )
        if ran.returncode != 0:
            raise ServiceFailed(f"{failure}: {log_tail(self._log_file, start)} ({self._log_file})")
        return ran.stdout


def _check_reachable(name: str, url: str) -> None:
    """Raise ServiceFailed for a loopback address, which in a container is the container itself."""
    host = urlsplit(url).hostname or ""
    try:
        is_loopback = ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    if is_loopback:
        raise ServiceFailed(
            f"{name} names {host}, which in a container is the container itself: let the server listen on "
            "Docker's bridge too (172.17.0.1, as a rule) and name that."
        )


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _sam() -> Path:
    return Path(sys.executable).with_name("sam")


def _short(path: Path, seen_from: Path) -> Path:
    return path.relative_to(seen_from) if path.is_relative_to(seen_from) else path


def _environment() -> dict[str, str]:
    return {
        "AWS_DEFAULT_REGION": "us-east-1",  # SAM CLI wants one although it calls no AWS API
        "AWS_EC2_METADATA_DISABLED": "true",  # no waiting for credentials from this machine
        **os.environ,
        "SAM_CLI_TELEMETRY": "0",
        "DOCKER_HOST": docker.endpoint(),
        "PYTHONUNBUFFERED": "1",
    }
