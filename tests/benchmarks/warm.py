"""Warm functions beside bare handlers and beside the original's stack.

What `sam build` made on the real Lambda runtime, on real PostgreSQL and Valkey, without API Gateway. Ours and
what it is compared with take turns, request by request, so that the noise of the machine falls on all alike;
printed are the medians of several rounds. "Bare" does the same one command or the same SQL and nothing else.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from local.lifeline import Lifeline
from tests.benchmarks.figures import Part, Table
from tests.benchmarks.fixtures import built
from tests.benchmarks.fixtures.built import Environment
from tests.benchmarks.fixtures.function_process import FunctionProcess, Step
from tests.benchmarks.fixtures.stand import PRODUCT, Stand

ROUNDS, REQUESTS = 5, 400
OURS, BARE, STACK = "this service", "bare", "FastAPI stack"


class Subject(NamedTuple):
    """One of those who take turns; `undo` is called after each request, and not timed."""

    environment: Environment
    event: dict[str, Any]
    undo: Callable[[], object] = lambda: None


class Measured(NamedTuple):
    """What a subject took in a round: seconds of each request, and CPU seconds of a request."""

    seconds: list[float]
    cpu: float

    def percentile(self, part: float) -> float:
        return sorted(self.seconds)[int(len(self.seconds) * part)]


def measure(stand: Stand, rounds: int = ROUNDS, requests: int = REQUESTS) -> Part:
    part = Part("warm")
    rows: list[list[str]] = []
    for name, (key, prepare) in _OPERATIONS.items():
        with ExitStack() as running:
            subjects = prepare(Start(stand.plain, running), stand)
            check(name, subjects)
            found = take_turns(subjects, rounds, requests if key != "login" else requests // 4)
            resident = {who: it.environment.process.memory_info().rss / 1e6 for who, it in subjects.items()}
        ratios = {who: ratios_of(found[OURS], found[who]) for who in found if who != OURS}
        for who, turns in found.items():
            times = [statistics.median(turn.percentile(p) for turn in turns) * 1000 for p in (0.5, 0.99)]
            cpu = statistics.median(turn.cpu for turn in turns) * 1000
            ratio = [f"{value:.2f}" for value in ratios[who]] if who in ratios else ["", ""]
            shown = [*(f"{ms:.2f}" for ms in times), f"{cpu:.3f}", f"{resident[who]:.0f}"]
            rows.append([f"{name}, {who}", *shown, *ratio])
        if key in {"product", "favorites"}:
            part.values[f"warm.{key}.p50"], part.values[f"warm.{key}.cpu"] = ratios[BARE]
        kind = "memory.product" if key in {"product", "products"} else "memory.database"
        part.values[kind] = max(part.values.get(kind, 0.0), resident[OURS])
    head = ["", "p50 ms", "p99 ms", "CPU ms", "MB", "ours ÷ it: p50", "CPU"]
    part.tables.append(Table("Warm requests", head, rows))
    return part


# ── The operations ────────────────────────────────────────────────────────────────────────────────────────


class Start:
    def __init__(self, variables: Mapping[str, str], running: ExitStack) -> None:
        self._variables = variables
        self._running = running
        self._lifeline = running.enter_context(Lifeline())

    def ours(self, function: str) -> Environment:
        return self._started(*built.function(function))

    def bare(self, module: str) -> Environment:
        dependencies = built.BUILD / "DependenciesLayer" / "python"
        redis_py = built.original(bytecode=True)  # has redis-py, which our layer may do without
        return self._started([built.BARE, dependencies, *redis_py], f"{module}.lambda_handler")

    def stack(self, module: str = "app") -> Environment:
        return self._started(built.original(bytecode=True), f"{module}.lambda_handler")

    def statements(self, function: str, event: Any) -> Any:
        """The event for a bare handler: the SQL that the function runs for its own."""
        with FunctionProcess(self._variables) as process:
            executed = process.statements(Step(function, function, event, None))
        return {"statements": [[each["text"], each["parameters"]] for each in executed]}

    def _started(self, path: list[Path], handler: str) -> Environment:
        environment = Environment(path, handler, self._variables, self._lifeline)
        self._running.callback(environment.stop)
        return environment


def _cached(function: str, key: str) -> Callable[[Start, Stand], dict[str, Subject]]:
    def prepare(start: Start, stand: Stand) -> dict[str, Subject]:
        return {
            OURS: Subject(start.ours(function), stand.event(function)),
            BARE: Subject(start.bare("cached"), {"key": f"original:{key}"}),
            STACK: Subject(start.stack(), stand.original(function)),
        }

    return prepare


def _favorites(start: Start, stand: Stand) -> dict[str, Subject]:
    query = {"queryStringParameters": {"limit": "20"}, "rawQueryString": "limit=20"}
    event, original = stand.event("list_favorites") | query, stand.original("list_favorites") | query
    return {
        OURS: Subject(start.ours("list_favorites"), event),
        BARE: Subject(start.bare("statement"), start.statements("list_favorites", event)),
        STACK: Subject(start.stack(), original),
    }


def _add(start: Start, stand: Stand) -> dict[str, Subject]:
    event, remove = stand.event("add_favorite"), stand.event("remove_favorite")
    removing = start.ours("remove_favorite")
    original, stack = stand.original("add_favorite"), start.stack()

    undo = partial(invoke, removing, remove)
    undo_original = partial(invoke, stack, stand.original("remove_favorite"))
    undo()
    undo_original()
    statements = start.statements("add_favorite", event)
    undo()
    return {
        OURS: Subject(start.ours("add_favorite"), event, undo),
        BARE: Subject(start.bare("statement"), statements, undo),
        STACK: Subject(stack, original, undo_original),
    }


def _login(start: Start, stand: Stand) -> dict[str, Subject]:
    return {
        OURS: Subject(start.ours("login"), stand.event("login")),
        STACK: Subject(start.stack("login"), stand.original("login")),
    }


_OPERATIONS: dict[str, tuple[str, Callable[[Start, Stand], dict[str, Subject]]]] = {
    "product, cached": ("product", _cached("get_product", PRODUCT)),
    "products, a cached page": ("products", _cached("list_products", "page:20")),
    "favorites, a page of 20": ("favorites", _favorites),
    "favorite, added": ("add", _add),
    "log-in": ("login", _login),
}


# ── Measuring ─────────────────────────────────────────────────────────────────────────────────────────────


def check(name: str, subjects: dict[str, Subject]) -> None:
    """Let each answer a few times, as it has to; what is loaded late is loaded then."""
    for who, subject in subjects.items():
        for _ in range(20):
            answer = invoke(subject.environment, subject.event)
            subject.undo()
        if answer["statusCode"] not in {200, 201, 304}:
            sys.exit(f"{name}, {who}: {answer}\n" + "\n".join(subject.environment.log))
        if answer["headers"].get("X-Cache", "hit") != "hit":
            sys.exit(f"{name}, {who} was no hit: {answer['headers']}")


def take_turns(subjects: dict[str, Subject], rounds: int, requests: int) -> dict[str, list[Measured]]:
    payloads = {who: json.dumps(subject.event).encode() for who, subject in subjects.items()}
    found: dict[str, list[Measured]] = {who: [] for who in subjects}
    for _ in range(rounds):
        seconds: dict[str, list[float]] = {who: [] for who in subjects}
        cpu = dict.fromkeys(subjects, 0.0)
        for _ in range(requests):
            for who, subject in subjects.items():
                before, started = _cpu(subject.environment), time.perf_counter()
                subject.environment.invoke(payloads[who])
                seconds[who].append(time.perf_counter() - started)
                cpu[who] += _cpu(subject.environment) - before
                subject.undo()
        for who in subjects:
            found[who].append(Measured(seconds[who], cpu[who] / requests))
    return found


def ratios_of(ours: list[Measured], theirs: list[Measured]) -> tuple[float, float]:
    """p50 and CPU of ours in those of theirs: the medians of the rounds' ratios."""
    pairs = list(zip(ours, theirs, strict=True))
    return (
        statistics.median(a.percentile(0.5) / b.percentile(0.5) for a, b in pairs),
        statistics.median(a.cpu / b.cpu for a, b in pairs),
    )


def invoke(environment: Environment, event: Any) -> Any:
    return json.loads(environment.invoke(json.dumps(event).encode()))


def _cpu(environment: Environment) -> float:
    """CPU seconds of the runtime's process so far: Linux tells nanoseconds, others hundredths of a second."""
    pid = environment.process.pid
    tasks = Path(f"/proc/{pid}/task")
    if not tasks.exists():
        return float(sum(psutil.Process(pid).cpu_times()[:2]))
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9
