"""What the pages of a shop ask for: built functions on the Lambda runtime, each beside another."""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from functools import partial
from typing import Any

from tests.benchmarks import warm
from tests.benchmarks.figures import FIGURES, Part, Table
from tests.benchmarks.fixtures import filling, sessions
from tests.benchmarks.fixtures.built import Environment
from tests.benchmarks.fixtures.filling import LARGE
from tests.benchmarks.fixtures.function_process import FunctionProcess
from tests.benchmarks.warm import BARE, OURS, Subject

ONE_ROW = "SELECT favorites_count, favorites_revision FROM clients WHERE client_id = %(client_id)s"


def measure(
    part: Part,
    process: FunctionProcess,
    variables: dict[str, str],
    db: filling.Connection,
    rounds: int,
    requests: int,
) -> None:
    shoppers = sessions.Sessions(LARGE, process)
    shopper = 1
    client = filling.client_id(shopper)
    rows = []
    with ExitStack() as running:
        start = warm.Start(variables, running)
        asked = shoppers.ids("ids", shopper).event
        known = shoppers.ids("ids", filling.CLIENT, shoppers.etag).event
        one_row = [ONE_ROW, {"client_id": str(filling.client_id(filling.CLIENT))}]
        path = {"product_id": LARGE.product_of(shopper, 2 * filling.EACH)}
        changing, removing = start.ours("change_favorites"), start.ours("remove_favorite")
        add, remove = (shoppers.change(f"{what} 100", shopper).event for what in ("add", "remove"))
        add_one, remove_one = (
            sessions.event(f"{what}_favorite", shopper, path) for what in ("add", "remove")
        )

        def undone(removing: Environment, remove: Any) -> None:
            """Take the change back, and forget that there was one: a client may make 1,000 at once."""
            warm.invoke(removing, remove)
            db.execute("UPDATE clients SET changes_counted_to = 'epoch' WHERE client_id = %s", [client])

        forty = {"product_id": ",".join(str(number) for number in range(1, sessions.ASKED + 1))}
        products = sessions.event("list_products", shopper, query=forty)
        product = sessions.event("get_product", shopper, {"product_id": "7"})
        pairs = {
            "shop.ids": (
                Subject(start.ours("list_favorite_ids"), asked),
                Subject(start.bare("statement"), start.statements("list_favorite_ids", asked)),
            ),
            "shop.known": (
                Subject(start.ours("list_favorite_ids"), known),
                Subject(start.bare("statement"), {"statements": [one_row]}),
            ),
            "shop.changes": (
                Subject(changing, add, partial(undone, changing, remove)),
                Subject(start.ours("add_favorite"), add_one, partial(undone, removing, remove_one)),
            ),
            "shop.products": (
                Subject(start.ours("list_products"), products),
                Subject(start.ours("get_product"), product),
            ),
        }
        for key, pair in pairs.items():
            subjects = dict(zip((OURS, BARE), pair, strict=True))
            warm.check(key, subjects)
            found = warm.take_turns(subjects, rounds, requests)
            part.values[key], _ = warm.ratios_of(found[OURS], found[BARE])
            both = [statistics.median(turn.percentile(0.5) for turn in found[who]) * 1000 for who in subjects]
            rows.append([FIGURES[key].what, *(f"{ms:.2f}" for ms in both), f"{part.values[key]:.2f}"])
    head = ["p50, in ms", "this service", "what it is compared with", "÷"]
    part.tables.append(Table(f"What the pages of a shop ask for, at {LARGE.name}", head, rows))
