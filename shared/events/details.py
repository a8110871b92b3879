"""The events that go out: the detail of each type.

`events/schemas/` holds their JSON Schemas, made of these models by `make schemas`.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field, WithJsonSchema

Amount = Annotated[Decimal, WithJsonSchema({"type": "number"})]
Version = Annotated[
    int,
    Field(
        ge=0,
        lt=2**53,
        strict=True,
        description="The time of the change in milliseconds since 1970; rises with every change.",
    ),
]


class Detail(BaseModel):
    """Fields of every event of this service; deliveries with the same `event_id` are one event."""

    event_id: UUID


class FavoriteProduct(BaseModel):
    """The product that the event is about."""

    product_id: str
    title: str
    category: str
    image: str


class _FavoriteProductDetail(Detail):
    product: FavoriteProduct
    old_price: Amount
    currency: Annotated[
        str | None, Field(description="Of the prices (ISO 4217); null where it is not known.")
    ]
    version: Version


class FavoriteProductPriceDropped(_FavoriteProductDetail):
    """A product that clients hold costs less now."""

    new_price: Amount


class FavoriteProductPriceRaised(_FavoriteProductDetail):
    """A product that clients hold costs more now."""

    new_price: Amount


class FavoriteProductRemoved(_FavoriteProductDetail):
    """A product that clients hold is no longer in the catalog."""

    new_price: None


class FavoriteProductRestored(_FavoriteProductDetail):
    """A product that clients hold is in the catalog again."""

    new_price: Amount


class AlertRecipient(BaseModel):
    """A client whose alert fires. `threshold` is null where it waited for the product to be available."""

    client_id: UUID
    price_when_favorited: Amount
    threshold: Annotated[Decimal | None, WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "null"}]})]


class FavoriteAlerts(_FavoriteProductDetail):
    """Up to 500 clients' alerts about one change of a product."""

    kind: Literal["price", "available_again"]
    new_price: Amount
    recipients: Annotated[list[AlertRecipient], Field(min_length=1, max_length=500)]


class ClientRegistered(Detail):
    """A client registered. The event has no name and no e-mail."""

    client_id: UUID
    registered_at: datetime


class ClientRemoved(Detail):
    """A client was removed, and with it all of their favorites: these get no event of their own."""

    client_id: UUID
    removed_at: datetime


class FavoriteAdded(Detail):
    """A client marked a product."""

    client_id: UUID
    product_id: str
    price: Amount
    favorited_at: datetime


class FavoriteRemoved(Detail):
    """A client unmarked a product."""

    client_id: UUID
    product_id: str
    removed_at: datetime


OUTGOING: dict[str, type[Detail]] = {
    kind.__name__: kind
    for kind in (
        FavoriteProductPriceDropped,
        FavoriteProductPriceRaised,
        FavoriteProductRemoved,
        FavoriteProductRestored,
        FavoriteAlerts,
        ClientRegistered,
        ClientRemoved,
        FavoriteAdded,
        FavoriteRemoved,
    )
}
