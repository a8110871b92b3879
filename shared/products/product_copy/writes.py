"""Writing the copy: one statement for any number of products, with its events and what lists show."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, LiteralString

from shared.formats.sort_keys import sort_key
from shared.platform import database
from shared.products.catalog.models import ProductFields
from shared.products.product_copy.rows import CopiedProduct, find

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shared.products.catalog.models import CatalogProduct


class Source(Enum):
    """Where a product comes from, and what that source decides.

    | source  | an unchanged row | what lists dropped | removes what is listed | a removed position |
    |---------|------------------|--------------------|------------------------|--------------------|
    | request | is confirmed     | stays removed      | no                     | is kept            |
    | event   | is confirmed     | comes back         | yes                    | is kept            |
    | list    | is not written   | comes back         | yes                    | is given up        |
    """

    REQUEST = "request"
    EVENT = "event"
    LIST = "list"


# Whether a change of that version counts for the row `known`: it is newer than the row, and than the list
# that confirmed the row without writing it.
_IS_NEWER: LiteralString = """
    known.version < %(version)s
    AND (%(source)s = 'list' OR known.removed_at IS NOT NULL OR known.position = 2147483647
         OR EXISTS (SELECT FROM products_missed WHERE product_id = known.product_id)
         OR %(version)s > coalesce((SELECT extract(epoch FROM synced_at) * 1000 FROM product_list), 0))
"""

# The columns of a row, in the order of the table CopiedProduct.
_ROW: LiteralString = """
    product_id, title, price, currency, description, category, image, review_rate, review_count, sort_key,
    version, position, fetched_at, removed_at
"""


def save(product: CatalogProduct, version: int, source: Source) -> CopiedProduct:
    """Keep the product as it was at `version`; what the copy holds now, which may be newer.

    The version moves even where the content is the same, or an older change that arrives later would win
    over this one. Raises DatabaseUnavailable.
    """
    saved = write([product.fields()], version, source)
    if not saved:  # written by another at this very moment, and newer
        saved = [row for row in [find(product.product_id)] if row is not None]
    return saved[0]


def save_all(products: Sequence[CatalogProduct], version: int) -> list[CopiedProduct]:
    """As `save` for requests, for many (no two with one id) in one statement."""
    return write([product.fields() for product in products], version, Source.REQUEST)


def mark_removed(product_id: str, version: int, source: Source) -> CopiedProduct | None:
    """Make the product a tombstone as of `version`; what the copy holds now, None where it never knew it.

    An event makes a tombstone of a product that was never known too: an older change may still arrive.
    A request removes no product that a list shows. Raises DatabaseUnavailable.
    """
    rows = remove([product_id], version, source)
    return rows[0] if rows else find(product_id)


# Favorites whose product went, came back or costs another price now: one event each. `held` are the rows as
# they were, locked; `written` are the same rows as they are. It is asked whether anybody holds a product and
# not how many: millions may. LIMIT keeps the planner from joining all favorites.
_EMIT: LiteralString = """
INSERT INTO outbox (stream, detail_type, detail)
SELECT 'product:' || written.product_id,
       'FavoriteProduct' || CASE
           WHEN written.removed_at IS NOT NULL THEN 'Removed'
           WHEN held.removed_at IS NOT NULL THEN 'Restored'
           WHEN written.price < held.price THEN 'PriceDropped'
           ELSE 'PriceRaised'
       END,
       json_build_object(
           'product', json_build_object('product_id', written.product_id, 'title', written.title,
                                        'category', written.category, 'image', written.image),
           'old_price', held.price,
           'new_price', CASE WHEN written.removed_at IS NULL THEN written.price END,
           'currency', written.currency,
           'version', written.version)
  FROM written
  JOIN held USING (product_id)
 CROSS JOIN LATERAL (
       SELECT FROM favorites WHERE favorites.product_id = written.product_id LIMIT 1
       ) AS holder
 WHERE (written.removed_at IS NULL) <> (held.removed_at IS NULL)
    OR (written.removed_at IS NULL AND written.price <> held.price
        AND written.currency IS NOT DISTINCT FROM held.currency)
