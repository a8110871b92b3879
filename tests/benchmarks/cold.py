"""Cold starts of what `sam build` makes: `python -m tests.benchmarks.cold [--rounds 15] [function …]`.

Process start to the end of the first invocation: the Lambda runtime on its emulator, Python 3.13 that writes
no bytecode, real PostgreSQL and Valkey. Beside it, in turns: a handler that does nothing, and the smallest
service on the original's stack, its packages as SAM's own builder leaves them, without bytecode. What is
compared and the runtime are installed into .local/cold/ once.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import redis
from psycopg.rows import dict_row

from functions.run_migrations import migrations
from local.aws.execution_environment import ExecutionEnvironment, FunctionSettings
from local.processes.lifeline import Lifeline
from local.servers.backing import Backing
from shared.accounts import access_tokens, passwords
from shared.platform import database
from shared.products import demand

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
KEPT = ROOT / ".local" / "cold"
BUILD = KEPT / "build"
ARCHITECTURE = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"

PRODUCT_LIMIT, DATABASE_LIMIT = 0.15, 0.22  # times the original's
PRODUCT = ("get_product", "list_products")
DATABASE = (
    *("get_favorite", "list_favorites", "add_favorite", "remove_favorite", "create_favorite"),
    *("get_client", "list_clients", "update_client", "create_client", "login"),
)

Event = dict[str, Any]


class Subject(NamedTuple):
    """One line of the table: where the code is, what it is sent, and what it may take."""

    path: list[Path]
    handler: str
    event: Callable[[], Event]
    compared: str = ""
    limit: float = 0.0


def main() -> None:
    """Build, measure, print; ends with 1 where a function is over its limit."""
    arguments = argparse.ArgumentParser(prog="python -m tests.benchmarks.cold")
    arguments.add_argument("--rounds", type=int, default=15)
    arguments.add_argument("functions", nargs="*", default=[*PRODUCT, *DATABASE])
    chosen = arguments.parse_args()
    python = _python313()
    runtime, original = _installed(python, "runtime"), _installed(python, "original")
    _build()
    with ExitStack() as running, tempfile.TemporaryDirectory() as data:
        backing = running.enter_context(Backing(data=Path(data), settings={}, log=print))
        variables = backing.settings | {"PYTHONDONTWRITEBYTECODE": "1"}
        os.environ.update(variables)
        with redirect_stdout(sys.stderr):  # the log of what happens in this process
            events = _events(variables)
        subjects = {
            "(a) bare handler": Subject([HERE / "cold_bare"], "handler.lambda_handler", dict),
            "(b) original, a product": Subject(
                [HERE / "original", original], "app.lambda_handler", events["get_product"]
            ),
            "(b) original, a list": Subject(
                [HERE / "original", original], "app.lambda_handler", events["list_favorites"]
            ),
        }
        for function in chosen.functions:
            is_product = function in PRODUCT
            subjects[function] = Subject(
                _artifacts(function),
                f"functions.{function}.handler.lambda_handler",
                events[function],
                "(b) original, a product" if is_product else "(b) original, a list",
                PRODUCT_LIMIT if is_product else DATABASE_LIMIT,
            )
        lifeline = running.enter_context(Lifeline())
        times: defaultdict[str, list[float]] = defaultdict(list)
        for turn in range(chosen.rounds + 1):
            for name, subject in subjects.items():
                seconds = _cold_start(name, subject, python, runtime, variables, lifeline)
                if turn:  # the first only brings the files into the page cache
                    times[name].append(seconds)
    sys.exit(_report(subjects, times))


class _BuiltEnvironment(ExecutionEnvironment):
    """An execution environment that runs on Lambda's version of Python, whatever this command runs on."""

    python = ""

    def _command(self, port: int, runtime_port: int) -> list[str]:
        command = super()._command(port, runtime_port)
        return [self.python if part == sys.executable else part for part in command]


def _cold_start(
    name: str,
    subject: Subject,
    python: str,
    runtime: Path,
    variables: dict[str, str],
    lifeline: Lifeline,
) -> float:
    """Seconds from the start of the emulator to the answer."""
    path = os.pathsep.join(str(part) for part in (*subject.path, runtime))
    settings = FunctionSettings(name, subject.handler, 15, 512, variables | {"PYTHONPATH": path})
    payload = json.dumps(subject.event()).encode()
    log: list[str] = []
    _BuiltEnvironment.python = python
    started = time.perf_counter()
    environment = _BuiltEnvironment(settings, subject.path[0], lifeline, log.append)
    try:
        answer = json.loads(environment.invoke(payload))
        seconds = time.perf_counter() - started
    finally:
        environment.stop()
    if answer["statusCode"] not in {200, 201, 204}:
        sys.exit(f"{name} answered {answer}\n" + "\n".join(log))
    if name in PRODUCT and answer["headers"]["X-Cache"] != "hit":
        sys.exit(f"{name} was no hit: {answer['headers']}")
    return seconds


