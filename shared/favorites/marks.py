"""Favorites: the products that a client marked. A page of them is one SQL statement and no other call.

PostgreSQL renders a favorite as the JSON that is sent: a page is joined from texts, where building twenty
models and taking them apart again took longer than the query.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

import psycopg

from shared.accounts import access_tokens
from shared.accounts.access_tokens import Caller
from shared.errors import AlreadyFavorite, NotFavorite
from shared.favorites.models import Favorite
from shared.formats import cursors, json_text
from shared.formats.json_text import Rendered
from shared.models import Page
from shared.platform import database

# The model Favorite, as PostgreSQL writes it; a test holds the two together.
_FAVORITE: LiteralString = """
(SELECT row_to_json(shown)::text
   FROM (SELECT product_id, title, image, price,
                CASE WHEN review_rate IS NOT NULL AND review_count IS NOT NULL
                     THEN (SELECT row_to_json(review)
                             FROM (SELECT review_rate AS rate, review_count AS count) AS review)
                END AS review,
                removed_at IS NULL AS available,
                price_when_favorited, price - price_when_favorited AS price_change,
                rfc3339(favorited_at) AS favorited_at) AS shown)
"""


@dataclass(frozen=True, slots=True)
class _Row:
    """A favorite and its place in the list; all None where there is only the client."""

    product_id: str | None
    favorited_at: datetime | None
    favorite: str | None


def add(caller: Caller, product_id: str) -> tuple[Rendered[Favorite], bool]:
    """The favorite, and whether this call made it one.

    Raises UnknownProduct, CatalogUnavailable, and InvalidToken where the caller's token no longer counts.
    """
    created = _insert(caller, product_id)
    if not created:
        try:
            return get(caller, product_id), False
        except NotFavorite:  # the copy does not have the product: perhaps the catalog has
            from shared.products import (
                demand,  # for what the copy does not have; the other calls never load it
            )

            demand.make_known(product_id)
            created = _insert(caller, product_id)
    return get(caller, product_id), created


def create(caller: Caller, product_id: str) -> Rendered[Favorite]:
    """The new favorite. Raises AlreadyFavorite and what `add` raises."""
    favorite, created = add(caller, product_id)
    if not created:
        raise AlreadyFavorite("The product is a favorite of yours already.")
    return favorite


def get(caller: Caller, product_id: str) -> Rendered[Favorite]:
    """The favorite. Raises NotFavorite, and InvalidToken where the caller's token no longer counts."""
    row = database.fetch_one(
        _Row,
        f"""
        SELECT held.*
          FROM clients
          LEFT JOIN LATERAL (
               SELECT product_id, favorited_at, {_FAVORITE} AS favorite
                 FROM favorites
                 JOIN products USING (product_id)
                WHERE favorites.client_id = clients.client_id AND product_id = %(product_id)s
               ) AS held ON true
         WHERE clients.client_id = %(client_id)s AND token_generation = %(generation)s
        """,  # noqa: S608 — the part is a constant of this module
        {**_who(caller), "product_id": product_id},
        repeatable=True,
    )
    if row is None:
        raise access_tokens.no_longer_counts()
    if row.favorite is None:
        raise NotFavorite("The product is not a favorite of yours.")
    return Rendered(row.favorite)


def remove(caller: Caller, product_id: str) -> None:
    """Unmark the product. Raises NotFavorite, and InvalidToken where the caller's token no longer counts."""
    removed = database.execute(
        """
        WITH removed AS (
            DELETE FROM favorites
             USING clients
             WHERE clients.client_id = %(client_id)s AND token_generation = %(generation)s
               AND favorites.client_id = clients.client_id AND product_id = %(product_id)s
            RETURNING favorites.client_id, product_id
        ), emitted AS (
            INSERT INTO outbox (stream, detail_type, detail)
            SELECT 'client:' || client_id, 'FavoriteRemoved', json_build_object(
                       'client_id', client_id, 'product_id', product_id,
                       'removed_at', rfc3339(now()))
              FROM removed
        )
        SELECT product_id FROM removed
        """,
        {**_who(caller), "product_id": product_id},
    )
    if not removed:
        get(caller, product_id)  # says why there was none


