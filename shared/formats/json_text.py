"""JSON output with exact decimals: a price is never converted to a binary float."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar
from uuid import UUID

import simplejson
from pydantic import BaseModel

from shared.formats.etags import etag_of

Model = TypeVar("Model")


@dataclass(frozen=True, slots=True)
class Rendered(Generic[Model]):
    """The JSON text of a model; the model itself need not exist."""

    text: str

    @property
    def etag(self) -> str:
        """The text's strong entity tag (RFC 9110 §8.8.3)."""
        return etag_of(self.text)


def rendered(value: Model | Rendered[Model]) -> Rendered[Model]:
    """The value as JSON; a rendered value is returned unchanged."""
    return value if isinstance(value, Rendered) else Rendered(dumps(value))


def dumps(value: Any) -> str:
    """The value as compact JSON: decimals exact, times in RFC 3339 UTC, models by their fields."""
    if isinstance(value, Rendered):
        return value.text
    return simplejson.dumps(
        value, use_decimal=True, default=_plain, ensure_ascii=False, separators=(",", ":")
    )


def timestamp(moment: datetime) -> str:
    """An aware time as RFC 3339 UTC, to the microsecond: `2026-11-23T12:00:00.000001Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def plain_decimal(value: Decimal) -> Decimal:
    """The same number without an exponent, like PostgreSQL's numeric (1E+2 becomes 100)."""
    return Decimal(f"{value:f}")
