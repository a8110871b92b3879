"""Cold starts of what `sam build` makes: `python -m tests.benchmarks.cold [--plain] [function …]`.

From the start of the process to the end of the first invocation, as in `fixtures/built.py`, with TLS to
PostgreSQL and to Valkey (`--plain`: without). Beside it, in turns: a handler that does nothing, and the
smallest service on the original's stack, with its bytecode and without.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from local.lifeline import Lifeline
from tests.benchmarks.figures import FIGURES, Part, Table
from tests.benchmarks.fixtures import built
from tests.benchmarks.fixtures.stand import Stand

PRODUCT = ("get_product", "list_products")
DATABASE = (
    *("get_favorite", "list_favorites", "add_favorite", "remove_favorite", "create_favorite"),
    *("list_favorite_ids", "change_favorites"),
    *("get_client", "list_clients", "update_client", "create_client"),
)
LOGIN = ("login",)
ROUNDS = 15

# Each kind of function, and the route of the original that it is compared with.
COMPARED = {
    "a product": ("get_product", "app"),
    "a list of favorites": ("list_favorites", "app"),
    "a log-in": ("login", "login"),
}


class Subject(NamedTuple):
    """One line of the table: where the code is, and what it is sent."""

    path: list[Path]
    handler: str
    event: Callable[[], dict[str, Any]]
    compared: str = ""


def main() -> None:
    """Build, measure, print; ends with 1 where a figure is over its limit."""
    arguments = argparse.ArgumentParser(prog="python -m tests.benchmarks.cold")
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    arguments.add_argument("--plain", action="store_true", help="without TLS")
    arguments.add_argument("functions", nargs="*", default=[*PRODUCT, *DATABASE, *LOGIN])
    chosen = arguments.parse_args()
    built.build()
    with Stand() as stand:
        part = measure(stand, chosen.rounds, chosen.functions, tls=not chosen.plain)
    sys.exit(not part.print())


def measure(stand: Stand, rounds: int, functions: Sequence[str], *, tls: bool) -> Part:
    """The cold starts of the functions that were built."""
    subjects = _subjects(stand, functions)
    ours, stack = (stand.our_tls, stand.tls) if tls else (stand.plain, stand.plain)
    times: defaultdict[str, list[float]] = defaultdict(list)
    missed = 0
    with ExitStack() as running:
        lifeline = running.enter_context(Lifeline())
        for turn in range(rounds + 1):
            for name, subject in subjects.items():
                variables = ours if name in functions else stack
                seconds = _cold_start(name, subject, variables, lifeline)
                while seconds is None:
                    missed += 1
                    if missed > 20 * rounds:
                        sys.exit(f"{name} was no hit, again and again")
                    seconds = _cold_start(name, subject, variables, lifeline)
                if turn:  # the first only brings the files into the page cache
                    times[name].append(seconds)
    part = _part(subjects, times, tls=tls)
    if missed:
        part.notes.append(f"{missed} starts were repeated: the machine was too busy for the cache's 100 ms.")
    return part


def _subjects(stand: Stand, functions: Sequence[str]) -> dict[str, Subject]:
    subjects = {"a handler that does nothing": Subject([built.BARE], "nothing.lambda_handler", dict)}
    for what, (route, module) in COMPARED.items():
        for bytecode in (True, False):
            subjects[_original(what, bytecode=bytecode)] = Subject(
                built.original(bytecode=bytecode),
                f"{module}.lambda_handler",
                partial(stand.original, route),
            )
    for name in functions:
        path, handler = built.function(name)
        kind = list(COMPARED)[0 if name in PRODUCT else 2 if name in LOGIN else 1]
        subjects[name] = Subject(path, handler, partial(stand.event, name), kind)
    return subjects


def _original(what: str, *, bytecode: bool) -> str:
    return f"FastAPI stack, {what}, {'with' if bytecode else 'without'} bytecode"


def _cold_start(name: str, subject: Subject, variables: dict[str, str], lifeline: Lifeline) -> float | None:
    """Seconds from the start of the emulator to the answer; None where the cache was too slow."""
    payload = json.dumps(subject.event()).encode()
    started = time.perf_counter()
    environment = built.Environment(subject.path, subject.handler, variables, lifeline)
    try:
        answer = json.loads(environment.invoke(payload))
        seconds = time.perf_counter() - started
    finally:
        environment.stop()
    if answer["statusCode"] not in {200, 201, 204}:
        sys.exit(f"{name} answered {answer}\n" + "\n".join(environment.log))
    if name in PRODUCT and answer["headers"]["X-Cache"] != "hit":
        return None
    return seconds


def _part(subjects: dict[str, Subject], times: dict[str, list[float]], *, tls: bool) -> Part:
    part = Part("cold")
    medians = {name: statistics.median(seconds) * 1000 for name, seconds in times.items()}
    rows = []
    ratios: defaultdict[str, list[float]] = defaultdict(list)
    for name, subject in subjects.items():
        row = [name, f"{medians[name]:.0f}", f"{min(times[name]) * 1000:.0f}"]
        for bytecode in (False, True):
            compared = _original(subject.compared, bytecode=bytecode)
            if not subject.compared:
                row += ["", ""]
                continue
            ratio = medians[name] / medians[compared]
            row += [f"{ratio:.3f}", f"{min(times[name]) / min(times[compared]):.3f}"]
            kind = "product" if name in PRODUCT else "login" if name in LOGIN else "database"
            ratios[f"cold.{kind}{'.bytecode' if bytecode else ''}"].append(ratio)
        rows.append(row)
    head = ["", "median ms", "fastest", "÷ stack", "fastest", "÷ with bytecode", "fastest"]
    how = "TLS to PostgreSQL and Valkey" if tls else "without TLS"
    part.tables.append(Table(f"Cold starts, {how}", head, rows))
    part.values = {key: max(values) for key, values in ratios.items() if tls and key in FIGURES}
    return part


if __name__ == "__main__":
    main()