NEWEST_FIRST: LiteralString = f"""
SELECT page.*
  FROM clients
  LEFT JOIN LATERAL (
       SELECT product_id, favorited_at, {_FAVORITE} AS favorite
         FROM favorites
         JOIN products USING (product_id)
        WHERE favorites.client_id = clients.client_id
          AND (%(product_id)s::text IS NULL
               OR (favorited_at <= %(favorited_at)s::timestamptz
                   AND (favorited_at < %(favorited_at)s OR product_id > %(product_id)s)))
        ORDER BY favorited_at DESC, product_id
        LIMIT %(limit)s
       ) AS page ON true
 WHERE clients.client_id = %(client_id)s AND token_generation = %(generation)s
 ORDER BY favorited_at DESC, product_id
"""  # noqa: S608 — the part is a constant of this module

OLDEST_FIRST: LiteralString = f"""
SELECT page.*
  FROM clients
  LEFT JOIN LATERAL (
       SELECT product_id, favorited_at, {_FAVORITE} AS favorite
         FROM favorites
         JOIN products USING (product_id)
        WHERE favorites.client_id = clients.client_id
          AND (%(product_id)s::text IS NULL
               OR (favorited_at >= %(favorited_at)s::timestamptz
                   AND (favorited_at > %(favorited_at)s OR product_id < %(product_id)s)))
        ORDER BY favorited_at, product_id DESC
        LIMIT %(limit)s
       ) AS page ON true
 WHERE clients.client_id = %(client_id)s AND token_generation = %(generation)s
 ORDER BY favorited_at, product_id DESC
"""  # noqa: S608 — the part is a constant of this module


def list_page(
    caller: Caller, *, limit: int, cursor: str | None, sort: str
) -> tuple[Rendered[Page[Favorite]], str | None]:
    """A page of the caller's favorites by `sort`, and the cursor to the next one.

    `sort` is `-favorited_at` (newest first) or `favorited_at`.
    Raises InvalidCursor, and InvalidToken where the caller's token no longer counts.
    """
    list_name = f"favorites:{caller.client_id}:{sort}"
    parameters: dict[str, Any] = {**_who(caller), "limit": limit + 1}
    favorited_at, product_id = None, None
    if cursor is not None:
        favorited_at, product_id = cursors.decode(list_name, cursor, cursors.moment, cursors.text)
    parameters |= {"favorited_at": favorited_at, "product_id": product_id}
    query = OLDEST_FIRST if sort == "favorited_at" else NEWEST_FIRST
    rows = database.fetch_all(_Row, query, parameters, repeatable=True)
    if not rows:
        raise access_tokens.no_longer_counts()
    items = [row.favorite for row in rows[:limit] if row.favorite is not None]
    next_cursor = None
    if len(rows) > limit:
        last = rows[limit - 1]
        assert last.favorited_at is not None and last.product_id is not None  # noqa: S101, PT018 — a full row
        next_cursor = cursors.encode(list_name, json_text.timestamp(last.favorited_at), last.product_id)
    return Rendered(f'{{"items":[{",".join(items)}],"next_cursor":{json.dumps(next_cursor)}}}'), next_cursor


def _who(caller: Caller) -> dict[str, Any]:
    """What of the caller every statement compares with the client's row."""
    return {"client_id": caller.client_id, "generation": caller.generation}


def _insert(caller: Caller, product_id: str) -> bool:
    """Whether the product was made a favorite now; False where it was one, or the copy does not have it."""
    try:
        return bool(
            database.execute(
                """
                WITH added AS (
                    INSERT INTO favorites (client_id, product_id, price_when_favorited)
                    SELECT client_id, product_id, price
                      FROM clients, products
                     WHERE client_id = %(client_id)s AND token_generation = %(generation)s
                       AND product_id = %(product_id)s AND removed_at IS NULL
                        ON CONFLICT (client_id, product_id) DO NOTHING
                    RETURNING client_id, product_id, price_when_favorited, favorited_at
                ), emitted AS (
                    INSERT INTO outbox (stream, detail_type, detail)
                    SELECT 'client:' || client_id, 'FavoriteAdded', json_build_object(
                               'client_id', client_id, 'product_id', product_id,
                               'price', price_when_favorited,
                               'favorited_at', rfc3339(favorited_at))
                      FROM added
                )
                SELECT product_id FROM added
                """,
                {**_who(caller), "product_id": product_id},
                repeatable=True,
            )
        )
    except psycopg.errors.ForeignKeyViolation as error:
        raise access_tokens.no_longer_counts() from error
