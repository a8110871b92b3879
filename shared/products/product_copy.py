"""This service's durable copy of the catalog: the table `products`.

The newer version wins, wherever it came from. Every write carries a version (milliseconds since the epoch)
and does nothing to a row whose version is not lower. A product that is gone stays as a tombstone
(`removed_at`), for the favorites that point at it and so that an older change cannot bring it back. What a
change means for those who hold the product as a favorite goes into the outbox in the same statement.

The list has the last word on what there is: a product that two lists in a row do not have is removed, and an
answer to a request for it does not bring it back (`products_missed`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, LiteralString

from psycopg.rows import tuple_row

from shared.formats import cursors
from shared.platform import database, settings
from shared.products.models import Product, Review

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from shared.products.catalog.models import CatalogProduct, ProductFields
    from shared.products.catalog.whole_list import CatalogList

CHUNK = 1_000  # products a statement
# How long after its last run the schedule counts as stopped: twice the longest interval it may have.
SCHEDULE_SILENCE = "2 hours"

_UNLISTED = 2_147_483_647  # the position of products that no list has shown
_GAP = 1_024  # between the positions of a list's neighbours, so that one can come between them


@dataclass(frozen=True, slots=True)
class CopiedProduct:
    """A row of the copy."""

    product_id: str
    title: str
    price: Decimal
    description: str
    category: str
    image: str
    review_rate: Decimal | None
    review_count: int | None
    version: int
    position: int
    fetched_at: datetime
    removed_at: datetime | None
    changed: bool = False  # by the statement that returned it, in what customers see

    def as_product(self) -> Product:
        """The product as the API shows it."""
        return Product(
            product_id=self.product_id,
            title=self.title,
            price=self.price,
            description=self.description,
            category=self.category,
            image=self.image,
            review=None
            if self.review_rate is None or self.review_count is None
            else Review(rate=self.review_rate, count=self.review_count),
        )


def shown(product: CatalogProduct) -> Product:
    """A product that was not copied, as the API shows it."""
    return Product(
        **product.model_dump(exclude={"rating", "currency"}),
        review=Review(rate=product.rating.rate, count=product.rating.count) if product.rating else None,
    )


def find(product_id: str) -> CopiedProduct | None:
    """The product's row, tombstones included; None where there never was one. Raises DatabaseUnavailable."""
    return database.fetch_one(
        CopiedProduct,
        """
        SELECT product_id, title, price, description, category, image, review_rate, review_count,
               version, position, fetched_at, removed_at
          FROM products
         WHERE product_id = %(product_id)s
        """,
        {"product_id": product_id},
        repeatable=True,
    )


def find_all(product_ids: Sequence[str]) -> list[CopiedProduct]:
    """The rows that there are of these products, tombstones included. Raises DatabaseUnavailable."""
    return database.fetch_all(
        CopiedProduct,
        """
        SELECT product_id, title, price, description, category, image, review_rate, review_count,
               version, position, fetched_at, removed_at
          FROM products
         WHERE product_id = ANY (%(product_ids)s)
        """,
        {"product_ids": list(product_ids)},
        repeatable=True,
    )


# ── Writing ───────────────────────────────────────────────────────────────────────────────────────────────


def save(product: CatalogProduct, version: int, *, revive: bool = True) -> CopiedProduct:
    """Keep the product as it was at `version`; what the copy holds now, which may be newer.

    The version moves even where the content is the same, or a change that is older and arrives later would
    win over this one. Without `revive` a product that the lists no longer have stays a tombstone.
    Raises DatabaseUnavailable.
    """
    saved = _write([product.fields()], [version], positions=[None], confirm=True, revive=revive)
    if not saved:  # written by another at this very moment, and newer
        saved = [row for row in [find(product.product_id)] if row is not None]
    return saved[0]


def save_all(products: Sequence[CatalogProduct], version: int) -> list[CopiedProduct]:
    """As `save` without `revive`, for many (no two with one id) in one statement."""
    return _write(
        [product.fields() for product in products],
        [version] * len(products),
        positions=[None] * len(products),
        confirm=True,
        revive=False,
    )


