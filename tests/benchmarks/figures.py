"""The figures that must hold: each with its limit, its unit and the part that measures it.

The limits stand here and nowhere else. A figure is a ratio within one run wherever it can be, for
milliseconds depend on the machine and on what else it does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Figure(NamedTuple):
    what: str
    at_most: float
    unit: str  # "x" for a ratio
    command: str  # the part


FIGURES = {
    # Cold starts; "the stack" is FastAPI, Mangum, Tortoise and redis.
    "cold.product": Figure(
        "cold start of a product function ÷ the stack, as SAM packages it", 0.14, "x", "cold"
    ),
    "cold.product.bytecode": Figure("the same ÷ the stack with bytecode", 0.30, "x", "cold"),
    "cold.database": Figure(
        "cold start of a database function ÷ the stack, as SAM packages it", 0.24, "x", "cold"
    ),
    "cold.login": Figure(
        "cold start of the log-in ÷ the stack that hashes a password too", 0.27, "x", "cold"
    ),
    # Warm functions; "bare" is a handler that does the same one command or statement and nothing else.
    "warm.product.p50": Figure("cached product: p50 ÷ bare", 1.15, "x", "warm"),
    "warm.product.cpu": Figure("cached product: CPU of a request ÷ bare", 1.15, "x", "warm"),
    "warm.favorites.p50": Figure("page of favorites: p50 ÷ bare", 1.3, "x", "warm"),
    "warm.favorites.cpu": Figure("page of favorites: CPU of a request ÷ bare", 1.3, "x", "warm"),
    "memory.product": Figure("memory of a product function's environment", 70, "MB", "warm"),
    "memory.database": Figure("memory of a database function's environment", 80, "MB", "warm"),
    # 10 million favorites beside 10 thousand.
    "scale.p99": Figure(
        "p99 of the slowest favorites operation, 10 million ÷ 10 thousand", 1.3, "x", "scale"
    ),
    "scale.plans": Figure("statements of favorites that are no bounded index scan", 0, "", "scale"),
    "scale.reprice": Figure("1,000 repriced products, one held by 5 million clients", 1.0, "s", "scale"),
    "scale.push": Figure("a push beside it", 0.1, "s", "scale"),
    "scale.alerts": Figure("100,000 recipients of alerts, to that bus", 60, "s", "scale"),
    "scale.outbox": Figure("100,000 events to a bus that takes 20 ms a call", 67, "s", "scale"),
    "scale.remove": Figure("removal of the client with 50,000 favorites", 5.0, "s", "scale"),
    # The same, through the Lambda runtime.
    "shop.ids": Figure("which of 40 products are favorites ÷ bare with the same SQL", 1.2, "x", "scale"),
    "shop.known": Figure("the same, not changed (304) ÷ bare reading one row", 1.1, "x", "scale"),
    "shop.changes": Figure("100 favorites added at once ÷ one added", 5, "x", "scale"),
    "shop.products": Figure("40 products by their ids, cached ÷ one cached product", 2, "x", "scale"),
}


@dataclass
class Table:
    """Rows of a part of the page; the first column is text, the others are numbers."""

    title: str
    head: list[str]
    rows: list[list[str]]

    def markdown(self) -> list[str]:
        return [
            f"| {' | '.join(self.head)} |",
            f"|---|{'--:|' * (len(self.head) - 1)}",
            *(f"| {' | '.join(row)} |" for row in self.rows),
        ]


@dataclass
class Part:
    """What one part found: figures by their keys in `FIGURES`, and what a reader wants to see besides."""

    command: str
    values: dict[str, float] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def print(self) -> bool:
        """Show it on the console; whether every figure holds."""
        for table in self.tables:
            print(f"\n{table.title}", *table.markdown(), sep="\n")
        print("", *self.notes, sep="\n")
        over = {key for key, value in self.values.items() if value > FIGURES[key].at_most}
        for key, value in self.values.items():
            what, at_most, unit, _ = FIGURES[key]
            said = f"{what}: {shown(value, unit)} (at most {at_most:g} {unit})"
            print(said, "  OVER" if key in over else "")
        return not over


def shown(value: float, unit: str) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 2 else 3
    return f"{value:,.{digits}f} {unit}"
