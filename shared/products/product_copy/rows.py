"""The rows of the copy, and reading them by their ids."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from json.encoder import encode_basestring as _quoted
from typing import TYPE_CHECKING, LiteralString

from shared.platform import database
from shared.products.models import Product, Review

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.products.catalog.models import CatalogProduct

UNLISTED = 2_147_483_647  # the position of products that no list has shown

# What a list confirmed: it shows the product, and no list since has missed it.
IS_LISTED: LiteralString = """
    products.position <> 2147483647 AND products.removed_at IS NULL
    AND NOT EXISTS (SELECT FROM products_missed WHERE products_missed.product_id = products.product_id)
"""

# The content of a product, as lists of columns are written everywhere.
CONTENT: LiteralString = (
    "title, price, currency, description, category, image, review_rate, review_count, sort_key"
)

_SELECT: LiteralString = f"""
    SELECT product_id, {CONTENT}, version, position, removed_at,
           CASE WHEN {IS_LISTED} THEN greatest(fetched_at, synced_at) ELSE fetched_at END AS fetched_at,
           generation AS list_version
      FROM products
     CROSS JOIN product_list
"""  # noqa: S608 — the parts are constants of this module


@dataclass(frozen=True, slots=True)
class CopiedProduct:
    """A row of the copy. `fetched_at` is when the catalog last confirmed it, by its list too.

    `list_version` is the list's (product_copy.Listing) when the row was read or written; 0 in pages.
    """

    product_id: str
    title: str
    price: Decimal
    currency: str | None
    description: str
    category: str
    image: str
    review_rate: Decimal | None
    review_count: int | None
    sort_key: str
    version: int
    position: int
    fetched_at: datetime
    removed_at: datetime | None
    changed: bool = False  # by the statement that returned it, in what customers see
    list_version: int = 0

    @property
    def is_listed(self) -> bool:
        """Whether a list has shown it, and none has dropped it since."""
        return self.position != UNLISTED and self.removed_at is None

    def as_product(self) -> Product:
        """The product as the API shows it."""
        return Product(
            product_id=self.product_id,
            title=self.title,
            price=self.price,
            currency=self.currency,
            description=self.description,
            category=self.category,
            image=self.image,
            review=None
            if self.review_rate is None or self.review_count is None
            else Review(rate=self.review_rate, count=self.review_count),
        )

    def as_json(self) -> str:
        """The JSON of `as_product`: a poll needs that of every product, and models take ten times as long."""
        currency = "null" if self.currency is None else _quoted(self.currency)
        review = "null"
        if self.review_rate is not None and self.review_count is not None:
            review = f'{{"rate":{self.review_rate},"count":{self.review_count}}}'
        return (
            f'{{"product_id":{_quoted(self.product_id)},"title":{_quoted(self.title)},"price":{self.price},'
            f'"currency":{currency},"description":{_quoted(self.description)},'
            f'"category":{_quoted(self.category)},"image":{_quoted(self.image)},"review":{review}}}'
        )


def shown(product: CatalogProduct) -> Product:
    """A product that was not copied, as the API shows it."""
    return Product(
        **product.model_dump(exclude={"rating"}),
        review=Review(rate=product.rating.rate, count=product.rating.count) if product.rating else None,
    )


def find(product_id: str) -> CopiedProduct | None:
    """The product's row, tombstones included; None where there never was one. Raises DatabaseUnavailable."""
    return database.fetch_one(
        CopiedProduct,
        f"{_SELECT} WHERE product_id = %(product_id)s",
        {"product_id": product_id},
        idempotent=True,
    )


def find_all(product_ids: Sequence[str]) -> list[CopiedProduct]:
    """The rows that there are of these products, tombstones included. Raises DatabaseUnavailable."""
    return database.fetch_all(
        CopiedProduct,
        f"{_SELECT} WHERE product_id = ANY (%(product_ids)s)",
        {"product_ids": list(product_ids)},
        idempotent=True,
    )
