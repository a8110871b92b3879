"""Favorites: the products that a client marked. A page of them is one SQL statement and no other call."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, LiteralString

import psycopg

from shared import clients, cursors, database, json_text, products
from shared.access_tokens import Caller
from shared.errors import AlreadyFavorite, NotFavorite
from shared.models import Favorite, Page
from shared.product_copy import review


class _Row:
    """A favourite joined to its product; without product_id it says only that the client exists."""

    def __init__(
        self,
        product_id: str | None,
        title: str,
        image: str,
        price: Decimal,
        review_rate: Decimal | None,
        review_count: int | None,
        available: bool,
        favorited_at: datetime,
    ) -> None:
        self.favorite = (
            None
            if product_id is None
            else Favorite(
                product_id=product_id,
                title=title,
                image=image,
                price=price,
                review=review(review_rate, review_count),
                available=available,
                favorited_at=favorited_at,
            )
        )


def add(caller: Caller, product_id: str) -> tuple[Favorite, bool]:
    """The favourite, and whether this call made it one.

    Raises UnknownProduct, CatalogUnavailable, and InvalidToken where the caller was removed.
    """
    created = _insert(caller, product_id)
    if not created:
        try:
            return get(caller, product_id), False
        except NotFavorite:  # the copy does not have the product: perhaps the catalogue has
            products.make_known(product_id)
            created = _insert(caller, product_id)
    return get(caller, product_id), created


def create(caller: Caller, product_id: str) -> Favorite:
    """The new favourite. Raises AlreadyFavorite and what `add` raises."""
    favorite, created = add(caller, product_id)
    if not created:
        raise AlreadyFavorite("The product is a favorite of yours already.")
    return favorite


def get(caller: Caller, product_id: str) -> Favorite:
    """The favourite. Raises NotFavorite, and InvalidToken where the caller was removed."""
    row = database.fetch_one(
        _Row,
        """
        SELECT favorites.product_id, title, image, price, review_rate, review_count,
               removed_at IS NULL AS available, favorited_at
          FROM clients
          LEFT JOIN (favorites JOIN products USING (product_id))
            ON favorites.client_id = clients.client_id AND favorites.product_id = %(product_id)s
         WHERE clients.client_id = %(client_id)s
        """,
        {"client_id": caller.client_id, "product_id": product_id},
        repeatable=True,
    )
    if row is None:
        raise clients.gone()
    if row.favorite is None:
        raise NotFavorite("The product is not a favorite of yours.")
    return row.favorite


def remove(caller: Caller, product_id: str) -> None:
    """Unmark the product. Raises NotFavorite, and InvalidToken where the caller was removed."""
    removed = database.execute(
        "DELETE FROM favorites WHERE client_id = %(client_id)s AND product_id = %(product_id)s",
        {"client_id": caller.client_id, "product_id": product_id},
    )
    if not removed:
        get(caller, product_id)  # says why there was none


NEWEST_FIRST: LiteralString = """
SELECT page.*
  FROM clients
  LEFT JOIN LATERAL (
       SELECT favorites.product_id, title, image, price, review_rate, review_count,
              removed_at IS NULL AS available, favorited_at
         FROM favorites
         JOIN products USING (product_id)
        WHERE favorites.client_id = clients.client_id
          AND (%(product_id)s::text IS NULL
               OR (favorited_at <= %(favorited_at)s::timestamptz
                   AND (favorited_at < %(favorited_at)s OR favorites.product_id > %(product_id)s)))
        ORDER BY favorited_at DESC, favorites.product_id
        LIMIT %(limit)s
       ) AS page ON true
 WHERE clients.client_id = %(client_id)s
 ORDER BY favorited_at DESC, product_id
"""

OLDEST_FIRST: LiteralString = """
SELECT page.*
  FROM clients
  LEFT JOIN LATERAL (
       SELECT favorites.product_id, title, image, price, review_rate, review_count,
              removed_at IS NULL AS available, favorited_at
         FROM favorites
         JOIN products USING (product_id)
        WHERE favorites.client_id = clients.client_id
          AND (%(product_id)s::text IS NULL
               OR (favorited_at >= %(favorited_at)s::timestamptz
                   AND (favorited_at > %(favorited_at)s OR favorites.product_id < %(product_id)s)))
        ORDER BY favorited_at, favorites.product_id DESC
        LIMIT %(limit)s
       ) AS page ON true
 WHERE clients.client_id = %(client_id)s
 ORDER BY favorited_at, product_id DESC
"""


def list_page(caller: Caller, *, limit: int, cursor: str | None, sort: str) -> Page[Favorite]:
    """A page of the caller's favourites by `sort`: `-favorited_at` (newest first) or `favorited_at`.

    Raises InvalidCursor, and InvalidToken where the caller was removed.
    """
    list_name = f"favorites:{caller.client_id}:{sort}"
    parameters: dict[str, Any] = {"client_id": caller.client_id, "limit": limit + 1}
    favorited_at, product_id = cursors.decode(list_name, cursor, length=2) if cursor else (None, None)
    parameters |= {"favorited_at": favorited_at, "product_id": product_id}
    query = OLDEST_FIRST if sort == "favorited_at" else NEWEST_FIRST
    rows = database.fetch_all(_Row, query, parameters, repeatable=True)
    if not rows:
        raise clients.gone()
    found = [row.favorite for row in rows if row.favorite is not None]
    favorites, next_cursor = found[:limit], None
    if len(found) > limit:
        last = favorites[-1]
        next_cursor = cursors.encode(list_name, [json_text.timestamp(last.favorited_at), last.product_id])
    return Page[Favorite](items=favorites, next_cursor=next_cursor)


def _insert(caller: Caller, product_id: str) -> bool:
    """Whether the product was made a favourite now; False where it was one, or the copy does not have it."""
    try:
        return bool(
            database.execute(
                """
                INSERT INTO favorites (client_id, product_id)
                SELECT %(client_id)s, product_id
                  FROM products WHERE product_id = %(product_id)s AND removed_at IS NULL
                    ON CONFLICT (client_id, product_id) DO NOTHING
                """,
                {"client_id": caller.client_id, "product_id": product_id},
                repeatable=True,
            )
        )
    except psycopg.errors.ForeignKeyViolation as error:
        raise clients.gone() from error