RETURNING true
"""


# Changes that may fire alerts: one row each, also without an alert. A change of the currency fires none.
_QUEUE_ALERTS: LiteralString = """
INSERT INTO alert_jobs (product_id, kind, old_price, new_price, currency, version)
SELECT product_id, kind, old_price, new_price, currency, version
  FROM (SELECT written.product_id, held.price AS old_price, written.price AS new_price, written.currency,
               written.version, held.removed_at IS NOT NULL AS is_back,
               written.price < held.price
               AND written.currency IS NOT DISTINCT FROM held.currency AS is_cheaper
          FROM written
          JOIN held USING (product_id)) AS change
  JOIN (VALUES ('available_again'), ('price')) AS alert (kind)
    ON CASE kind WHEN 'price' THEN is_cheaper ELSE is_back END
 ORDER BY kind
RETURNING true
"""


# The row that all changes share is locked last, and until the commit that follows. PostgreSQL runs the parts
# of a statement that write and that nothing reads in an order of its own, so this one reads all the others.
_ADVANCE: LiteralString = """
UPDATE product_list SET generation = generation + 1
 WHERE (SELECT count(*) FROM emitted) + (SELECT count(*) FROM cleared) + (SELECT count(*) FROM queued) >= 0
   AND EXISTS (SELECT FROM outcome WHERE changed)
RETURNING generation
"""

_LIST_VERSION: LiteralString = """
(SELECT coalesce((SELECT generation FROM advanced), generation) FROM product_list) AS list_version
"""

# A price that is equal by value keeps its form, so that 11.2 and 11.20 are no change anywhere.
_WRITE: LiteralString = f"""
WITH seen AS (
    SELECT *
      FROM unnest(%(product_id)s::text[], %(title)s::text[], %(price)s::numeric[], %(currency)s::text[],
                  %(description)s::text[], %(category)s::text[], %(image)s::text[],
                  %(review_rate)s::numeric[], %(review_count)s::integer[], %(sort_key)s::text[],
                  %(position)s::integer[])
        AS seen (product_id, title, price, currency, description, category, image,
                 review_rate, review_count, sort_key, position)
), candidates AS (
    SELECT seen.*
      FROM seen
      LEFT JOIN products AS known USING (product_id)
     WHERE known.product_id IS NULL
        OR (({_IS_NEWER})
            AND (%(source)s <> 'list'
                 OR EXISTS (SELECT FROM products_missed WHERE product_id = known.product_id)
                 OR (known.title, known.price, known.currency, known.description, known.category,
                     known.image, known.review_rate, known.review_count, known.sort_key, known.position,
                     known.removed_at)
                    IS DISTINCT FROM
                    (seen.title, seen.price, seen.currency, seen.description, seen.category,
                     seen.image, seen.review_rate, seen.review_count, seen.sort_key,
                     coalesce(seen.position, known.position), NULL)))
), held AS (
    SELECT products.*
      FROM products
      JOIN candidates USING (product_id)
     ORDER BY products.product_id
       FOR NO KEY UPDATE OF products
), written AS (
    INSERT INTO products AS kept
           (product_id, title, price, currency, description, category, image, review_rate, review_count,
            sort_key, position, version, fetched_at)
    SELECT product_id, candidates.title, candidates.price, candidates.currency, candidates.description,
           candidates.category, candidates.image, candidates.review_rate, candidates.review_count,
           candidates.sort_key, coalesce(candidates.position, held.position, 2147483647), %(version)s,
           %(fetched_at)s
      FROM candidates
      LEFT JOIN held USING (product_id)
     ORDER BY product_id
        ON CONFLICT (product_id) DO UPDATE
       SET title = excluded.title,
           price = CASE kept.price WHEN excluded.price THEN kept.price ELSE excluded.price END,
           currency = excluded.currency, description = excluded.description,
           category = excluded.category, image = excluded.image,
           review_rate = excluded.review_rate, review_count = excluded.review_count,
           sort_key = excluded.sort_key,
           position = CASE excluded.position WHEN 2147483647 THEN kept.position ELSE excluded.position END,
           version = excluded.version,
           fetched_at = excluded.fetched_at, removed_at = NULL
     WHERE kept.version < excluded.version
       AND (%(source)s <> 'request' OR kept.removed_at IS NULL
            OR NOT EXISTS (SELECT FROM products_missed WHERE product_id = kept.product_id))
    RETURNING kept.*
), cleared AS (
    DELETE FROM products_missed
     USING (SELECT product_id
              FROM products_missed
              JOIN seen USING (product_id)
             WHERE %(source)s <> 'request' AND products_missed.version < %(version)s
               -- True of any count: it lets the rows of products be locked first, as everywhere.
               AND (SELECT count(*) FROM written) >= 0
               -- What is older than a tombstone does not count against the lists since.
               AND NOT EXISTS (SELECT FROM products AS known
                                WHERE known.product_id = seen.product_id
                                  AND known.removed_at IS NOT NULL
                                  AND known.version >= %(version)s)
             ORDER BY product_id
               FOR UPDATE OF products_missed) AS again
     WHERE products_missed.product_id = again.product_id
    RETURNING true
), emitted AS ({_EMIT}), queued AS ({_QUEUE_ALERTS}), outcome AS (
    SELECT written.*,
           (held.title, held.price, held.currency, held.description, held.category, held.image,
            held.review_rate, held.review_count, held.position, held.removed_at)
           IS DISTINCT FROM
           (written.title, written.price, written.currency, written.description, written.category,
            written.image, written.review_rate, written.review_count, written.position, NULL) AS changed
      FROM written
      LEFT JOIN held USING (product_id)
), advanced AS ({_ADVANCE})
SELECT {_ROW}, changed, {_LIST_VERSION} FROM outcome
 UNION ALL
