"""The events that come in and go out: EventBridge's envelope and the details of each type.

`events/schemas/` holds their JSON Schemas, made of these models by `make schemas`.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from shared.catalog import CatalogProduct

SOURCE = "favorites"
CATALOG_SOURCE = "catalog"

Amount = Annotated[Decimal, WithJsonSchema({"type": "number"})]
Version = Annotated[
    int,
    Field(
        ge=0,
        lt=2**53,
        strict=True,
        description="Rises with every change of the product: its time in milliseconds since 1970.",
    ),
]

# ── In: what the catalogue tells ──────────────────────────────────────────────────────────────────────────


class ProductChanged(BaseModel):
    """A product came or changed: all of it, as the catalogue's API shows it."""

    version: Version
    product: CatalogProduct


class ProductRemoved(BaseModel):
    """The catalogue no longer has a product."""

    version: Version
    product_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._~-]{1,64}$")]


class CatalogEvent(BaseModel):
    """The envelope that EventBridge delivers (RFC 3339 times, ids of its own)."""

    model_config = ConfigDict(populate_by_name=True)

    source: Literal["catalog"]
    detail_type: Annotated[Literal["ProductChanged", "ProductRemoved"], Field(alias="detail-type")]
    detail: dict[str, Any]

    def opened(self) -> ProductChanged | ProductRemoved:
        """The event itself. Raises pydantic.ValidationError where the detail is not as its type says."""
        if self.detail_type == "ProductChanged":
            return ProductChanged.model_validate(self.detail)
        return ProductRemoved.model_validate(self.detail)


# ── Out: what this service tells ──────────────────────────────────────────────────────────────────────────


class Detail(BaseModel):
    """What every event of this service has; deliveries with the same `event_id` are one event."""

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
    version: Version
    clients: Annotated[int, Field(ge=1, description="How many clients hold it as a favourite.")]


class FavoriteProductPriceDropped(_FavoriteProductDetail):
    """A product that clients hold costs less now."""

    new_price: Amount


class FavoriteProductPriceRaised(_FavoriteProductDetail):
    """A product that clients hold costs more now."""

    new_price: Amount


class FavoriteProductRemoved(_FavoriteProductDetail):
    """A product that clients hold is no longer in the catalogue."""

    new_price: None


class FavoriteProductRestored(_FavoriteProductDetail):
    """A product that clients hold is in the catalogue again."""

    new_price: Amount


class ClientRegistered(Detail):
    """Somebody registered; who they are is told by the API, to those who may know."""

    client_id: UUID
    registered_at: datetime


class ClientRemoved(Detail):
    """A client was removed, and with it all of their favourites: these get no event of their own."""

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


INCOMING: dict[str, type[BaseModel]] = {kind.__name__: kind for kind in (ProductChanged, ProductRemoved)}
OUTGOING: dict[str, type[Detail]] = {
    kind.__name__: kind
    for kind in (
        FavoriteProductPriceDropped,
        FavoriteProductPriceRaised,
        FavoriteProductRemoved,
        FavoriteProductRestored,
        ClientRegistered,
        ClientRemoved,
        FavoriteAdded,
        FavoriteRemoved,
    )
}
