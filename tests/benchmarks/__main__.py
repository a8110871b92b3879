"""All that the documentation shows: `make bench`. It takes about a quarter of an hour and 8 GB of disk."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

from tests.benchmarks import built, cold, page, scale, warm
from tests.benchmarks.figures import FIGURES
from tests.benchmarks.stand import Stand

arguments = argparse.ArgumentParser(prog="python -m tests.benchmarks")
arguments.add_argument("--rounds", type=int, help="of each part, where its own number takes too long")
rounds = arguments.parse_args().rounds
began = datetime.now(UTC)
built.build()
functions = [*cold.PRODUCT, *cold.DATABASE, *cold.LOGIN]
with Stand() as stand:
    parts = [cold.measure(stand, rounds or cold.ROUNDS, functions, tls=True)]
    plain = cold.measure(stand, rounds or cold.ROUNDS, ["get_product", "list_favorites", "login"], tls=False)
    parts[0].tables += plain.tables
    parts.append(warm.measure(stand, rounds or warm.ROUNDS))
with scale.databases() as filled:
    parts.append(scale.measure(filled, rounds or scale.ROUNDS))
holds = [part.print() for part in parts]
page.write(parts, began)
if missing := FIGURES.keys() - {key for part in parts for key in part.values}:
    print(f"Not measured: {', '.join(sorted(missing))}")
sys.exit(not all(holds) or bool(missing))
