"""All that the documentation shows: `make bench`. It takes about a quarter of an hour and 8 GB of disk.

`python -m tests.benchmarks cold` measures that part anew and leaves the others on the page as they were.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from datetime import UTC, datetime

from tests.benchmarks import cold, page, scale, warm
from tests.benchmarks.figures import FIGURES
from tests.benchmarks.fixtures import built
from tests.benchmarks.fixtures.stand import Stand

PARTS = ("cold", "warm", "scale")

arguments = argparse.ArgumentParser(prog="python -m tests.benchmarks")
arguments.add_argument("--rounds", type=int, help="of each part, where its own number takes too long")
arguments.add_argument("--keep", action="store_true", help="leave the filled database in .local/scale/")
arguments.add_argument("parts", nargs="*", choices=(*PARTS, "all"), default="all")
chosen = arguments.parse_args()
wanted = PARTS if "all" in chosen.parts else chosen.parts

holds = True
built.build()
with ExitStack() as running:
    stand = running.enter_context(Stand()) if {"cold", "warm"} & set(wanted) else None
    for name in wanted:
        began = datetime.now(UTC)
        if stand is None or name == "scale":
            with scale.databases(keep=chosen.keep) as filled:
                found = scale.measure(filled, chosen.rounds or scale.ROUNDS)
        else:
            part = cold if name == "cold" else warm
            found = part.measure(stand, chosen.rounds or part.ROUNDS)
        holds = found.print() and holds
        page.write(found, began)
measured = page.measured()
for key in FIGURES.keys() - measured:
    print(f"Not measured: {FIGURES[key].what}")
sys.exit(not holds or FIGURES.keys() > measured)
