"""Types of parameters that several routes have."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from aws_lambda_powertools.event_handler.openapi.params import Path, Query

from shared.formats.ids import PRODUCT_ID
from shared.models import NO_NUL

__all__ = ["NO_NUL", "ClientRef", "Cursor", "Limit", "ProductRef", "Query"]

ClientRef = Annotated[
    Literal["me"] | UUID, Path(description="A client's id, or `me` for the caller's own.", examples=["me"])
]
ProductRef = Annotated[str, Path(pattern=PRODUCT_ID, description="The catalog's id.", examples=["7"])]
Limit = Annotated[int, Query(ge=1, le=100, description="The largest number of items on a page.")]
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
