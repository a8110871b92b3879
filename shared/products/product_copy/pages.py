"""Pages of the copy: the available products in an order, from behind a cursor."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, LiteralString

from shared.formats import cursors
from shared.platform import database
from shared.products.product_copy.rows import CONTENT, UNLISTED, CopiedProduct

if TYPE_CHECKING:
    from collections.abc import Callable

# What each order sorts by, the type its values have in a cursor, and the comparison that leads on.
ORDERS: dict[str, tuple[LiteralString, LiteralString, LiteralString, LiteralString]] = {
    "catalog": ("position", "integer", ">", "ASC"),
    "price": ("price", "numeric", ">", "ASC"),
    "-price": ("price", "numeric", "<", "DESC"),
    "title": ("sort_key", "text", ">", "ASC"),
    "-title": ("sort_key", "text", "<", "DESC"),
}


def page(
    order: str, *, category: str | None, after: tuple[object, str] | None, limit: int
) -> list[CopiedProduct]:
    """Up to `limit` available products in that order, from behind `after` (sort value, product id).

    Raises DatabaseUnavailable.
    """
    column, kind, comparison, direction = ORDERS[order]
    value, product_id = after or (None, None)
    return database.fetch_all(
        CopiedProduct,
        f"""
        SELECT product_id, {CONTENT}, version, position, fetched_at, removed_at
          FROM products
         WHERE removed_at IS NULL
           AND (%(category)s::text IS NULL OR category = %(category)s)
           AND (%(product_id)s::text IS NULL
                OR ({column}, product_id) {comparison} (%(value)s::{kind}, %(product_id)s))
         ORDER BY {column} {direction}, product_id {direction}
         LIMIT %(limit)s
        """,  # noqa: S608 — the parts come from ORDERS, whose strings stand above
        {"category": category, "value": value, "product_id": product_id, "limit": limit},
        idempotent=True,
    )


def largest_categories(limit: int) -> list[str]:
    """The categories with the most available products. Raises DatabaseUnavailable."""
    found = database.fetch_tuples(
        """
        SELECT category
          FROM products
         WHERE removed_at IS NULL
         GROUP BY category
         ORDER BY count(*) DESC, category
         LIMIT %(limit)s
        """,
        {"limit": limit},
        idempotent=True,
    )
    return [category for (category,) in found]


def sort_text(order: str) -> Callable[[str], object]:
    """What reads the value that a cursor has for that order; it raises ValueError for an invalid one."""
    return {"integer": _position, "numeric": cursors.decimal}.get(ORDERS[order][1], cursors.text)


def _position(text: str) -> int:
    position = cursors.integer(text)
    if position > UNLISTED:
        raise ValueError("is no position")
    return position


def sort_value(order: str, product: CopiedProduct) -> str:
    """What the product is sorted by in that order, as a cursor keeps it."""
    value = getattr(product, ORDERS[order][0])
    return f"{value:f}" if isinstance(value, Decimal) else str(value)  # 0.0000001 and not 1E-7
