"""The caller's favorites, page by page: one SQL statement and no other call, whatever is asked for.

A filter, or an order other than the date, reads all of the client's favorites, which are few
(`limits.MAX_FAVORITES`). For the order by date there is an index.
"""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING, Any, Final, LiteralString, NamedTuple

from shared.accounts.access_tokens import Caller
from shared.favorites.models import FavoritePage
from shared.favorites.rendering import FAVORITE, PRICE_CHANGE
from shared.formats import cursors
from shared.formats.json_text import Rendered
from shared.platform import database

if TYPE_CHECKING:
    from collections.abc import Callable


class Order(NamedTuple):
    """What a list is sorted by, and how a cursor has it: as text, of which `check` makes a parameter.

    `value` is of the type `kind`. Of two with one value, the product's id decides: `ids` says which way.
    """

    value: LiteralString
    kind: LiteralString
    direction: LiteralString
    ids: LiteralString
    as_text: LiteralString
    check: Callable[[str], object]


NEWEST_FIRST: Final = "-favorited_at"

_CHANGE: LiteralString = f"coalesce({PRICE_CHANGE}, 0)"

ORDERS: dict[str, Order] = {
    NEWEST_FIRST: Order(
        "favorited_at", "timestamptz", "DESC", "ASC", "rfc3339(favorited_at)", cursors.moment
    ),
    "favorited_at": Order(
        "favorited_at", "timestamptz", "ASC", "DESC", "rfc3339(favorited_at)", cursors.moment
    ),
    "price": Order("price", "numeric", "ASC", "ASC", "price::text", cursors.decimal),
    "-price": Order("price", "numeric", "DESC", "DESC", "price::text", cursors.decimal),
    "title": Order("sort_key", "text", "ASC", "ASC", "sort_key", cursors.text),
    "-title": Order("sort_key", "text", "DESC", "DESC", "sort_key", cursors.text),
    "price_change": Order(_CHANGE, "numeric", "ASC", "ASC", f"({_CHANGE})::text", cursors.difference),
    "-price_change": Order(_CHANGE, "numeric", "DESC", "DESC", f"({_CHANGE})::text", cursors.difference),
}


def statement(order: Order) -> LiteralString:
    """The page behind `value` and `product_id`, both None for the first one."""
    further, id_further = ({"ASC": ">", "DESC": "<"}[direction] for direction in (order.direction, order.ids))
    return f"""
    SELECT favorites_count, product_id, place, favorite
      FROM clients
      LEFT JOIN LATERAL (
           SELECT product_id, {order.value} AS value, {order.as_text} AS place, {FAVORITE} AS favorite
             FROM favorites
             JOIN products USING (product_id)
            WHERE favorites.client_id = %(client_id)s
              AND (%(available)s::boolean IS NULL OR (removed_at IS NULL) = %(available)s)
              AND (%(category)s::text IS NULL OR category = %(category)s)
              AND (%(price_dropped)s::boolean IS NULL
                   OR coalesce({PRICE_CHANGE} < 0, false) = %(price_dropped)s)
              AND (%(has_alert)s::boolean IS NULL
                   OR EXISTS (SELECT FROM favorite_alerts AS alerts
                               WHERE alerts.client_id = favorites.client_id
                                 AND alerts.product_id = favorites.product_id
                                 AND kind IS NOT NULL) = %(has_alert)s)
              AND (%(product_id)s::text IS NULL
                   OR ({order.value} {further}= %(value)s::{order.kind}
                       AND ({order.value} {further} %(value)s::{order.kind}
                            OR product_id {id_further} %(product_id)s)))
            ORDER BY {order.value} {order.direction}, product_id {order.ids}
            LIMIT %(limit)s
           ) AS page ON true
     WHERE clients.client_id = %(client_id)s AND token_generation = %(token_generation)s
     ORDER BY page.value {order.direction}, product_id {order.ids}
    """  # noqa: S608 — the parts are constants, of ORDERS and beside it


def list_page(
    caller: Caller,
    *,
    limit: int,
    cursor: str | None = None,
    sort: str = NEWEST_FIRST,
    available: bool | None = None,
    category: str | None = None,
    price_dropped: bool | None = None,
    has_alert: bool | None = None,
) -> tuple[Rendered[FavoritePage], str | None]:
    """A page of the caller's favorites by `sort` (one of ORDERS), and the cursor to the next one.

    `available`, `category`, `price_dropped` and `has_alert` leave out the others. A place in the list is a
    value and a product: while prices and titles stay, no page skips or repeats anything; a favorite whose
    price moves between two pages moves with it, and may be on both or on neither.

    Raises InvalidCursor, and InvalidToken where the caller's token no longer counts.
    """
    if category is not None:
        category = unicodedata.normalize("NFC", category)  # as the catalog's are when they come in
    order = ORDERS[sort]
    filters: dict[str, Any] = {
        "available": available,
        "category": category,
        "price_dropped": price_dropped,
        "has_alert": has_alert,
    }
    list_name = f"favorites:{caller.client_id}:{sort}"
    if any(wanted is not None for wanted in filters.values()):
        list_name += f":{json.dumps(filters)}"
    value, product_id = None, None
    if cursor is not None:
        value, product_id = cursors.decode(list_name, cursor, order.check, cursors.text)
    # The count and the three of a favorite; these are None where the client has none (left).
    rows = database.fetch_tuples(
        statement(order),
        caller.as_parameters | {"limit": limit + 1, "value": value, "product_id": product_id} | filters,
        idempotent=True,
    )
    if not rows:
        raise caller.not_found()
    items = [favorite for _, _, _, favorite in rows[:limit] if favorite is not None]
    next_cursor = None
    if len(rows) > limit:
        _, last_product_id, place, _ = rows[limit - 1]
        next_cursor = cursors.encode(list_name, place, last_product_id)
    page = f'{{"items":[{",".join(items)}],"next_cursor":{json.dumps(next_cursor)},"count":{rows[0][0]}}}'
    return Rendered(page), next_cursor
