"""What goes in and out over HTTP about favorites."""

from __future__ import annotations

import re
from datetime import MINYEAR, UTC, datetime
from decimal import Decimal
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from shared.errors import CatalogUnavailable, FavoritesFull, ImpossibleAlert, UnknownProduct
from shared.favorites.limits import MAX_CHANGES, MAX_FAVORITES
from shared.formats.names import checked_name, name_field
from shared.models import Input, Model, NextCursor, Page, example
from shared.products.models import Currency, Image, Price, ProductId, Review, Title


def _json_number(value: object) -> object:
    if isinstance(value, str | bool):
        raise PydanticCustomError("number", "is no number")
    return value


def _json_true(value: object) -> object:
    if value is not True and value is not None:
        raise PydanticCustomError("literal_error", "is not true")
    return value


class NewFavorite(Input):
    """The product to mark as a favorite."""

    product_id: ProductId


class Alert(Input):
    """When the client is notified of the product: exactly one of three conditions."""

    model_config = example({"price_at_or_below": 9.9, "currency": "BRL"})

    price_at_or_below: Annotated[
        Annotated[Decimal, Field(ge=0, max_digits=16, decimal_places=4)] | None,
        BeforeValidator(_json_number),
        Field(description="It fires once the price is this or less."),
        WithJsonSchema({"type": "number", "minimum": 0}),
    ] = None
    currency: Annotated[
        str | None,
        Field(
            pattern="^[A-Z]{3}$",
            description="Of `price_at_or_below` (ISO 4217): that of the product, which is the default.",
        ),
    ] = None
    percent_off: Annotated[
        Annotated[int, Field(ge=1, le=99, strict=True)] | None,
        Field(description="It fires once the price is so much less than `price_when_favorited`."),
    ] = None
    available_again: Annotated[
        Literal[True] | None,
        BeforeValidator(_json_true),
        Field(description="It fires once the catalog has the product again."),
    ] = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = (self.price_at_or_below, self.percent_off, self.available_again)
        if sum(value is not None for value in given) != 1:
            raise PydanticCustomError(
                "alert", "has exactly one of price_at_or_below, percent_off and available_again"
            )
        if self.currency is not None and self.price_at_or_below is None:
            raise PydanticCustomError("alert", "has a currency with price_at_or_below only")
        return self


class FavoriteUpdate(Input):
    """What of a favorite changes (RFC 7396 merge patch): the alert as a whole; null takes it away."""

    alert: Alert | None = Field(default_factory=lambda: None)


Available = Annotated[bool, Field(description="False when the catalog no longer has the product.")]


class _ListedProduct(Model):
    """What every list of favorites shows of a product."""

    product_id: ProductId
    title: Title
    image: Image
    category: Annotated[str, Field(examples=["kitchen"])]
    price: Price
    currency: Currency


class Favorite(_ListedProduct):
    """A product that a client marked, as the service knows it now."""

    review: Review | None
    available: Available
    price_when_favorited: Annotated[Price, Field(examples=[24.8])]
    price_change: Annotated[
        Decimal | None,
        Field(
            description="`price` minus `price_when_favorited`: negative when the product costs less now; "
            "null when its currency is another one now."
        ),
        WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "null"}], "examples": [-2.5]}),
    ]
    alert: Annotated[Alert | None, Field(description="When the client is notified of the product.")]
    favorited_at: datetime


Count = Annotated[
    int,
    Field(
        ge=0, description="How many favorites the client has in all, whatever was asked for.", examples=[37]
    ),
]


class FavoritePage(Page[Favorite]):
    """A part of the caller's favorites."""

    count: Count


class FavoriteIds(Model):
    """Products that are favorites of the caller, without what they are."""

    product_ids: list[ProductId]
    next_cursor: NextCursor
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


def _past(moment: datetime | None) -> datetime | None:
    """The time in UTC; None, which is now, for one ahead of our clock: clocks of browsers are."""
    if moment is None:
        return None
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:  # on the first or the last day that there is, east or west of UTC
        moment = datetime(MINYEAR, 1, 1, tzinfo=UTC) if moment.year == MINYEAR else None
    return moment if moment and moment < datetime.now(UTC) else None


# Any text: a guest's list with one id that no product can have is merged without it.
GivenId = Annotated[str, Field(description="The catalog's id of a product.", examples=["7"])]


