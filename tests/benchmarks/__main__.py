"""All that the documentation shows: `make bench`. It takes about a quarter of an hour and 8 GB of disk.

`python -m tests.benchmarks cold` measures that part anew and leaves the others on the page as they were.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from datetime import UTC, datetime

from tests.benchmarks import cold, page, scale, warm
from tests.benchmarks.figures import FIGURES, Part
from tests.benchmarks.fixtures import built
from tests.benchmarks.fixtures.stand import Stand

PARTS = ("cold", "warm", "scale")
PLAIN = ("get_product", "list_favorites", "login")  # enough to see what TLS costs

arguments = argparse.ArgumentParser(prog="python -m tests.benchmarks")
arguments.add_argument("--rounds", type=int, help="of each part, where its own number takes too long")
arguments.add_argument("parts", nargs="*", metavar="part", help="cold, warm or scale; all of them by default")
chosen = arguments.parse_args()
if strangers := set(chosen.parts) - set(PARTS):
    arguments.error(f"no part: {', '.join(sorted(strangers))}")
wanted = chosen.parts or PARTS


def cold_starts(stand: Stand) -> Part:
    """With TLS, and a few without."""
    rounds = chosen.rounds or cold.ROUNDS
    part = cold.measure(stand, rounds, [*cold.PRODUCT, *cold.DATABASE, *cold.LOGIN], tls=True)
    part.tables += cold.measure(stand, rounds, PLAIN, tls=False).tables
    return part


holds = True
built.build()
with Stand() if {"cold", "warm"} & set(wanted) else nullcontext() as stand:
    for name in wanted:
        began = datetime.now(UTC)
        if name == "scale":
            with scale.databases() as filled:
                found = scale.measure(filled, chosen.rounds or scale.ROUNDS)
        elif stand is not None:
            found = (
                cold_starts(stand) if name == "cold" else warm.measure(stand, chosen.rounds or warm.ROUNDS)
            )
        holds = found.print() and holds
        page.write(found, began)
measured = page.measured()
for key in FIGURES.keys() - measured:
    print(f"Not measured: {FIGURES[key].what}")
sys.exit(not holds or FIGURES.keys() > measured)
