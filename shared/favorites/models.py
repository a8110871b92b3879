"""What goes in and out over HTTP about favorites."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from shared.favorites.limits import MAX_CHANGES, MAX_FAVORITES, OLDEST_MARK
from shared.models import Input, Model, Page
from shared.products.models import Price, ProductId, Review


class NewFavorite(Input):
    """The product to mark as a favorite."""

    product_id: ProductId


class Favorite(Model):
    """A product that a client marked, as the service knows it now."""

    product_id: ProductId
    title: str
    image: str
    price: Price
    review: Review | None
    available: Annotated[bool, Field(description="False when the catalog no longer has the product.")]
    price_when_favorited: Price
    price_change: Annotated[
        Decimal,
        Field(description="`price` minus `price_when_favorited`: negative when the product costs less now."),
        WithJsonSchema({"type": "number", "examples": [-2.5]}),
    ]
    favorited_at: datetime


Count = Annotated[
    int, Field(ge=0, description="How many favorites the client has in all, whatever was asked for.")
]


class FavoritePage(Page[Favorite]):
    """A part of the caller's favorites."""

    count: Count


class FavoriteIds(Model):
    """Products that are favorites of the caller, without what they are."""

    product_ids: list[ProductId]
    next_cursor: str | None
    count: Count
    max: Annotated[int, Field(description="How many favorites a client may have.", examples=[MAX_FAVORITES])]


# ── Many at once ──────────────────────────────────────────────────────────────────────────────────────────


# RFC 3339 §5.6; pydantic alone takes numbers and half dates too.
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def _rfc_3339(value: object) -> object:
    if isinstance(value, datetime) or value is None:
        return value
    if isinstance(value, str) and _RFC_3339.fullmatch(value):
        return value
    raise PydanticCustomError("rfc_3339", "is no RFC 3339 time with an offset")


def _recent(moment: datetime | None) -> datetime | None:
    now = datetime.now(UTC)
    if moment is None:
        return None
    if moment > now:
        raise PydanticCustomError("ahead", "may not lie ahead")
    if moment < now - OLDEST_MARK:
        raise PydanticCustomError("too_old", "may lie {days} days back", {"days": OLDEST_MARK.days})
    return moment


class Mark(Input):
    """A product to mark; `favorited_at` is when a guest did, where that was before the log-in."""

    product_id: ProductId
    favorited_at: Annotated[
        AwareDatetime | None,
        BeforeValidator(_rfc_3339),
        AfterValidator(_recent),
        Field(description=f"RFC 3339 with an offset; up to {OLDEST_MARK.days} days back, and not ahead."),
    ] = None


class FavoriteChanges(Input):
    """Products to mark and to unmark: together 1 to 100, none of them twice."""

    add: Annotated[list[Mark], Field(max_length=MAX_CHANGES, default_factory=list)]
    remove: Annotated[list[ProductId], Field(max_length=MAX_CHANGES, default_factory=list)]


class Refused(Model):
    """A product that was not marked, and why."""

    product_id: ProductId
    type: Annotated[
        Literal["/problems/unknown-product", "/problems/catalog-unavailable", "/problems/favorites-full"],
        Field(description="The problem's type, as where one product is marked alone."),
    ]


class ChangedFavorites(Model):
    """What became of each product of the request: it is in exactly one of the lists, in the order asked."""

    added: list[ProductId]
    already: Annotated[
        list[ProductId], Field(description="These were favorites before; their date and price stay.")
    ]
    removed: list[ProductId]
    absent: Annotated[
        list[ProductId], Field(description="These were to be unmarked, and were not favorites.")
    ]
    refused: list[Refused]
    count: Annotated[int, Field(ge=0, description="How many favorites the client has now.")]
