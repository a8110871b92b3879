"""Cold starts of what `sam build` makes, with TLS to PostgreSQL and to Valkey.

From the start of the process to the end of the first invocation. In turns with a handler that does nothing,
and with the smallest service on the original's stack, with its bytecode and without.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from local.lifeline import Lifeline
from tests.benchmarks.figures import FIGURES, Part, Table
from tests.benchmarks.fixtures import built
from tests.benchmarks.fixtures.stand import Stand

ROUNDS = 15

FUNCTIONS = {
    "product": ("get_product", "list_products"),
    "database": (
        *("get_favorite", "list_favorites", "add_favorite", "remove_favorite", "create_favorite"),
        *("list_favorite_ids", "change_favorites"),
        *("get_client", "list_clients", "update_client", "create_client"),
    ),
    "login": ("login",),
}
# What each kind of function is compared with: its name, the route, and the module of the original.
ORIGINALS = {
    "product": ("a product", "get_product", "app"),
    "database": ("a list of favorites", "list_favorites", "app"),
    "login": ("a log-in", "login", "login"),
}


class Subject(NamedTuple):
    path: list[Path]
    handler: str
    event: Callable[[], dict[str, Any]]
    variables: dict[str, str]
    kind: str = ""  # of ours


def measure(stand: Stand, rounds: int = ROUNDS) -> Part:
    subjects = _subjects(stand)
    times: defaultdict[str, list[float]] = defaultdict(list)
    missed = 0
    with Lifeline() as lifeline:
        for turn in range(rounds + 1):
            for name, subject in subjects.items():
                while (seconds := _cold_start(name, subject, lifeline)) is None:
                    missed += 1
                    if missed > 20 * rounds:
                        sys.exit(f"{name} was no hit, again and again")
                if turn:  # the first only brings the files into the page cache
                    times[name].append(seconds)
    part = _part(subjects, times)
    if missed:
        part.notes.append(f"{missed} starts were repeated: the machine was too busy for the cache's 100 ms.")
    return part


def _subjects(stand: Stand) -> dict[str, Subject]:
    nothing = Subject([built.BARE], "nothing.lambda_handler", dict, stand.tls)
    subjects = {"a handler that does nothing": nothing}
    for kind, (_, route, module) in ORIGINALS.items():
        for bytecode in (True, False):
            path, event = built.original(bytecode=bytecode), partial(stand.original, route)
            subjects[_original(kind, bytecode=bytecode)] = Subject(
                path, f"{module}.lambda_handler", event, stand.tls
            )
    for kind, names in FUNCTIONS.items():
        for name in names:
            subjects[name] = Subject(*built.function(name), partial(stand.event, name), stand.our_tls, kind)
    return subjects


def _original(kind: str, *, bytecode: bool) -> str:
    return f"FastAPI stack, {ORIGINALS[kind][0]}, {'with' if bytecode else 'without'} bytecode"


def _cold_start(name: str, subject: Subject, lifeline: Lifeline) -> float | None:
    """Seconds from the start of the emulator to the answer; None where the cache was too slow."""
    payload = json.dumps(subject.event()).encode()
    started = time.perf_counter()
    environment = built.Environment(subject.path, subject.handler, subject.variables, lifeline)
    try:
        answer = json.loads(environment.invoke(payload))
        seconds = time.perf_counter() - started
    finally:
        environment.stop()
    if answer["statusCode"] not in {200, 201, 204}:
        sys.exit(f"{name} answered {answer}\n" + "\n".join(environment.log))
    if subject.kind == "product" and answer["headers"]["X-Cache"] != "hit":
        return None
    return seconds


def _part(subjects: dict[str, Subject], times: dict[str, list[float]]) -> Part:
    rows = []
    slowest: defaultdict[str, float] = defaultdict(float)
    for name, subject in subjects.items():
        ours = times[name]
        row = [name, f"{statistics.median(ours) * 1000:.0f}", f"{min(ours) * 1000:.0f}"]
        for bytecode in (False, True) if subject.kind else ():
            theirs = times[_original(subject.kind, bytecode=bytecode)]
            ratio = statistics.median(ours) / statistics.median(theirs)
            row += [f"{ratio:.3f}", f"{min(ours) / min(theirs):.3f}"]
            key = f"cold.{subject.kind}{'.bytecode' if bytecode else ''}"
            slowest[key] = max(slowest[key], ratio)
        rows.append([*row, *[""] * (7 - len(row))])
    head = ["", "median ms", "fastest", "÷ stack", "fastest", "÷ with bytecode", "fastest"]
    values = {key: ratio for key, ratio in slowest.items() if key in FIGURES}
    return Part("cold", values, [Table("Cold starts, TLS to PostgreSQL and Valkey", head, rows)])
