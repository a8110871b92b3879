"""The external catalogue (Fake Store API contract), read over HTTP and trusted with nothing.

Whatever it answers becomes a checked product, the news that there is none, or CatalogUnavailable. A circuit
breaker per execution environment leaves a catalogue alone that keeps failing.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar, cast

import urllib3
from pydantic import (
    AliasPath,
    BaseModel,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)

from shared import logs, settings
from shared.errors import CatalogUnavailable
from shared.json_text import plain_decimal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TIMEOUT = 2.0  # seconds from the request to the last byte of the answer
PRODUCT_BYTES = 1024 * 1024  # the longest answer for one product that is read
LIST_BYTES = 16 * 1024 * 1024  # the longest answer for the list that is read
FAILURES_TO_OPEN = 5  # in a row
OPEN_SECONDS = 10.0

Result = TypeVar("Result")


def _text_id(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("is not a number")  # noqa: TRY004 — pydantic reports ValueErrors
    return Decimal(value)


def _text_or_nothing(value: object) -> object:
    return "" if value is None else value


Number = Annotated[Decimal, BeforeValidator(_number)]
OptionalText = Annotated[str, BeforeValidator(_text_or_nothing)]


class CatalogProduct(BaseModel):
    """A product as the catalogue tells of it, checked."""

    product_id: Annotated[
        str,
        BeforeValidator(_text_id),
        StringConstraints(pattern=r"^[A-Za-z0-9._~-]{1,64}$"),
        Field(alias="id"),
    ]
    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000)]
    price: Annotated[Number, Field(ge=0, lt=Decimal(10) ** 12)]
    description: Annotated[OptionalText, StringConstraints(strip_whitespace=True, max_length=50_000)] = ""
    category: Annotated[OptionalText, StringConstraints(strip_whitespace=True, max_length=200)] = ""
    image: Annotated[OptionalText, StringConstraints(strip_whitespace=True, max_length=4_000)] = ""
    rate: Annotated[Number | None, Field(ge=0, lt=1_000, validation_alias=AliasPath("rating", "rate"))] = None
    review_count: Annotated[
        int | None, Field(ge=0, lt=2**31, strict=True, validation_alias=AliasPath("rating", "count"))
    ] = None

    @field_validator("title", "description", "category", "image")
    @classmethod
    def _storable(cls, text: str) -> str:
        if "\0" in text:
            raise ValueError("contains the NUL character")
        return text

    @field_validator("price", "rate")
    @classmethod
    def _plain(cls, number: Decimal | None) -> Decimal | None:
        if number is None:
            return None
        exponent = number.as_tuple().exponent
        if not isinstance(exponent, int) or exponent < -6:
            raise ValueError("has more than 6 decimals")
        return plain_decimal(number)


@dataclass(frozen=True, slots=True)
class CatalogList:
    """The whole catalogue in its own order, as it was when the request began.

    `version` is that moment in milliseconds since the epoch; `refused` are the ids of products that were
    there and did not pass the check.
    """

    version: int
    products: Sequence[CatalogProduct]
    refused: frozenset[str]


def fetch_product(product_id: str) -> CatalogProduct | None:
    """The product as the catalogue has it now, or None where it has none.

    Waits `TIMEOUT` seconds at most. Raises CatalogUnavailable.
    """
    answer = _fetch(f"/products/{product_id}", at_most=PRODUCT_BYTES, unknown_statuses=(404, 410))
    if not answer.strip():  # an unknown id is an empty body, …
        return None
    value = _parse(answer)
    if value is None:  # … or null
        return None
    try:
        product = CatalogProduct.model_validate(value)
    except ValidationError as error:
        _refuse(f"its product {product_id} fails the check: {_reasons(error)}")
    if product.product_id != product_id:
        _refuse(f"asked for product {product_id}, it answered with {product.product_id}")
    return product


def fetch_all() -> CatalogList:
    """The catalogue's list. Raises CatalogUnavailable.

    A few bad products are left out and logged; a list that is mostly bad is no list.
    """
    version = now_version()
    value = _parse(_fetch("/products", at_most=LIST_BYTES))
    if not isinstance(value, list):
        _refuse("its list is not a list")
    products: dict[str, CatalogProduct] = {}
    refused: dict[str, str] = {}
    for item in value:
        try:
            product = CatalogProduct.model_validate(item)
        except ValidationError as error:
            name = str(item.get("id", "?"))[:64] if isinstance(item, dict) else "?"
            refused[name] = _reasons(error)
        else:
            products.setdefault(product.product_id, product)
    if refused:
        logs.logger().warning("catalog products refused", products=dict(list(refused.items())[:20]))
    if len(refused) > len(products):
        _refuse("most products of its list fail the check")
    return CatalogList(version, list(products.values()), frozenset(refused) - products.keys())


def now_version() -> int:
    """This moment as a product version: milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


