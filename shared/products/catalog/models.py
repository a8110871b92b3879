"""A product of the catalog, checked: nothing that the catalog sends is trusted.

The Fake Store contract is taken as it is; what other catalogs send is brought into its form first
(shared.products.catalog.mapping).
"""

from __future__ import annotations

import json
import re
import unicodedata
from decimal import Decimal
from typing import Annotated, NamedTuple, Self
from urllib.parse import quote

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)

from shared.formats.ids import PRODUCT_ID
from shared.formats.json_text import plain_decimal

# A product's texts, in bytes as Lambda sends them: of 100 products, an answer stays below the 6 MB that it
# lets through.
TEXT_BYTES = 50 * 1024
# The longest title that PostgreSQL can put into an index for sorting (a third of a page of 8 KiB, less the
# other columns), in bytes of UTF-8.
TITLE_BYTES = 2_500
PRICE_DECIMALS = 4

_TEXTS = ("title", "description", "category", "image")

_PLAIN_DECIMAL = re.compile(r"[0-9]{1,15}(\.[0-9]{1,20})?")


def product_id_of(catalog_id: object) -> object:
    """The product_id for an id of the catalog: percent-encoded where a URL's path cannot take it as it is.

    `AB/12` is `AB%2F12`. Decoding it gives the catalog's id again (RFC 3986 §2.1).
    """
    if isinstance(catalog_id, int) and not isinstance(catalog_id, bool):
        return str(catalog_id)
    if isinstance(catalog_id, str):
        return catalog_id if _is_unreserved(catalog_id) else quote(catalog_id, safe="", errors="replace")
    return catalog_id


_is_unreserved = re.compile(r"[A-Za-z0-9._~-]*").fullmatch


def _number(value: object) -> Decimal:
    """The number, without an exponent."""
    if isinstance(value, str) and _PLAIN_DECIMAL.fullmatch(value.strip()):
        number = Decimal(value.strip())
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        number = Decimal(value)
    else:
        raise ValueError("is not a number")
    exponent = number.as_tuple().exponent
    # As many decimals as a catalog's own floats make of a price (0.30000000000000004), and some more.
    # Without an upper limit, writing 1E+400000000 out would take a gigabyte before it is found too high.
    if not isinstance(exponent, int) or not -20 <= exponent <= 12:
        raise ValueError("has more than 20 decimals, or an exponent that no price has")
    return number if -PRICE_DECIMALS <= exponent <= 0 else plain_decimal(number)


def _price(value: object) -> Decimal:
    """The number without the digits that binary arithmetic adds: 0.30000000000000004 is 0.3."""
    number = _number(value)
    if len(f"{number:f}".partition(".")[2]) <= PRICE_DECIMALS:
        return number
    return plain_decimal(round(number, PRICE_DECIMALS).normalize())


def _text_or_nothing(value: object) -> object:
    return "" if value is None else value


def _or_none(value: object, validate: ValidatorFunctionWrapHandler) -> object:
    """An incomplete or invalid rating counts as no rating; the product is still taken."""
    try:
        return validate(value)
    except ValidationError:
        return None


OptionalText = Annotated[str, BeforeValidator(_text_or_nothing)]


class CatalogRating(BaseModel):
    """What the catalog's buyers made of a product."""

    rate: Annotated[
        Decimal,
        BeforeValidator(_number),
        Field(ge=0, lt=1_000),
        WithJsonSchema({"type": "number", "minimum": 0, "exclusiveMaximum": 1_000}),
    ]
    count: Annotated[int, Field(ge=0, lt=2**31, strict=True)]


class ProductFields(NamedTuple):
    """A checked product, as the copy stores it."""

    product_id: str
    title: str
    price: Decimal
    currency: str | None
    description: str
    category: str
    image: str
    review_rate: Decimal | None
    review_count: int | None


class CatalogProduct(BaseModel):
    """A product as the catalog describes it, checked."""

    product_id: Annotated[
        str,
        BeforeValidator(product_id_of),
        StringConstraints(pattern=PRODUCT_ID),
        Field(validation_alias="id"),
        WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}]}),
    ]
    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000)]
    price: Annotated[
        Decimal,
        BeforeValidator(_price),
        Field(ge=0, lt=10**12),
        WithJsonSchema({"type": "number", "minimum": 0, "exclusiveMaximum": 10**12}),
    ]
    currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")] | None = None
    description: Annotated[OptionalText, StringConstraints(strip_whitespace=True, max_length=50_000)] = ""
    category: Annotated[OptionalText, StringConstraints(strip_whitespace=True, max_length=200)] = ""
    image: Annotated[OptionalText, StringConstraints(strip_whitespace=True, max_length=4_000)] = ""
    rating: Annotated[CatalogRating | None, WrapValidator(_or_none)] = None

    @model_validator(mode="after")
    def _storable(self) -> Self:
        if not self.title.isascii():
            self.title = unicodedata.normalize("NFC", self.title)
        if not self.category.isascii():
            self.category = unicodedata.normalize("NFC", self.category)
        if len(self.title) * 4 > TITLE_BYTES and len(self.title.encode()) > TITLE_BYTES:
            raise ValueError(f"has a title of more than {TITLE_BYTES} bytes")
        texts = self.title + self.description + self.category + self.image
        if "\0" in texts:
            field = next(name for name in _TEXTS if "\0" in getattr(self, name))
            raise ValueError(f"{field} contains the NUL character")
        # A character has seven bytes at most: escaped in the body, and again in what the function returns.
        if 7 * len(texts) > TEXT_BYTES and _bytes_sent(texts) > TEXT_BYTES:
            raise ValueError(f"has texts of more than {TEXT_BYTES} bytes")
        return self

    def fields(self) -> ProductFields:
        """The product as the copy stores it."""
        rate, count = (self.rating.rate, self.rating.count) if self.rating else (None, None)
        return ProductFields(
            self.product_id,
            self.title,
            self.price,
            self.currency,
            self.description,
            self.category,
            self.image,
            rate,
            count,
        )


def _bytes_sent(text: str) -> int:
    """The bytes of a text in a response: JSON in the body, and the body as a JSON string for Lambda."""
    return len(json.dumps(json.dumps(text, ensure_ascii=False), ensure_ascii=False).encode())


def reasons(error: ValidationError) -> str:
    """Why a product is refused, for the log."""
    return "; ".join(
        f"{'.'.join(map(str, item['loc']))}: {item['msg'].removeprefix('Value error, ')}"
        for item in error.errors()
    )[:500]
