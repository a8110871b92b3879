"""The events that come in from the catalog: EventBridge's envelope and the details of each type.

`events/schemas/` holds their JSON Schemas, made of these models by `make schemas`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from shared.events.details import Version
from shared.formats.ids import PRODUCT_ID
from shared.products.catalog.models import CatalogProduct, product_id_of

CATALOG_SOURCE = "catalog"


class ProductChanged(BaseModel):
    """A product came or changed: all of it, as the catalog's API shows it."""

    version: Version
    product: CatalogProduct


class ProductRemoved(BaseModel):
    """The catalog no longer has a product."""

    version: Version
    product_id: Annotated[str, BeforeValidator(product_id_of), Field(pattern=PRODUCT_ID)]


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


INCOMING: dict[str, type[BaseModel]] = {kind.__name__: kind for kind in (ProductChanged, ProductRemoved)}
