"""The shapes that go in and out over HTTP."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

from shared.emails import checked_email
from shared.passwords import checked_password

Item = TypeVar("Item")

Role = Literal["client", "admin"]


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("may not contain the NUL character")  # PostgreSQL cannot store it
    return text


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_without_nul),
    Field(description="1 to 200 characters after trimming.", examples=["Ana Souza"]),
]
Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=254),
    AfterValidator(checked_email),
    Field(
        description="Unique among the clients without regard to case.",
        examples=["ana@example.com"],
        json_schema_extra={"format": "email"},
    ),
]
NewPassword = Annotated[
    str,
    StringConstraints(min_length=8, max_length=128),
    AfterValidator(checked_password),
    Field(
        description="8 to 128 characters of any kind; the most common passwords are refused.",
        examples=["correct horse battery"],
        json_schema_extra={"format": "password"},
    ),
]
Password = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128),
    Field(examples=["correct horse battery"], json_schema_extra={"format": "password"}),
]
ProductId = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9._~-]{1,64}$"),
    Field(description="The catalogue's id, as a string.", examples=["7"]),
]
OpaqueToken = Annotated[str, StringConstraints(min_length=1, max_length=512)]


class Model(BaseModel):
    """A shape, compiled when the first value is checked with it: a function checks one or two of them."""

    model_config = ConfigDict(defer_build=True)


class Input(Model):
    """A request's body: nothing unknown is let pass in silence, so a misspelt field is told and not lost."""

    model_config = ConfigDict(extra="forbid")


# ── Clients ───────────────────────────────────────────────────────────────────────────────────────────────


class NewClient(Input):
    """Who wants to be a client."""

    name: Name
    email: Email
    password: NewPassword


class ClientChanges(Input):
    """What of a client changes (RFC 7396 merge patch): fields that are left out stay as they are.

    Changing one's own password takes the current one too.
    """

    # The default stands for "left out" (a factory keeps it out of the schema); null is no value of any field.
    name: Name = Field(default_factory=str)
    email: Email = Field(default_factory=str)
    password: NewPassword = Field(default_factory=str)
    current_password: Password = Field(default_factory=str)


class Client(Model):
    """Somebody who keeps favourites, or administers the service."""

    client_id: UUID
    name: Annotated[str, Field(examples=["Ana Souza"])]
    email: Annotated[str, Field(examples=["ana@example.com"])]
    role: Role
    created_at: datetime
    updated_at: datetime


# ── Log-in ────────────────────────────────────────────────────────────────────────────────────────────────


class Credentials(Input):
    """What a client logs in with."""

    email: Annotated[
        str,
        StringConstraints(max_length=254),
        AfterValidator(_without_nul),
        Field(examples=["ana@example.com"]),
    ]
    password: Password


class RefreshTokenInput(Input):
    """The refresh token that a log-in or the last refresh gave."""

    refresh_token: OpaqueToken


class Tokens(Model):
    """An access token (RFC 9068) for `expires_in` seconds, and a refresh token that works once."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 — the scheme's name (RFC 6750), no secret
    expires_in: Annotated[int, Field(description="Seconds.", examples=[900])]
    refresh_token: str


# ── Products and favorites ────────────────────────────────────────────────────────────────────────────────


class Review(Model):
    """What buyers made of a product."""

    rate: Annotated[Decimal, WithJsonSchema({"type": "number", "examples": [4.6]})]
    count: Annotated[int, Field(examples=[120])]


Price = Annotated[
    Decimal,
    Field(description="The catalogue's exact decimals."),
    WithJsonSchema({"type": "number", "examples": [22.3]}),
]


class Product(Model):
    """A product of the catalogue."""

    product_id: ProductId
    title: str
    price: Price
    description: str
    category: str
    image: str
    review: Review | None


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


# ── Pages, errors, health ─────────────────────────────────────────────────────────────────────────────────


class Page(Model, Generic[Item]):
    """A part of a list; `next_cursor` leads to what follows and is null on the last page."""

    items: list[Item]
    next_cursor: str | None


class InputError(Model):
    """What is wrong with one value of the request."""

    location: Annotated[str, Field(examples=["body.email"])]
    message: str
    type: str


class Problem(Model):
    """Why a request was refused (RFC 9457)."""

    type: Annotated[str, Field(description="A stable relative URI.", examples=["/problems/email-taken"])]
    title: str
    status: int
    detail: str
    request_id: str
    errors: Annotated[list[InputError] | None, Field(default=None, description="With status 422.")]


class ServiceHealth(Model):
    """How one backing service is."""

    state: Literal["up", "down"]
    milliseconds: Annotated[float, Field(description="How long its answer took.")]


class Health(Model):
    """The service's own state and that of what it stands on."""

    status: Annotated[
        Literal["ok", "degraded", "down"],
        Field(description="`degraded`: answers are served, from copies or without the cache."),
    ]
    database: ServiceHealth
    cache: ServiceHealth
    catalog: ServiceHealth
