"""How the configured catalog is asked, and how its items become those of the Fake Store contract.

Without CATALOG_MAPPING the catalog answers as the Fake Store API does, and items are taken as they are. Else
the setting names a preset or holds a JSON object; docs/catalogs.md explains both. The expressions are
JMESPath (https://jmespath.org), by the library that boto3 and Powertools use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from shared.platform import settings

if TYPE_CHECKING:
    from jmespath.parser import ParsedResult

Json = Any

FIELDS = ("product_id", "title", "price", "currency", "description", "category", "image", "rate", "count")
_WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
STYLES = ("none", "link", "page", "offset")


@dataclass(frozen=True)
class Paging:
    """How the list is divided: `link` follows RFC 8288; `page` counts pages from `first`, `offset` items.

    `parameter` is the name of that number in the query, `size_parameter` that of the page's `size` in items.
    `total` is where the answer tells how many items there are: a JMESPath expression, or `header:NAME`.
    """

    style: str = "none"
    parameter: str = ""
    size_parameter: str = ""
    size: int = 100
    first: int = 1
    total: str = ""


@dataclass(frozen=True)
class Contract:
    """The addresses and the shape of a catalog. Paths are relative to CATALOG_URL."""

    list_path: str = "/products"
    product_path: str = "/products/{product_id}"
    query: Mapping[str, str] = field(default_factory=dict)
    items: ParsedResult | None = None
    item: ParsedResult | None = None
    fields: Mapping[str, ParsedResult] | None = None
    paging: Paging = Paging()
    currency: str | None = None

    def may_have(self, product_id: str) -> bool:
        """Whether the catalog can answer for that id alone; the Fake Store has no ids but whole numbers."""
        return self.fields is not None or _WHOLE_NUMBER.fullmatch(product_id) is not None

    @property
    def is_plain(self) -> bool:
        """Whether the list is an array of items that are taken as they are."""
        return self.fields is None

    def list_url(self, **parameters: object) -> str:
        """The address of the list, with the parameters of a page."""
        return _with_query(settings.catalog_url() + self.list_path, {**self.query, **parameters})

    def product_url(self, product_id: str) -> str:
        """The address of a product. The id is percent-encoded already (catalog.models.product_id_of)."""
        path = self.product_path.replace("{product_id}", product_id)
        return _with_query(settings.catalog_url() + path, self.query)

    def one(self, answer: Json) -> Json:
        """The item of an answer for one product; None where it has none."""
        if self.item is not None:
            answer = self.item.search(answer)
        return None if answer is None else self.mapped(answer)

    def mapped(self, item: Json) -> Json:
        """The item in the Fake Store's form, its currency from CATALOG_CURRENCY where it has none."""
        if self.fields is None:
            if self.currency and isinstance(item, dict) and item.get("currency") is None:
                return item | {"currency": self.currency}
            return item
        found = {name: _searched(expression, item) for name, expression in self.fields.items()}
        currency = found.get("currency")
        return {
            "id": found.get("product_id"),
            "title": found.get("title"),
            "price": found.get("price"),
            "currency": currency.upper() if isinstance(currency, str) else self.currency,
            "description": found.get("description"),
            "category": found.get("category"),
            "image": found.get("image"),
            "rating": {"rate": found.get("rate"), "count": found.get("count")},
        }


def _searched(expression: ParsedResult, item: Json) -> Json:
    from jmespath.exceptions import JMESPathError

    try:
        found = expression.search(item)
        return Decimal(repr(found)) if isinstance(found, float) else found  # of to_number and the like
    except JMESPathError:  # a function that does not take what this item has there: the item is refused
        return None


def _with_query(url: str, query: Mapping[str, object]) -> str:
    if not query:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"


PRESETS: dict[str, dict[str, Any]] = {
    "dummyjson": {
        "items": "products",
        "product_id": "id",
        "title": "title",
        "price": "price",
        "description": "description",
        "category": "category",
        "image": "thumbnail",
        "rate": "rating",
        "count": "length(reviews || `[]`)",
        "paging": {
            "style": "offset",
            "parameter": "skip",
            "size_parameter": "limit",
            "size": 100,
            "total": "total",
        },
    },
    "woocommerce": {
        "list": "/wp-json/wc/v3/products",
        "product": "/wp-json/wc/v3/products/{product_id}",
        "query": {"status": "publish"},
        "items": "@",
        "product_id": "id",
        "title": "name",
        "price": "price",
        "description": "short_description",
        "category": "categories[0].name",
        "image": "images[0].src",
        "rate": "average_rating",
        "count": "rating_count",
        "paging": {
            "style": "page",
            "parameter": "page",
            "size_parameter": "per_page",
            "size": 100,
            "total": "header:X-WP-Total",
        },
    },
    "medusa": {
        "list": "/store/products",
        "product": "/store/products/{product_id}",
        "query": {"fields": "*variants.calculated_price,*categories"},
        "items": "products",
        "item": "product",
        "product_id": "id",
        "title": "title",
        "price": "min(variants[].calculated_price.calculated_amount)",
        "currency": "variants[0].calculated_price.currency_code",
        "description": "description",
        "category": "categories[0].name",
        "image": "thumbnail",
        "paging": {
            "style": "offset",
            "parameter": "offset",
            "size_parameter": "limit",
            "size": 100,
            "total": "count",
        },
    },
}


