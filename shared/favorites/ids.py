"""The ids of favorites, without the products: for pages that show which products are marked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, LiteralString

from shared.accounts import callers
from shared.accounts.access_tokens import Caller
from shared.favorites.limits import MAX_FAVORITES
from shared.formats import cursors
from shared.formats.json_text import Rendered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.favorites.models import FavoriteIds


@dataclass(frozen=True, slots=True)
class _Found:
    """`product_ids` is a JSON array."""

    favorites_count: int
    favorites_revision: int
    product_ids: str
    last_favorited_at: str | None = None  # of the page, where another follows it
    last_product_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Revision:
    favorites_revision: int


@dataclass(frozen=True, slots=True)
class Ids:
    """The answer, None where the caller has it; its strong entity tag; the cursor to the next page."""

    body: Rendered[FavoriteIds] | None
    etag: str
    next_cursor: str | None = None


REVISION: LiteralString = """
SELECT favorites_revision
  FROM clients
 WHERE client_id = %(client_id)s AND token_generation = %(token_generation)s
"""

OF_PRODUCTS: LiteralString = """
SELECT favorites_count, favorites_revision, found.*
  FROM clients
 CROSS JOIN LATERAL (
       SELECT coalesce(json_agg(product_id ORDER BY place), '[]')::text AS product_ids
         FROM unnest(%(product_ids)s::text[]) WITH ORDINALITY AS asked (product_id, place)
         JOIN favorites USING (product_id)
        WHERE favorites.client_id = clients.client_id
       ) AS found
 WHERE clients.client_id = %(client_id)s AND token_generation = %(token_generation)s
"""

NEWEST_FIRST: LiteralString = """
SELECT favorites_count, favorites_revision, found.*
  FROM clients
 CROSS JOIN LATERAL (
       SELECT coalesce(json_agg(product_id ORDER BY place) FILTER (WHERE place <= %(limit)s), '[]')::text
                  AS product_ids,
              rfc3339(max(favorited_at) FILTER (WHERE place = %(limit)s AND has_next)) AS last_favorited_at,
              max(product_id) FILTER (WHERE place = %(limit)s AND has_next) AS last_product_id
         FROM (SELECT product_id, favorited_at, row_number() OVER () AS place,
                      count(*) OVER () > %(limit)s AS has_next
                 FROM (SELECT product_id, favorited_at
                         FROM favorites
                        WHERE favorites.client_id = clients.client_id
                          AND (%(product_id)s::text IS NULL
                               OR (favorited_at <= %(favorited_at)s::timestamptz
                                   AND (favorited_at < %(favorited_at)s OR product_id > %(product_id)s)))
                        ORDER BY favorited_at DESC, product_id
                        LIMIT %(limit)s + 1) AS page) AS numbered
       ) AS found
 WHERE clients.client_id = %(client_id)s AND token_generation = %(token_generation)s
"""


def of_products(caller: Caller, product_ids: Sequence[str], *, if_none_match: str | None = None) -> Ids:
    """Those of the products that are favorites of the caller, in the order of the request.

    `if_none_match` is that header (RFC 9110 §13.1.2), None where there is none.
    Raises InvalidToken where the caller's token is revoked.
    """
    if same := _unchanged(caller, if_none_match):
        return same
    found = callers.fetch_one(caller, _Found, OF_PRODUCTS, {"product_ids": list(dict.fromkeys(product_ids))})
    return _answer(caller, found, None)


def list_page(
    caller: Caller, *, limit: int, cursor: str | None = None, if_none_match: str | None = None
) -> Ids:
    """A page of the ids of all of the caller's favorites, newest first.

    Raises InvalidCursor, and InvalidToken where the caller's token is revoked.
    """
    list_name = f"favorite-ids:{caller.client_id}"
    favorited_at, product_id = None, None
    if cursor is not None:
        favorited_at, product_id = cursors.decode(list_name, cursor, cursors.moment, cursors.text)
    if same := _unchanged(caller, if_none_match):
        return same
    place = {"limit": limit, "favorited_at": favorited_at, "product_id": product_id}
    found = callers.fetch_one(caller, _Found, NEWEST_FIRST, place)
    next_cursor = None
    if found.last_favorited_at is not None and found.last_product_id is not None:
        next_cursor = cursors.encode(list_name, found.last_favorited_at, found.last_product_id)
    return _answer(caller, found, next_cursor)


def _unchanged(caller: Caller, if_none_match: str | None) -> Ids | None:
    """ "Not modified", if the caller has the current revision; this reads one row. Otherwise None."""
    if not if_none_match or _etag_prefix(caller) not in if_none_match:
        return None
    row = callers.fetch_one(caller, _Revision, REVISION)
    etag = _etag(caller, row.favorites_revision)
    return Ids(None, etag) if etag in if_none_match else None


def _answer(caller: Caller, found: _Found, next_cursor: str | None) -> Ids:
    body = (
        f'{{"product_ids":{found.product_ids},"next_cursor":{json.dumps(next_cursor)},'
        f'"count":{found.favorites_count},"max":{MAX_FAVORITES}}}'
    )
    return Ids(Rendered(body), _etag(caller, found.favorites_revision), next_cursor)


def _etag(caller: Caller, revision: int) -> str:
    return f'"{_etag_prefix(caller)}-{revision}"'


def _etag_prefix(caller: Caller) -> str:
    """All that the body depends on beside the revision: one browser may hold the lists of several clients."""
    return f"{caller.client_id.hex}-{MAX_FAVORITES}"