def mark_removed(product_id: str, version: int, *, remember: bool = False) -> CopiedProduct | None:
    """Make the product a tombstone as of `version`; what the copy holds now, None where it never knew it.

    With `remember`, a product that was never known gets a tombstone too: a change that is older may still
    arrive. Raises DatabaseUnavailable.
    """
    rows = _remove([product_id], version, remember=remember)
    return rows[0] if rows else find(product_id)


# Favorites whose product went, came back or costs another price now: one event each. `held` are the rows as
# they were, locked; `written` are the same rows as they are. Whether anybody holds a product is asked and not
# how many: millions may. LIMIT keeps the planner from joining all favorites.
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
           'version', written.version)
  FROM written
  JOIN held USING (product_id)
 CROSS JOIN LATERAL (
       SELECT FROM favorites WHERE favorites.product_id = written.product_id LIMIT 1
       ) AS holder
 WHERE (written.removed_at IS NULL) <> (held.removed_at IS NULL)
    OR (written.removed_at IS NULL AND written.price <> held.price)
RETURNING true
"""


# The row that all changes share is locked last, and until the commit that follows. PostgreSQL runs the parts
# of a statement that write and that nothing reads in an order of its own, so this one reads all the others.
_ADVANCE: LiteralString = """
UPDATE product_list SET generation = generation + 1
 WHERE (SELECT count(*) FROM emitted) + (SELECT count(*) FROM cleared) >= 0
   AND EXISTS (SELECT FROM outcome WHERE changed)