# ── One request ───────────────────────────────────────────────────────────────────────────────────────────


class _Breaker:
    """Open for `OPEN_SECONDS` after `FAILURES_TO_OPEN` failures in a row; then one request tries again."""

    def __init__(self) -> None:
        self.failures = 0
        self.open_until = 0.0

    def check(self) -> None:
        left = self.open_until - time.monotonic()
        if left > 0:
            raise CatalogUnavailable("The catalogue is not answering.", retry_after=int(left) + 1)

    def failed(self) -> None:
        self.failures += 1
        if self.failures >= FAILURES_TO_OPEN:
            self.open_until = time.monotonic() + OPEN_SECONDS

    def succeeded(self) -> None:
        self.failures = 0


_breaker = _Breaker()


def reset() -> None:
    """Forget connections and failures."""
    _pool.cache_clear()
    _breaker.__init__()  # type: ignore[misc]


@cache
def _pool() -> urllib3.PoolManager:
    return urllib3.PoolManager(
        retries=False,  # nor redirects: an address that nobody configured is not asked
        headers={
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "favorites-service",
        },
    )


def _fetch(path: str, *, at_most: int, unknown_statuses: tuple[int, ...] = ()) -> bytes:
    """The body of a 200, or nothing for a status that means there is nothing."""
    _breaker.check()
    try:
        status, body = _within(TIMEOUT, lambda: _request(path, at_most))
    except (urllib3.exceptions.HTTPError, OSError) as error:
        _fail(f"it did not answer: {type(error).__name__}")
    if status in unknown_statuses:
        _breaker.succeeded()
        return b""
    if status != 200:
        _fail(f"it answered with status {status}")
    return body


def _request(path: str, at_most: int) -> tuple[int, bytes]:
    """The answer's status, and the body of a 200."""
    deadline = time.monotonic() + TIMEOUT
    response = _pool().request(
        "GET", settings.catalog_url() + path, timeout=TIMEOUT, preload_content=False, redirect=False
    )
    body = bytearray()
    try:
        if response.status != 200:
            return response.status, b""
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise OSError("an encoding that was not asked for")
        # Not by read(): it would wait for bytes that trickle in one by one, long after anybody listens.
        while chunk := response.read1(65_536):
            body += chunk
            if len(body) > at_most or time.monotonic() > deadline:
                raise OSError("an answer that does not end")
        return 200, bytes(body)
    finally:
        response.close()  # a connection whose answer was read to its end is in the pool again by now


def _within(seconds: float, work: Callable[[], Result]) -> Result:
    """What `work` returns or raises, or TimeoutError after so many seconds.

    In a thread, because no socket timeout bounds the whole: one starts anew with every byte received, and a
    name look-up knows none.
    """
    outcome: SimpleQueue[tuple[Result | None, Exception | None]] = SimpleQueue()

    def run() -> None:
        try:
            outcome.put((work(), None))
        except Exception as error:  # noqa: BLE001 — handed to the caller, whatever it is
            outcome.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = outcome.get(timeout=seconds)
    except Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return cast("Result", result)


def _parse(body: bytes) -> Any:
    try:
        value = json.loads(body, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        _fail("its answer is not JSON")
    _breaker.succeeded()
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _fail(reason: str) -> NoReturn:
    """No answer, or none that could be read: the breaker counts it."""
    _breaker.failed()
    _refuse(reason)


def _refuse(reason: str) -> NoReturn:
    """It answered, with nonsense: of no more use than no answer, but no sign that it is down."""
    logs.logger().warning("catalog unavailable", reason=reason)
    raise CatalogUnavailable("The catalogue is not answering.", retry_after=5)


def _reasons(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())[:500]
