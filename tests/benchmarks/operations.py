"""Every favorites operation on both sizes in turns, and the plan of each statement that it runs."""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from tests.benchmarks.figures import Part, Table
from tests.benchmarks.fixtures import sessions
from tests.benchmarks.fixtures.filling import LARGE, SMALL, Size
from tests.benchmarks.fixtures.function_process import FunctionProcess

PAGES_A_ROW = 12  # 8 kB pages that a row may cost: descents of three indexes, and the row itself
PAGES_A_STATEMENT = 60  # and what a statement costs besides
TURN = 20  # sessions on one size before the other has its turn

Plans = dict[str, list[dict[str, Any]]]


def measure(part: Part, processes: dict[Size, FunctionProcess], rounds: int, requests: int) -> None:
    shoppers = {size: sessions.Sessions(size, process) for size, process in processes.items()}
    planned = {size: plans(shoppers[size], process) for size, process in processes.items()}
    times: dict[tuple[str, Size], list[list[float]]] = defaultdict(list)
    for turn in range(rounds + 1):
        round_of: dict[tuple[str, Size], list[float]] = defaultdict(list)
        for _ in range(requests // TURN):
            for size, process in processes.items():
                steps = [step for _ in range(TURN) for step in shoppers[size].next()]
                for step, seconds in zip(steps, process.run(steps), strict=True):
                    round_of[step.name, size].append(seconds)
        if turn:  # the first only brings what is asked for into memory
            for key, seconds_of_round in round_of.items():
                times[key].append(seconds_of_round)
    rows = []
    slowest = 0.0
    for name in sessions.ROWS:
        row, ratios = [name], []
        for percentile in (0.5, 0.99):
            small, large = (
                [sorted(seconds)[int(len(seconds) * percentile)] for seconds in times[name, size]]
                for size in (SMALL, LARGE)
            )
            row += [f"{statistics.median(rounds) * 1000:.2f}" for rounds in (small, large)]
            ratios.append(_ratio(large, small))
        slowest = max(slowest, ratios[1])
        rows.append([*row, *(f"{ratio:.2f}" for ratio in ratios)])
    head = ["", *(f"{p} at {size.name}" for p in ("p50", "p99") for size in (SMALL, LARGE)), "p50 ÷", "p99 ÷"]
    part.tables += [Table("Operations, in ms", head, rows), _planned(planned[LARGE])]
    reasons = [f"{size.name}, {reason}" for size, found in planned.items() for reason in all_unbounded(found)]
    part.values |= {"scale.p99": slowest, "scale.plans": len(reasons)}
    part.notes += [f"No bounded index scan: {reason}." for reason in reasons]


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' ratios: what else the machine did in a round fell on both."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def plans(shoppers: sessions.Sessions, process: FunctionProcess) -> Plans:
    found = {step.name: process.plans(step) for step in shoppers.next()}
    if silent := [name for name, plans in found.items() if not plans]:
        sys.exit(f"No statement was seen of: {', '.join(silent)}")
    return found


def all_unbounded(found: Plans) -> list[str]:
    return [
        f"{name}: {reason}"
        for name, planned in found.items()
        for plan in planned
        for reason in unbounded(plan, sessions.ROWS[name])
    ]


def unbounded(plan: dict[str, Any], rows: int) -> list[str]:
    """Why the plan is not that of an index scan that takes at most so many rows; empty where it is."""
    limits = {"rows": rows, "sorted": rows, "pages": PAGES_A_STATEMENT + PAGES_A_ROW * rows}
    over = [f"{what}: {plan[what]}, not at most {most}" for what, most in limits.items() if plan[what] > most]
    return [*plan["whole_tables"], *over]


def _planned(operations: Plans) -> Table:
    title = (
        f"How each statement reads at {LARGE.name}: at most so many rows of a table, and 8 kB pages in all"
    )
    rows = [
        [name if plan is plans[0] else "", "; ".join(plan["scans"]) or "no table"]
        + [str(plan[what]) for what in ("rows", "pages")]
        for name, plans in operations.items()
        for plan in plans
    ]
    return Table(title, ["", "scans", "rows", "pages"], rows)
