"""Shapes that several rooms use: models, pages, problems, health."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")

NO_NUL = r"^[^\x00]*$"  # PostgreSQL's text type holds every other character


class Model(BaseModel):
    """A model that pydantic compiles at its first use: a function uses one or two of them."""

    model_config = ConfigDict(defer_build=True)


def example(value: dict[str, Any]) -> ConfigDict:
    """The configuration of a model with an example of its own (tools.openapi)."""
    return ConfigDict(json_schema_extra={"examples": [value]})


class Input(Model):
    """A request's body. Unknown fields are refused, so that misspelled ones are noticed."""

    model_config = ConfigDict(extra="forbid")


NextCursor = Annotated[str | None, Field(examples=["Jn-33LINL6ZbIjMiLCI0Il0"])]


class Page(Model, Generic[Item]):
    """A page of a list; `next_cursor` leads to the next page and is null on the last one."""

    items: list[Item]
    next_cursor: NextCursor


class InputError(Model):
    """An invalid value of the request, and the reason."""

    location: Annotated[str, Field(examples=["body.email"])]
    pointer: Annotated[
        str | None,
        Field(default=None, description="A JSON Pointer into the body (RFC 6901).", examples=["/email"]),
    ]
    parameter: Annotated[str | None, Field(default=None, description="The name of a query parameter.")]
    message: str
    type: str


class Problem(Model):
    """Why a request was refused (RFC 9457)."""

    type: Annotated[str, Field(description="A stable relative URI.", examples=["/problems/email-taken"])]
    title: str
    status: int
    detail: str
    request_id: str
    errors: Annotated[
        list[InputError] | None, Field(default=None, description="With `/problems/invalid-input`.")
    ]
    max: Annotated[
        int | None,
        Field(
            default=None,
            description="With `/problems/favorites-full` and `/problems/shares-full`: how many fit.",
        ),
    ]


class GatewayError(Model):
    """API Gateway's own answer to a request that no function answered; it is no problem of RFC 9457."""

    message: Annotated[str, Field(examples=["Service Unavailable"])]


class ServiceHealth(Model):
    """The state of one backing service."""

    state: Annotated[
        Literal["up", "degraded", "down"],
        Field(description="`degraded`: the catalog answers, but the last poll could not use its list."),
    ]
    milliseconds: Annotated[float, Field(description="The time that its answer took.")]


class Health(Model):
    """The state of the service, its database, its cache and the catalog."""

    status: Annotated[
        Literal["ok", "degraded", "down"],
        Field(description="`degraded`: answers are served, from copies, older ones or without the cache."),
    ]
    database: ServiceHealth
    cache: ServiceHealth
    catalog: ServiceHealth
    polled_at: Annotated[
        datetime | None,
        Field(description="When the catalog's list was last read and used; null if it never was."),
    ]