SELECT {_ROW}, false, {_LIST_VERSION}
  FROM products
 WHERE product_id IN (SELECT product_id FROM seen)
   AND product_id NOT IN (SELECT product_id FROM written)
"""  # noqa: S608 — the parts are constants of this module


def write(
    products: Sequence[ProductFields],
    version: int,
    source: Source,
    positions: Sequence[int | None] | None = None,
) -> list[CopiedProduct]:
    """Keep the products (no two with one id) where they are newer; what the copy holds of them afterwards.

    Rows that a list shows unchanged are not even locked. Raises DatabaseUnavailable.
    """
    columns = dict(zip(ProductFields._fields, map(_array, zip(*products, strict=True)), strict=True))
    return database.fetch_all(
        CopiedProduct,
        _WRITE,
        columns
        | {
            "sort_key": _array([sort_key(product.title) for product in products]),
            "position": _array(positions or [None] * len(products)),
            "version": version,
            "fetched_at": datetime.now(UTC),
            "source": source.value,
        },
        idempotent=True,
    )


def _array(values: Iterable[object]) -> str:
    """A PostgreSQL array of the values, as text: psycopg takes five times as long for a list."""
    return "{" + ",".join(["NULL" if value is None else _quoted(str(value)) for value in values]) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_REMOVE: LiteralString = f"""
WITH gone AS (
    SELECT product_id FROM unnest(%(product_ids)s::text[]) AS gone (product_id)
), held AS (
    SELECT known.*
      FROM products AS known
      JOIN gone USING (product_id)
     WHERE ({_IS_NEWER})
       AND (%(source)s <> 'request' OR known.position = 2147483647 OR known.removed_at IS NOT NULL)
     ORDER BY known.product_id
       FOR NO KEY UPDATE OF known
), written AS (
    INSERT INTO products AS kept
           (product_id, title, price, description, category, image, version, fetched_at, removed_at)
    SELECT product_id, '', 0, '', '', '', %(version)s, now(), now()
      FROM gone
      LEFT JOIN held USING (product_id)
     WHERE held.product_id IS NOT NULL
        OR (%(source)s = 'event' AND NOT EXISTS (SELECT FROM products WHERE product_id = gone.product_id))
     ORDER BY product_id
        ON CONFLICT (product_id) DO UPDATE
       SET version = excluded.version, fetched_at = excluded.fetched_at,
           removed_at = coalesce(kept.removed_at, excluded.removed_at),
           position = CASE %(source)s WHEN 'list' THEN 2147483647 ELSE kept.position END
     WHERE kept.version < excluded.version
    RETURNING kept.*
), cleared AS (
    SELECT true WHERE false
), queued AS (
    SELECT true WHERE false
), emitted AS ({_EMIT}), outcome AS (
    SELECT written.*, held.product_id IS NOT NULL AND held.removed_at IS NULL AS changed
      FROM written
      LEFT JOIN held USING (product_id)
), advanced AS ({_ADVANCE})
SELECT {_ROW}, changed, {_LIST_VERSION} FROM outcome
"""  # noqa: S608 — the parts are constants of this module


def remove(product_ids: Sequence[str], version: int, source: Source) -> list[CopiedProduct]:
    """Make the products tombstones where that is newer; the rows that were written."""
    return database.fetch_all(
        CopiedProduct,
        _REMOVE,
        {"product_ids": list(product_ids), "version": version, "source": source.value},
        idempotent=True,
    )