"""


def _write(
    products: Sequence[ProductFields],
    versions: Sequence[int],
    *,
    positions: Sequence[int | None],
    confirm: bool,
    revive: bool,
) -> list[CopiedProduct]:
    """Keep the products (no two with one id) where they are newer; what the copy holds of them afterwards.

    Rows that are the same are not even locked, unless `confirm` asks to move their version. `revive` is for
    those who say what there is (the list, the catalog's events): they also end what the lists missed.
    """
    columns = [product._asdict() for product in products]
    return database.fetch_all(
        CopiedProduct,
        f"""
        WITH seen AS (
            SELECT *
              FROM unnest(%(product_id)s::text[], %(title)s::text[], %(price)s::numeric[],
                          %(description)s::text[], %(category)s::text[], %(image)s::text[],
                          %(review_rate)s::numeric[], %(review_count)s::integer[], %(position)s::integer[],
                          %(version)s::bigint[])
                AS seen (product_id, title, price, description, category, image,
                         review_rate, review_count, position, version)
        ), candidates AS (
            SELECT seen.*
              FROM seen
              LEFT JOIN products AS known USING (product_id)
             WHERE known.product_id IS NULL
                OR (known.version < seen.version
                    AND (%(confirm)s
                         OR EXISTS (SELECT FROM products_missed WHERE product_id = known.product_id)
                         OR (known.title, known.price, known.description, known.category, known.image,
                             known.review_rate, known.review_count, known.position, known.removed_at)
                            IS DISTINCT FROM
                            (seen.title, seen.price, seen.description, seen.category, seen.image,
                             seen.review_rate, seen.review_count, coalesce(seen.position, known.position),
                             NULL)))
        ), held AS (
            SELECT products.*
              FROM products
              JOIN candidates USING (product_id)
             ORDER BY products.product_id
               FOR NO KEY UPDATE OF products
        ), written AS (
            INSERT INTO products AS kept
                   (product_id, title, price, description, category, image, review_rate, review_count,
                    position, version, fetched_at)
            SELECT product_id, candidates.title, candidates.price, candidates.description,
                   candidates.category, candidates.image, candidates.review_rate, candidates.review_count,
                   coalesce(candidates.position, held.position, {_UNLISTED}), candidates.version,
                   %(fetched_at)s
              FROM candidates
              LEFT JOIN held USING (product_id)
             ORDER BY product_id
                ON CONFLICT (product_id) DO UPDATE
               SET title = excluded.title, price = excluded.price, description = excluded.description,
                   category = excluded.category, image = excluded.image,
                   review_rate = excluded.review_rate, review_count = excluded.review_count,
                   position = CASE excluded.position WHEN {_UNLISTED} THEN kept.position
                              ELSE excluded.position END,
                   version = excluded.version,
                   fetched_at = excluded.fetched_at, removed_at = NULL
             WHERE kept.version < excluded.version
               AND (%(revive)s OR kept.removed_at IS NULL
                    OR NOT EXISTS (SELECT FROM products_missed WHERE product_id = kept.product_id))
            RETURNING kept.*
        ), cleared AS (
            DELETE FROM products_missed
             USING (SELECT product_id
                      FROM products_missed
                      JOIN seen USING (product_id)
                     WHERE %(revive)s AND products_missed.version < seen.version
                       -- True of any count: it lets the rows of products be locked first, as everywhere.
                       AND (SELECT count(*) FROM written) >= 0
                       -- What is older than a tombstone says nothing of the lists since.
                       AND NOT EXISTS (SELECT FROM products AS known
                                        WHERE known.product_id = seen.product_id
                                          AND known.removed_at IS NOT NULL
                                          AND known.version >= seen.version)
                     ORDER BY product_id
                       FOR UPDATE OF products_missed) AS again
             WHERE products_missed.product_id = again.product_id
            RETURNING true
        ), emitted AS ({_EMIT}), outcome AS (
            SELECT written.*,
                   (held.title, held.price, held.description, held.category, held.image,
                    held.review_rate, held.review_count, held.position, held.removed_at)
                   IS DISTINCT FROM
                   (written.title, written.price, written.description, written.category, written.image,
                    written.review_rate, written.review_count, written.position, NULL) AS changed
              FROM written
              LEFT JOIN held USING (product_id)
        ), advanced AS ({_ADVANCE})
        SELECT * FROM outcome
         UNION ALL
        SELECT known.*, false
          FROM seen
          JOIN products AS known USING (product_id)
         WHERE NOT EXISTS (SELECT FROM written WHERE written.product_id = known.product_id)
        """,  # noqa: S608 — the parts are constants of this module
        {name: [column[name] for column in columns] for name in columns[0]}
        | {
            "position": list(positions),
            "version": list(versions),
            "fetched_at": datetime.now(UTC),
            "confirm": confirm,
            "revive": revive,
        },
        repeatable=True,
    )


def _remove(
    product_ids: Sequence[str], version: int, *, remember: bool, is_listed: bool = True
) -> list[CopiedProduct]:
    """Make the products tombstones where that is newer; the rows that were written.

    One that the lists dropped has no place in them any more: it is not `is_listed`.
    """
    return database.fetch_all(
        CopiedProduct,
        f"""
        WITH gone AS (
            SELECT product_id FROM unnest(%(product_ids)s::text[]) AS gone (product_id)
        ), held AS (
            SELECT products.*
              FROM products
              JOIN gone USING (product_id)
             WHERE products.version < %(version)s
             ORDER BY products.product_id
               FOR NO KEY UPDATE OF products
        ), written AS (
            INSERT INTO products AS kept
                   (product_id, title, price, description, category, image, version, fetched_at, removed_at)
            SELECT product_id, '', 0, '', '', '', %(version)s, now(), now()
              FROM gone
              LEFT JOIN held USING (product_id)
             WHERE %(remember)s OR held.product_id IS NOT NULL
             ORDER BY product_id
                ON CONFLICT (product_id) DO UPDATE
               SET version = excluded.version, fetched_at = excluded.fetched_at,
                   removed_at = coalesce(kept.removed_at, excluded.removed_at),
                   position = CASE WHEN %(is_listed)s THEN kept.position ELSE {_UNLISTED} END
             WHERE kept.version < excluded.version
            RETURNING kept.*
        ), cleared AS (
            SELECT true WHERE false
        ), emitted AS ({_EMIT}), outcome AS (
            SELECT written.*, held.product_id IS NOT NULL AND held.removed_at IS NULL AS changed
              FROM written
              LEFT JOIN held USING (product_id)
        ), advanced AS ({_ADVANCE})
        SELECT * FROM outcome
        """,  # noqa: S608 — the parts are constants of this module
        {
            "product_ids": list(product_ids),
            "version": version,
            "remember": remember,
            "is_listed": is_listed,
        },
        repeatable=True,
    )


# ── The whole catalog ───────────────────────────────────────────────────────────────────────────────────


class ShrunkCatalog(Exception):
    """The catalog's list lacks more than half of what lists have shown: it is not believed."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What the copy knows of itself as a list.

    `generation` rises with every change of what lists show. `synced_at` is when the copy was last what the
    catalog's list said, None when it never was. `is_scheduled`: the schedule reads the list, or tries to.
    """

    generation: int
    synced_at: datetime | None
    is_scheduled: bool


def listing() -> Listing:
    """The state of the list. Raises DatabaseUnavailable."""
    found = database.fetch_one(
        Listing,
        """
        SELECT generation, synced_at,
               coalesce(scheduled_at > now() - %(silence)s::interval, false) AS is_scheduled
          FROM product_list
        """,
        {"silence": SCHEDULE_SILENCE},
        repeatable=True,
    )
    assert found is not None  # noqa: S101 — the one row, which the migrations made and nobody may delete
    return found


def note_schedule() -> None:
    """Remember that the schedule reads the list, whatever comes of it now. Raises DatabaseUnavailable."""
    database.execute("UPDATE product_list SET scheduled_at = now()", {}, repeatable=True)


def note_sync(synced_at: float) -> int:
    """Remember that the copy is what the list said at `synced_at` (seconds since the epoch); its generation.

    Raises DatabaseUnavailable.
    """
    row = database.run(
        lambda current: current.execute(
            """
            UPDATE product_list
               SET synced_at = greatest(synced_at, to_timestamp(%(synced_at)s))
            RETURNING generation
            """,
            {"synced_at": synced_at},
        ).fetchone(),
        repeatable=True,
    )
    assert row is not None  # noqa: S101 — the one row, which the migrations made and nobody may delete
    return int(row["generation"])


def sync(listed: CatalogList) -> Iterator[list[CopiedProduct]]:
    """Make the copy what the list says, a chunk at a time; what it holds of each chunk afterwards.

    A chunk is one statement and writes only what differs. Products that this list does not have, and the one
    before did not have either, become tombstones at the end, and come as the last chunks.
    Raises ShrunkCatalog, before anything is written, and DatabaseUnavailable.
    """
    known = _positions()
    vanished = sorted(known.keys() - listed.ids.keys() - listed.refused.keys()) if listed.is_whole else []
    # What no list has shown, but a request or an event found by its id, is none that a list can lose.
    shown = {product_id for product_id, position in known.items() if position != _UNLISTED}
    lost = shown.intersection(vanished)
    if 2 * len(lost) > len(shown) and not settings.allow_mass_removal():
        raise ShrunkCatalog(f"{len(lost)} of the {len(shown)} known products are missing")
    positions = _in_order(list(listed.ids), known)
    for chunk in listed.chunks(CHUNK):
        yield _write(
            chunk,
            [listed.version] * len(chunk),
            positions=[positions[product.product_id] for product in chunk],
            confirm=False,
            revive=True,
        )
    for start in range(0, len(vanished), CHUNK):
        chunk_of_ids = vanished[start : start + CHUNK]
        missed_again = _missed_before(chunk_of_ids, listed.version)
        _note_missed(chunk_of_ids, listed.version)
        yield _remove(missed_again, listed.version, remember=False, is_listed=False)


def _missed_before(product_ids: Sequence[str], version: int) -> list[str]:
    """Those that an older list did not have, nor any since."""

    def work(current: database.Connection) -> list[str]:
        with current.cursor(row_factory=tuple_row) as cursor:
            cursor.execute(
                """
                SELECT product_id
                  FROM products_missed
                 WHERE product_id = ANY (%(product_ids)s) AND version < %(version)s
                """,
                {"product_ids": list(product_ids), "version": version},
            )
            return [product_id for (product_id,) in cursor]

    return database.run(work, repeatable=True)


def _note_missed(product_ids: Sequence[str], version: int) -> None:
    """Remember that the list of `version` does not have the products; since when stays as it is."""
    database.execute(
        """
        WITH held AS (
            SELECT product_id
              FROM products
             WHERE product_id = ANY (%(product_ids)s) AND removed_at IS NULL AND version < %(version)s
             ORDER BY product_id
               FOR NO KEY UPDATE
        )
        INSERT INTO products_missed (product_id, version)
        SELECT product_id, %(version)s FROM held
            ON CONFLICT (product_id) DO NOTHING
        """,
        {"product_ids": list(product_ids), "version": version},
        repeatable=True,
    )


def _positions() -> dict[str, int]:
    """Where the list shows each available product."""

    def work(current: database.Connection) -> dict[str, int]:
        with current.cursor(row_factory=tuple_row) as cursor:
            cursor.execute("SELECT product_id, position FROM products WHERE removed_at IS NULL")
            return dict(cursor)

    return database.run(work, repeatable=True)


def _in_order(ids: Sequence[str], known: Mapping[str, int]) -> dict[str, int]:
    """Rising positions for the ids: those that they have as far as these rise, so that few rows change.

    Where they have risen to the end, after some two million products that came, all are numbered anew.
    """
    highest = max((position for position in known.values() if position != _UNLISTED), default=0)
    positions: dict[str, int] = {}
    last = 0
    for product_id in ids:
        position = known.get(product_id, _UNLISTED)
        if position == _UNLISTED:  # between two that are listed, or behind all of them
            position = last + 1 if last < highest else last + _GAP
        last = positions[product_id] = position if position > last else last + 1
    if last < _UNLISTED:
        return positions
    gap = min(_GAP, (_UNLISTED - 1) // len(ids))
    return {product_id: gap * number for number, product_id in enumerate(ids, start=1)}


# ── Pages ─────────────────────────────────────────────────────────────────────────────────────────────────

# What each order sorts by, the type its values have in a cursor, and the comparison that leads on.
ORDERS: dict[str, tuple[LiteralString, LiteralString, LiteralString, LiteralString]] = {
    "catalog": ("position", "integer", ">", "ASC"),
    "price": ("price", "numeric", ">", "ASC"),
    "-price": ("price", "numeric", "<", "DESC"),
    "title": ("title", "text", ">", "ASC"),
    "-title": ("title", "text", "<", "DESC"),
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
        SELECT product_id, title, price, description, category, image, review_rate, review_count,
               version, position, fetched_at, removed_at
          FROM products
         WHERE removed_at IS NULL
           AND (%(category)s::text IS NULL OR category = %(category)s)
           AND (%(product_id)s::text IS NULL
                OR ({column}, product_id) {comparison} (%(value)s::{kind}, %(product_id)s))
         ORDER BY {column} {direction}, product_id {direction}
         LIMIT %(limit)s
        """,  # noqa: S608 — the parts come from ORDERS, whose strings stand above
        {"category": category, "value": value, "product_id": product_id, "limit": limit},
        repeatable=True,
    )


def largest_categories(limit: int) -> list[str]:
    """The categories with the most available products. Raises DatabaseUnavailable."""

    def work(current: database.Connection) -> list[str]:
        with current.cursor(row_factory=tuple_row) as cursor:
            cursor.execute(
                """
                SELECT category
                  FROM products
                 WHERE removed_at IS NULL
                 GROUP BY category
                 ORDER BY count(*) DESC, category
                 LIMIT %(limit)s
                """,
                {"limit": limit},
            )
            return [category for (category,) in cursor]

    return database.run(work, repeatable=True)


def sort_text(order: str) -> Callable[[str], object]:
    """What reads the value that a cursor has for that order; it raises ValueError for what sorts nothing."""
    return {"integer": _position, "numeric": cursors.decimal}.get(ORDERS[order][1], cursors.text)


def _position(text: str) -> int:
    position = cursors.integer(text)
    if position > _UNLISTED:
        raise ValueError("is no position")
    return position


def sort_value(order: str, product: CopiedProduct) -> str:
    """What the product is sorted by in that order, as a cursor keeps it."""
    value = getattr(product, ORDERS[order][0])
    return f"{value:f}" if isinstance(value, Decimal) else str(value)  # 0.0000001 and not 1E-7
