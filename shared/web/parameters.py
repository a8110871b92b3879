"""Types of parameters that several routes have."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from uuid import UUID

from annotated_types import Ge as Ge
from annotated_types import Le as Le
from aws_lambda_powertools.event_handler.openapi.params import Path
from aws_lambda_powertools.event_handler.openapi.params import Query as Query
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from shared.formats.ids import PRODUCT_ID
from shared.limits import MAX_PAGE_SIZE
from shared.limits import MAX_REQUESTED as MAX_REQUESTED
from shared.limits import PAGE_SIZE as PAGE_SIZE
from shared.models import NO_NUL as NO_NUL

_INTEGER = re.compile("-?(0|[1-9][0-9]*)")
_BOOLEANS = {"true": True, "false": False}


def _integer(value: object) -> object:
    if isinstance(value, str) and not _INTEGER.fullmatch(value):
        raise PydanticCustomError("int_parsing", "is not a whole number")
    return value


def _boolean(value: object) -> object:
    if isinstance(value, str) and value not in _BOOLEANS:
        raise PydanticCustomError("bool_parsing", "is neither true nor false")
    return value


# Only JSON's notation. Pydantic alone also accepts `1_0`, `+5`, `5.0`, `yes` and `on`.
PLAIN_INTEGER = BeforeValidator(_integer)
PLAIN_BOOLEAN = BeforeValidator(_boolean)

ClientRef = Annotated[
    Literal["me"] | UUID, Path(description="A client's id, or `me` for the caller's own.", examples=["me"])
]
ProductRef = Annotated[str, Path(pattern=PRODUCT_ID, description="The catalog's id.", examples=["7"])]
ShareRef = Annotated[
    UUID, Path(description="A share's id.", examples=["5f1d0c52-93a5-4f0b-8f3c-1c7f1f0f7a12"])
]
# Any text: a malformed token is answered as an unknown one.
ShareToken = Annotated[str, Path(description="The token of a share.", examples=["kJ3vQy0b1nZ8xT5rWm2LhA"])]
Limit = Annotated[
    int, Ge(1), Le(MAX_PAGE_SIZE), PLAIN_INTEGER, Query(description="The largest number of items on a page.")
]
Cursor = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=6_000,
        description="The `next_cursor` of the page before.",
        # Documentation only: a malformed cursor is rejected like any other invalid cursor.
        json_schema_extra={"pattern": "^[A-Za-z0-9_-]+$"},
    ),
]
