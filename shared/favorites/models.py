"""What goes in and out over HTTP about favorites."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import Field, WithJsonSchema

from shared.models import Input, Model
from shared.products.models import Price, ProductId, Review


class NewFavorite(Input):
    """The product to mark as a favourite."""

    product_id: ProductId


class Favorite(Model):
    """A product that a client marked, as the service knows it now."""

    product_id: ProductId
    title: str
    image: str
    price: Price
    review: Review | None
    available: Annotated[bool, Field(description="False when the catalogue no longer has the product.")]
    price_when_favorited: Price
    price_change: Annotated[
        Decimal,
        Field(description="The price less the price when it was marked: below zero it fell."),
        WithJsonSchema({"type": "number", "examples": [-2.5]}),
    ]
    favorited_at: datetime