def _report(subjects: dict[str, Subject], times: dict[str, list[float]]) -> int:
    medians = {name: statistics.median(values) * 1000 for name, values in times.items()}
    print(f"{'':26}{'median ms':>10}{'fastest':>9}{'x (b)':>8}{'fastest':>9}{'limit':>7}")
    failed = 0
    for name, subject in subjects.items():
        line = f"{name:26}{medians[name]:10.0f}{min(times[name]) * 1000:9.0f}"
        if subject.compared:
            ratio = medians[name] / medians[subject.compared]
            fastest = min(times[name]) / min(times[subject.compared])
            over = ratio > subject.limit
            failed |= over
            line += f"{ratio:8.3f}{fastest:9.3f}{subject.limit:7.2f}{'  over' if over else ''}"
        print(line)
    return failed


def _events(variables: dict[str, str]) -> dict[str, Callable[[], Event]]:
    """For each function, what makes the event of its next invocation; the services hold what it asks for."""
    with psycopg.connect(variables["DATABASE_URL"], autocommit=True, row_factory=dict_row) as connection:
        migrations.run(connection)
        credentials = json.loads(_sample("login")["body"])
        row = connection.execute(
            """
            INSERT INTO clients (name, email, email_key, password_hash, role)
            VALUES ('Ana', %(email)s, %(email)s, %(hash)s, 'admin') RETURNING client_id
            """,
            {"email": credentials["email"], "hash": passwords.hash_password(credentials["password"])},
        ).fetchone()
        assert row is not None
        client_id: UUID = row["client_id"]
        demand.detail("7")
        demand.page(
            limit=20,
            cursor=None,
            category=None,
            sort=_sample("list_products")["queryStringParameters"]["sort"],
        )
        connection.execute(
            """
            INSERT INTO favorites (client_id, product_id, price_when_favorited)
            SELECT %s, product_id, price FROM products
            """,
            [client_id],
        )
        connection.execute("ANALYZE")
    database.close()
    with redis.Redis.from_url(variables["REDIS_URL"]) as client:
        client.set("original:7", json.dumps({"product_id": "7", "title": "A product", "price": 9.99}))
    token = f"Bearer {access_tokens.issue(client_id, 'admin')}"

    def event_of(function: str) -> Callable[[], Event]:
        def event() -> Event:
            made = _sample(function)
            if "authorization" in made["headers"]:
                made["headers"]["authorization"] = token
            if function == "create_client":
                body = json.loads(made["body"]) | {"email": f"c{time.time_ns()}@example.com"}
                made["body"] = json.dumps(body)
            if function == "create_favorite":
                _forget_favorite(variables["DATABASE_URL"], json.loads(made["body"])["product_id"])
            return made

        return event

    return {function: event_of(function) for function in (*PRODUCT, *DATABASE)}


def _forget_favorite(url: str, product_id: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DELETE FROM favorites WHERE product_id = %s", [product_id])


def _sample(function: str) -> Event:
    event: Event = json.loads((ROOT / "events" / f"{function}.json").read_text())
    return event


def _artifacts(function: str) -> list[Path]:
    artifact = BUILD / f"{function.title().replace('_', '')}Function"
    return [artifact, BUILD / "DependenciesLayer" / "python", BUILD / "SharedLayer" / "python"]


def _build() -> None:
    print("Building…", file=sys.stderr)
    _run(
        *(str(Path(sys.executable).with_name("sam")), "build", "--parallel", "--no-cached"),
        *("--build-dir", str(BUILD), "--parameter-overrides", f"Architecture={ARCHITECTURE}"),
    )


def _installed(python: str, name: str) -> Path:
    """The folder with the original's packages, or the runtime's; installed where it is not yet there."""
    if name == "original":
        what = ["--no-compile", "--requirement", str(HERE / "original" / "requirements.txt")]
        version = (HERE / "original" / "requirements.txt").read_text()
    else:
        pins = (ROOT / "requirements-dev.txt").read_text().split()
        what = [pin for pin in pins if pin.startswith(("awslambdaric==", "boto3=="))]  # as on Lambda
        version = " ".join(what)
    folder = KEPT / f"{name}-{hashlib.sha256(version.encode()).hexdigest()[:12]}"
    if not (folder / "installed").exists():
        print(f"Installing the {name}…", file=sys.stderr)
        _run(python, "-m", "pip", "install", "--quiet", "--upgrade", "--target", str(folder), *what)
        (folder / "installed").touch()
    return folder


def _python313() -> str:
    """Lambda's version of Python, without the packages of a virtual environment that it may be found in.

    A package that ours would use if it were there, as PyJWT would use cryptography, must not be found.
    """
    found = _run("sh", str(ROOT / "layers" / "dependencies" / "python313")).strip()
    return _run(found, "-c", "import sys; print(sys._base_executable)").strip()


def _run(*command: str) -> str:
    environment = {"AWS_DEFAULT_REGION": "us-east-1", "SAM_CLI_TELEMETRY": "0"} | os.environ
    ran = subprocess.run(  # noqa: S603 - pip, sam and the project's own
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        sys.exit(ran.stderr)
    return ran.stdout


if __name__ == "__main__":
    main()
