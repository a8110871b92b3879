"""What goes out over HTTP about products."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field, StringConstraints, WithJsonSchema

from shared.formats.ids import PRODUCT_ID
from shared.models import Model

ProductId = Annotated[
    str,
    StringConstraints(pattern=PRODUCT_ID),
    Field(description="The catalog's id, as a string.", examples=["7"]),
]


class Review(Model):
    """What buyers made of a product."""

    rate: Annotated[Decimal, WithJsonSchema({"type": "number", "examples": [4.6]})]
    count: Annotated[int, Field(examples=[120])]


Price = Annotated[
    Decimal,
    Field(description="The catalog's exact decimals."),
    WithJsonSchema({"type": "number", "examples": [22.3]}),
]


Title = Annotated[str, Field(examples=["Silicone Baking Mat, Pack of 2"])]
Image = Annotated[str, Field(examples=["https://images.example.com/kitchen/baking-mat.webp"])]
Currency = Annotated[
    str | None,
    Field(description="Of the price (ISO 4217); null where the catalog names none.", examples=["BRL"]),
]


class Product(Model):
    """A product of the catalog."""

    product_id: ProductId
    title: Title
    price: Price
    currency: Currency
    description: Annotated[str, Field(examples=["Reusable, non-stick, fits a standard baking tray."])]
    category: Annotated[str, Field(examples=["kitchen"])]
    image: Image
    review: Review | None


class AskedProducts(Model):
    """The products that were asked for by their ids, in that order."""

    items: list[Product]
    missing: Annotated[list[ProductId], Field(description="Those that there are not.")]