class Mark(Input):
    """A product to mark; `favorited_at` is when a guest did, where that was before the log-in."""

    product_id: GivenId
    favorited_at: Annotated[
        AwareDatetime | None,
        BeforeValidator(_rfc_3339),
        AfterValidator(_past),
        Field(
            description="RFC 3339 with an offset. A time ahead is taken as now. Without it, the products of "
            "the request count as marked now, one after the other."
        ),
    ] = None
    alert: Annotated[
        Alert | None, Field(description="Set, also where the product is a favorite already.")
    ] = None


class FavoriteChanges(Input):
    """Products to mark and to unmark: together 1 to 100, none of them in both lists."""

    model_config = example(
        {
            "add": [{"product_id": "7", "favorited_at": "2026-11-20T18:30:00-03:00"}, {"product_id": "12"}],
            "remove": ["40"],
        }
    )

    add: Annotated[list[Mark], Field(max_length=MAX_CHANGES, default_factory=list)]
    remove: Annotated[list[GivenId], Field(max_length=MAX_CHANGES, default_factory=list)]


REFUSALS = (UnknownProduct, CatalogUnavailable, FavoritesFull)


class Refused(Model):
    """A product that was not marked, and why."""

    product_id: GivenId
    type: Annotated[
        str,
        Field(description="The problem's type, as where one product is marked alone."),
        WithJsonSchema({"type": "string", "enum": [error.type_uri() for error in REFUSALS]}),
    ]


class RefusedAlert(Model):
    """A product whose alert could not fire and was not set."""

    product_id: ProductId
    type: Annotated[str, WithJsonSchema({"type": "string", "enum": [ImpossibleAlert.type_uri()]})]


class ChangedFavorites(Model):
    """What became of each product of the request: it is in exactly one of the lists, in the order asked."""

    model_config = example(
        {
            "added": ["7"],
            "already": [],
            "removed": ["40"],
            "absent": [],
            "refused": [{"product_id": "12", "type": UnknownProduct.type_uri()}],
            "alerts_refused": [],
            "count": 37,
        }
    )

    added: list[ProductId]
    already: Annotated[
        list[ProductId], Field(description="These were favorites before; their date and price stay.")
    ]
    removed: list[ProductId]
    absent: Annotated[list[GivenId], Field(description="These were to be unmarked, and were not favorites.")]
    refused: list[Refused]
    alerts_refused: Annotated[
        list[RefusedAlert], Field(description="Of products in the other lists: marked, without an alert.")
    ]
    count: Annotated[int, Field(ge=0, description="How many favorites the client has now.", examples=[37])]


# ── Shared lists ──────────────────────────────────────────────────────────────────────────────────────────


def _future(moment: datetime | None) -> datetime | None:
    """The time in UTC. Raises ValueError for one that has passed."""
    if moment is None:
        return None
    try:
        moment = moment.astimezone(UTC)
    except OverflowError as error:  # on the first or the last day that there is, east or west of UTC
        raise ValueError("is no time between now and the year 9999") from error
    if moment <= datetime.now(UTC):
        raise ValueError("has passed")
    return moment


ListTitle = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(checked_name),
    name_field(100, "Birthday"),
]


class NewShare(Input):
    """A list to share: what is left out has its default."""

    model_config = example({"title": "Birthday", "expires_at": "2099-01-31T00:00:00Z"})

    title: ListTitle | None = None
    expires_at: Annotated[
        AwareDatetime | None,
        BeforeValidator(_rfc_3339),
        AfterValidator(_future),
        Field(
            description="RFC 3339 with an offset, in the future. Without it the share ends after 90 days; "
            "with null it has no end."
        ),
    ] = None


class Share(Model):
    """A link under which anybody reads the client's favorites."""

    share_id: UUID
    title: Annotated[str | None, Field(examples=["Birthday"])]
    token: Annotated[
        str, Field(description="Who has it reads the list.", examples=["kJ3vQy0b1nZ8xT5rWm2LhA"])
    ]
    path: Annotated[
        str,
        Field(description="Of the list, in this API.", examples=["/shared-favorites/kJ3vQy0b1nZ8xT5rWm2LhA"]),
    ]
    created_at: datetime
    expires_at: Annotated[datetime | None, Field(description="Null where it has no end.")]


class Shares(Model):
    """The client's shares that have not ended, newest first; one page holds them all."""

    items: list[Share]
    max: Annotated[int, Field(description="How many shares a client may have.", examples=[20])]


class SharedProduct(_ListedProduct):
    """A product of a shared list."""

    available: Available


class SharedFavorites(Model):
    """A part of a shared list, newest favorite first."""

    title: Annotated[str | None, Field(examples=["Birthday"])]
    items: list[SharedProduct]
    next_cursor: NextCursor
