"""What the pages of a shop ask for: built functions on the Lambda runtime, each beside another."""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from functools import partial

from tests.benchmarks import warm
from tests.benchmarks.figures import FIGURES, Part, Table
from tests.benchmarks.fixtures import filling, sessions
from tests.benchmarks.fixtures.filling import LARGE
from tests.benchmarks.fixtures.function_process import FunctionProcess


def measure(
    part: Part, process: FunctionProcess, variables: dict[str, str], rounds: int, requests: int
) -> None:
    """The figures `shop.*`."""
    shoppers = sessions.Sessions(LARGE, process)
    shopper, client = 1, filling.client_id(filling.CLIENT)
    rows = []
    with ExitStack() as running:
        start = warm.Start(variables, running)
        asked = shoppers.ids("ids", shopper).event
        known = shoppers.ids("ids", filling.CLIENT, shoppers.etag).event
        one_row = "SELECT favorites_count, favorites_revision FROM clients WHERE client_id = %(client_id)s"
        path = {"product_id": LARGE.product_of(shopper, 2 * filling.EACH)}
        changing, removing = start.ours("change_favorites"), start.ours("remove_favorite")
        add, remove = (shoppers.change(f"{what} 100", shopper).event for what in ("add", "remove"))
        remove_one = sessions.event("remove_favorite", shopper, path)
        forty = {"product_id": ",".join(str(number) for number in range(1, sessions.ASKED + 1))}
        pairs = {
            "shop.ids": (
                warm.Subject(start.ours("list_favorite_ids"), asked),
                warm.Subject(start.bare("statement"), start.statements("list_favorite_ids", asked)),
            ),
            "shop.known": (
                warm.Subject(start.ours("list_favorite_ids"), known),
                warm.Subject(
                    start.bare("statement"), {"statements": [[one_row, {"client_id": str(client)}]]}
                ),
            ),
            "shop.changes": (
                warm.Subject(changing, add, partial(warm.invoke, changing, remove)),
                warm.Subject(
                    start.ours("add_favorite"),
                    sessions.event("add_favorite", shopper, path),
                    partial(warm.invoke, removing, remove_one),
                ),
            ),
            "shop.products": (
                warm.Subject(
                    start.ours("list_products"), sessions.event("list_products", shopper, query=forty)
                ),
                warm.Subject(
                    start.ours("get_product"), sessions.event("get_product", shopper, {"product_id": "7"})
                ),
            ),
        }
        for key, (ours, other) in pairs.items():
            subjects = {warm.OURS: ours, warm.BARE: other}
            warm.check(key, subjects)
            found = warm.take_turns(subjects, rounds, requests)
            p50, _ = warm.ratios_of(found[warm.OURS], found[warm.BARE])
            part.values[key] = p50
            both = [
                f"{statistics.median(turn.percentile(0.5) for turn in found[who]) * 1000:.2f}"
                for who in subjects
            ]
            rows.append([FIGURES[key].what, *both, f"{p50:.2f}"])
    head = ["p50, in ms", "this service", "what it is compared with", "÷"]
    part.tables.append(Table(f"What the pages of a shop ask for, at {LARGE.name}", head, rows))