def current() -> Contract:
    """The contract of the configured catalog. Raises settings.MissingSetting for a mapping that is none."""
    return parse(settings.catalog_mapping(), settings.catalog_currency())


@lru_cache(maxsize=4)
def parse(text: str, currency: str | None = None) -> Contract:
    """The contract that a CATALOG_MAPPING describes. Raises settings.MissingSetting."""
    if text in ("", "fake-store"):
        return Contract(currency=currency)
    if not text.lstrip().startswith("{"):
        return _contract(_preset(text), currency)
    try:
        given = json.loads(text)
    except ValueError as error:
        raise _wrong(f"is no JSON object: {error}") from error
    preset = given.pop("preset", None)
    return _contract({**_preset(preset), **given} if preset is not None else given, currency)


def _preset(name: object) -> dict[str, Any]:
    if not isinstance(name, str) or name not in PRESETS:
        raise _wrong(f"names the preset {name!r}; there are fake-store, {', '.join(PRESETS)}")
    return PRESETS[name]


def _contract(given: Mapping[str, Any], currency: str | None) -> Contract:
    known = {"list", "product", "query", "items", "item", "paging", *FIELDS}
    if unknown := sorted(given.keys() - known):
        raise _wrong(f"has {unknown[0]!r}; known are {', '.join(sorted(known))}")
    for name in ("product_id", "title", "price"):
        if name not in given:
            raise _wrong(f"has no expression for {name!r}")
    product_path = _text(given, "product", "/products/{product_id}")
    if "{product_id}" not in product_path:
        raise _wrong("has a 'product' without {product_id} in it")
    query = given.get("query", {})
    if not isinstance(query, dict) or not all(isinstance(value, str) for value in query.values()):
        raise _wrong("has a 'query' that is no object of texts")
    return Contract(
        list_path=_text(given, "list", "/products"),
        product_path=product_path,
        query=query,
        items=_compiled("items", given.get("items", "@")),
        item=_compiled("item", given.get("item", "@")),
        fields={name: _compiled(name, given[name]) for name in FIELDS if given.get(name) is not None},
        paging=_paging(given.get("paging", {})),
        currency=currency,
    )


def _paging(given: object) -> Paging:
    if not isinstance(given, dict) or given.keys() - Paging.__dataclass_fields__.keys():
        raise _wrong(f"has a 'paging' that is no object of {', '.join(Paging.__dataclass_fields__)}")
    paging = Paging(**given)
    if paging.style not in STYLES:
        raise _wrong(f"has the paging style {paging.style!r}; there are {', '.join(STYLES)}")
    if paging.style in ("page", "offset") and not paging.parameter:
        raise _wrong(f"has paging by {paging.style} without the name of its 'parameter'")
    if not isinstance(paging.size, int) or not 1 <= paging.size <= 10_000:
        raise _wrong("has a paging 'size' that is no number from 1 to 10000")
    if paging.total and not paging.total.startswith("header:"):
        _compiled("total", paging.total)
    return paging


def total_of(paging: Paging, answer: Json, headers: Mapping[str, str]) -> int | None:
    """How many items the catalog says that it has; None where it does not say."""
    if not paging.total:
        return None
    kind, _, name = paging.total.partition(":")
    found = headers.get(name.lower()) if kind == "header" else _compiled("total", paging.total).search(answer)
    if isinstance(found, str) and found.isascii() and found.isdigit():
        return int(found[:12])
    return found if isinstance(found, int) and not isinstance(found, bool) else None


@lru_cache(maxsize=64)
def _compiled(name: str, expression: object) -> ParsedResult:
    import jmespath  # only a mapped catalog needs it
    from jmespath import functions
    from jmespath.exceptions import JMESPathError

    # Prices are read as Decimal, which JMESPath's functions (min, abs, …) would not take for a number.
    functions.TYPES_MAP["Decimal"] = "number"
    functions.REVERSE_TYPES_MAP["number"] = ("float", "int", "Decimal")

    if not isinstance(expression, str):
        raise _wrong(f"has an expression for {name!r} that is no text")
    try:
        return jmespath.compile(expression)
    except JMESPathError as error:
        first_line = str(error).partition("\n")[0]
        raise _wrong(f"has an invalid expression for {name!r}: {expression!r} ({first_line})") from error


def _text(given: Mapping[str, Any], name: str, default: str) -> str:
    value = given.get(name, default)
    if not isinstance(value, str) or not value.startswith("/"):
        raise _wrong(f"has a {name!r} that is no path: it begins with a slash")
    return value


def _wrong(what: str) -> settings.MissingSetting:
    return settings.MissingSetting(f"CATALOG_MAPPING {what}")
