"""A shared list: its products, without any data of the client."""

from __future__ import annotations

import json
import re
from typing import LiteralString

from shared.accounts.attempts import bounds
from shared.errors import InvalidCursor, UnknownShare
from shared.favorites.models import SharedFavorites
from shared.favorites.rendering import IS_ACTIVE, SHARED_PRODUCT
from shared.formats import cursors
from shared.formats.json_text import Rendered
from shared.platform import database

_TOKEN = re.compile("[A-Za-z0-9_-]{22}")


def list_page(
    token: str, *, source_ip: str, limit: int, cursor: str | None
) -> tuple[Rendered[SharedFavorites], str | None]:
    """A page of the list behind the link, newest favorite first, and the cursor to the next page.

    A cursor holds the last product's id and no date, which a list does not show. If the client unmarks this
    product before the next page is read, the cursor is refused and reading starts anew.

    Raises UnknownShare, TooManyAttempts for a network that tried too many unknown links, InvalidCursor.
    """
    list_name = f"shared-favorites:{token}"
    after = None
    if cursor is not None:
        after, _ = cursors.decode(list_name, cursor, cursors.text, cursors.text)
    # A malformed token is looked up too, as one that no share has: all refusals take the same time.
    known_form = token if _TOKEN.fullmatch(token) else ""
    rows = database.fetch_tuples(
        _PAGE, {"token": known_form, "after": after, "limit": limit + 1}, idempotent=True
    )
    if not rows:
        # Counted after the look-up: guesses do not keep others in the network from a link that is right.
        bounds.take(bounds.UNKNOWN_SHARES, source_ip)
        raise UnknownShare.behind_link()
    title, has_position = rows[0][:2]
    if not has_position:
        raise InvalidCursor
    items = [product for *_, product in rows[:limit] if product is not None]
    next_cursor = None
    if len(rows) > limit:
        next_cursor = cursors.encode(list_name, rows[limit - 1][2], "")
    title, next_page = json.dumps(title, ensure_ascii=False), json.dumps(next_cursor)
    body = f'{{"title":{title},"items":[{",".join(items)}],"next_cursor":{next_page}}}'
    return Rendered(body), next_cursor


_PAGE: LiteralString = f"""
SELECT title, %(after)s::text IS NULL OR position.product_id IS NOT NULL AS has_position,
       page.product_id, page.product
  FROM shares
  LEFT JOIN favorites AS position
    ON position.client_id = shares.client_id AND position.product_id = %(after)s
  LEFT JOIN LATERAL (
       SELECT product_id, favorited_at, {SHARED_PRODUCT} AS product
         FROM favorites
         JOIN products USING (product_id)
        WHERE favorites.client_id = shares.client_id
          AND (%(after)s::text IS NULL
               OR (favorites.favorited_at <= position.favorited_at
                   AND (favorites.favorited_at < position.favorited_at
                        OR favorites.product_id > position.product_id)))
        ORDER BY favorites.favorited_at DESC, product_id
        LIMIT %(limit)s
       ) AS page ON true
 WHERE token = %(token)s AND {IS_ACTIVE}
 ORDER BY page.favorited_at DESC, page.product_id
"""  # noqa: S608 — the part is a constant
