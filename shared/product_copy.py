"""This service's durable copy of the catalogue: the table `products`.

Newer wins, wherever it came from: every write carries a version (milliseconds since the epoch) and does
nothing to a row whose version is higher; the same content writes no new version. A product that is gone stays
as a tombstone (`removed_at`), for the favourites that point at it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, LiteralString

from shared import database
from shared.models import Product, Review

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.catalog import CatalogList, CatalogProduct

CHUNK = 1_000  # products a statement


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

    def as_product(self) -> Product:
        """The product as the API shows it."""
        return Product(
            product_id=self.product_id,
            title=self.title,
            price=self.price,
            description=self.description,
            category=self.category,
            image=self.image,
            review=review(self.review_rate, self.review_count),
        )


def review(rate: Decimal | None, count: int | None) -> Review | None:
    """The two columns as one value; half a review is none."""
    return None if rate is None or count is None else Review(rate=rate, count=count)


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


def is_empty() -> bool:
    """Whether no product was ever copied. Raises DatabaseUnavailable."""
    return database.run(
        lambda current: current.execute("SELECT FROM products LIMIT 1").fetchone() is None, repeatable=True
    )


def save(product: CatalogProduct, version: int) -> CopiedProduct:
    """Keep what the catalogue answered to a request that began at `version`; what the copy holds afterwards.

    The same content moves `fetched_at` only: it says when the catalogue last confirmed the row.
    Raises DatabaseUnavailable.
    """
    saved = database.fetch_one(
        CopiedProduct,
        """
        INSERT INTO products AS held
               (product_id, title, price, description, category, image, review_rate, review_count,
                version, fetched_at)
        VALUES (%(product_id)s, %(title)s, %(price)s, %(description)s, %(category)s, %(image)s,
                %(review_rate)s, %(review_count)s, %(version)s, to_timestamp(%(version)s / 1000.0))
            ON CONFLICT (product_id) DO UPDATE
           SET title = excluded.title, price = excluded.price, description = excluded.description,
               category = excluded.category, image = excluded.image,
               review_rate = excluded.review_rate, review_count = excluded.review_count,
               fetched_at = excluded.fetched_at, removed_at = NULL,
               version = CASE
                   WHEN (held.title, held.price, held.description, held.category, held.image,
                         held.review_rate, held.review_count, held.removed_at)
                        IS NOT DISTINCT FROM
                        (excluded.title, excluded.price, excluded.description, excluded.category,
                         excluded.image, excluded.review_rate, excluded.review_count, NULL)
                   THEN held.version ELSE excluded.version
               END
         WHERE held.version < excluded.version AND held.fetched_at < excluded.fetched_at
        RETURNING product_id, title, price, description, category, image, review_rate, review_count,
                  version, position, fetched_at, removed_at
        """,
        {**_columns(product), "version": version},
        repeatable=True,
    )
    if saved is None:  # the row is newer than this answer
        saved = find(product.product_id)
        assert saved is not None  # noqa: S101 — rows are never deleted, and the conflict was with this one
    return saved


def mark_removed(product_id: str, version: int) -> bool:
    """Make the product a tombstone; False where it was one, never existed, or is newer than `version`.

    Raises DatabaseUnavailable.
    """
    return bool(
        database.execute(
            """
            UPDATE products
               SET removed_at = now(), version = %(version)s, fetched_at = to_timestamp(%(version)s / 1000.0)
             WHERE product_id = %(product_id)s AND removed_at IS NULL AND version < %(version)s
            """,
            {"product_id": product_id, "version": version},
            repeatable=True,
        )
    )


# ── The whole catalogue ───────────────────────────────────────────────────────────────────────────────────


class ShrunkCatalog(Exception):
    """The catalogue's list is empty, or less than half of what was known: it is not believed."""


def sync(catalog: CatalogList) -> list[str]:
    """Make the copy what the list says; the ids of the products that changed, came, or went.

    One statement writes up to `CHUNK` products, and only those that differ. Products that the list no longer
    has become tombstones. All of it happens in one transaction.
    Raises ShrunkCatalog (and then nothing was written) and DatabaseUnavailable.
    """

    def work(current: database.Connection) -> list[str]:
        # Two at once would wait for each other's rows in different orders: one after the other, then.
        current.execute("SELECT pg_advisory_xact_lock(hashtext('favorites.products.sync'))")
        known = current.execute("SELECT count(*) AS known FROM products WHERE removed_at IS NULL").fetchone()
        if known and known["known"] > 2 * (len(catalog.products) + len(catalog.refused)):
            raise ShrunkCatalog(f"{len(catalog.products)} products, where {known['known']} were known")
        changed: list[str] = []
        for start in range(0, len(catalog.products), CHUNK):
            changed += _write(current, catalog.products[start : start + CHUNK], start, catalog.version)
        present = [product.product_id for product in catalog.products]
        gone = current.execute(
            """
            UPDATE products
               SET removed_at = now(), version = %(version)s, fetched_at = to_timestamp(%(version)s / 1000.0)
             WHERE removed_at IS NULL AND version < %(version)s
               AND product_id NOT IN (SELECT unnest(%(present)s::text[]))
            RETURNING product_id
            """,
            {"version": catalog.version, "present": present + list(catalog.refused)},
        ).fetchall()
        return changed + [row["product_id"] for row in gone]

    return database.transaction(work)


def _write(
    current: database.Connection, products: Sequence[CatalogProduct], start: int, version: int
) -> list[str]:
    columns = [_columns(product) for product in products]
    rows = current.execute(
        """
        WITH seen AS (
            SELECT *
              FROM unnest(%(product_id)s::text[], %(title)s::text[], %(price)s::numeric[],
                          %(description)s::text[], %(category)s::text[], %(image)s::text[],
                          %(review_rate)s::numeric[], %(review_count)s::integer[], %(position)s::integer[])
                AS seen (product_id, title, price, description, category, image,
                         review_rate, review_count, position)
        )
        INSERT INTO products AS held
               (product_id, title, price, description, category, image, review_rate, review_count,
                position, version, fetched_at)
        SELECT seen.*, %(version)s, to_timestamp(%(version)s / 1000.0)
          FROM seen
          LEFT JOIN products AS known USING (product_id)
         -- Rows that are the same are left out here already: even a DO UPDATE that does nothing locks them.
         WHERE (known.title, known.price, known.description, known.category, known.image,
                known.review_rate, known.review_count, known.position, known.removed_at)
               IS DISTINCT FROM
               (seen.title, seen.price, seen.description, seen.category, seen.image,
                seen.review_rate, seen.review_count, seen.position, NULL)
         ORDER BY product_id
            ON CONFLICT (product_id) DO UPDATE
           SET title = excluded.title, price = excluded.price, description = excluded.description,
               category = excluded.category, image = excluded.image,
               review_rate = excluded.review_rate, review_count = excluded.review_count,
               position = excluded.position, version = excluded.version,
               fetched_at = excluded.fetched_at, removed_at = NULL
         WHERE held.version < excluded.version
        RETURNING product_id
        """,
        {name: [column[name] for column in columns] for name in columns[0]}
        | {"position": list(range(start, start + len(columns))), "version": version},
    ).fetchall()
    return [row["product_id"] for row in rows]


def _columns(product: CatalogProduct) -> dict[str, object]:
    return {
        "product_id": product.product_id,
        "title": product.title,
        "price": product.price,
        "description": product.description,
        "category": product.category,
        "image": product.image,
        "review_rate": product.rate,
        "review_count": product.review_count,
    }


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
    order: str, *, category: str | None, after: tuple[str, str] | None, limit: int
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


def sort_value(order: str, product: CopiedProduct) -> str:
    """What the product is sorted by in that order, as a cursor keeps it."""
    column = ORDERS[order][0]
    return str(getattr(product, column))
