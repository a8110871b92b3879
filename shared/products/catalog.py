"""The external catalog (Fake Store API contract), read over HTTP. Nothing that it sends is trusted.

Its answer is either a product that has been checked, or that there is no such product, or CatalogUnavailable.
A catalog that keeps failing is not asked for a while (a circuit breaker in each execution environment).
"""

from __future__ import annotations

import io
import json
import time
from decimal import Decimal
from functools import cache
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Annotated, Any, NoReturn, Self, cast

import urllib3
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    field_validator,
    model_validator,
)

from shared.errors import CatalogUnavailable
from shared.formats import json_items
from shared.formats.ids import PRODUCT_ID
from shared.formats.json_text import plain_decimal
from shared.platform import deadlines, logs, metrics, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT = 2.0  # seconds from the request to the last byte of the answer
# A product's texts as JSON: of 100 products, an answer stays below the 6 MB that Lambda lets through.
TEXT_BYTES = 50 * 1024
PRODUCT_BYTES = 1024 * 1024  # the longest answer for one product that is read
FAILURES_TO_OPEN = 5  # in a row
# With TIMEOUT, for a request that hung until an outage was over, less than 5 s: then all is as before.
OPEN_SECONDS = 2.5


def _text_id(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("is not a number")  # noqa: TRY004 — pydantic reports ValueErrors
    return Decimal(value)


def _text_or_nothing(value: object) -> object:
    return "" if value is None else value


def _plain(number: Decimal) -> Decimal:
    exponent = number.as_tuple().exponent
    # As many decimals as a catalog's own floats make of a price (0.30000000000000004), and some more.
    # Without an upper limit, writing 1E+400000000 out would take a gigabyte before it is found too high.
    if not isinstance(exponent, int) or not -20 <= exponent <= 12:
        raise ValueError("has more than 20 decimals, or an exponent that no price has")
    return plain_decimal(number)


def _or_none(value: object, validate: ValidatorFunctionWrapHandler) -> object:
    """An incomplete or invalid rating counts as no rating; the product is still taken."""
    try:
        return validate(value)
    except ValidationError:
        return None


Number = Annotated[Decimal, BeforeValidator(_number), AfterValidator(_plain)]
OptionalText = Annotated[str, BeforeValidator(_text_or_nothing)]


class CatalogRating(BaseModel):
    """What the catalog's buyers made of a product."""

    rate: Annotated[
        Number,
        Field(ge=0, lt=1_000),
        WithJsonSchema({"type": "number", "minimum": 0, "exclusiveMaximum": 1_000}),
    ]
    count: Annotated[int, Field(ge=0, lt=2**31, strict=True)]


class CatalogProduct(BaseModel):
    """A product as the catalog tells of it, checked."""

    product_id: Annotated[
        str,
        BeforeValidator(_text_id),
        StringConstraints(pattern=PRODUCT_ID),
        Field(validation_alias="id"),
        WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string", "pattern": PRODUCT_ID}]}),
    ]
    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000)]
    price: Annotated[
        Number,
        Field(ge=0, lt=10**12),
        WithJsonSchema({"type": "number", "minimum": 0, "exclusiveMaximum": 10**12}),
    ]
    description: Annotated[OptionalText, StringConstraints(strip_whitespace=True, max_length=50_000)] = ""
    category: Annotated[OptionalText, StringConstraints(strip_whitespace=True, max_length=200)] = ""
    image: Annotated[OptionalText, StringConstraints(strip_whitespace=True, max_length=4_000)] = ""
    rating: Annotated[CatalogRating | None, WrapValidator(_or_none)] = None

    @field_validator("title", "description", "category", "image")
    @classmethod
    def _storable(cls, text: str) -> str:
        if "\0" in text:
            raise ValueError("contains the NUL character")
        return text

    @model_validator(mode="after")
    def _fits(self) -> Self:
        texts = self.title + self.description + self.category + self.image
        # A character has six bytes at most, where it is escaped.
        if 6 * len(texts) > TEXT_BYTES and len(json.dumps(texts, ensure_ascii=False).encode()) > TEXT_BYTES:
            raise ValueError(f"has texts of more than {TEXT_BYTES} bytes")
        return self


class CatalogList:
    """The whole catalog in its own order, as it was when the request began.

    `version` is that moment in milliseconds since the epoch. `ids` are those of the products that passed the
    check, in order; `refused` those of products that were there and did not. The products themselves stay in
    the file they were received in, until `close`, and are read from there again, `chunks` at a time.
    """

    def __init__(self, version: int, file: IO[bytes]) -> None:
        self.version = version
        self._file = file
        refused: dict[str, str] = {}
        ids: dict[str, None] = {}
        good = bad = 0
        for item, product in self._read():
            if isinstance(product, CatalogProduct):
                good += 1
                ids[product.product_id] = None
                continue
            bad += 1
            if bad > good + 1_000:  # millions of them would take minutes to refuse one by one
                _refuse("most products of its list fail the check")
            refused[str(item.get("id", "?"))[:64] if isinstance(item, dict) else "?"] = product
        self.ids = list(ids)
        self.refused = frozenset(refused) - ids.keys()
        if refused:
            logs.logger().warning("catalog products refused", products=dict(list(refused.items())[:20]))
        if bad > good:
            _refuse("most products of its list fail the check")

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def chunks(self, size: int) -> Iterator[list[CatalogProduct]]:
        """The products in order, so many at a time; of two with one id the first."""
        seen: set[str] = set()
        chunk: list[CatalogProduct] = []
        for _, product in self._read():
            if isinstance(product, CatalogProduct) and product.product_id not in seen:
                seen.add(product.product_id)
                chunk.append(product)
                if len(chunk) == size:
                    yield chunk
                    chunk = []
        if chunk:
            yield chunk

    def _read(self) -> Iterator[tuple[Any, CatalogProduct | str]]:
        """Each item, and the product that it is or why it is none."""
        self._file.seek(0)
        try:
            for item in json_items.iterate(self._file):
                try:
                    yield item, CatalogProduct.model_validate(item)
                except ValidationError as error:
                    yield item, _reasons(error)
        except json_items.NotJson as error:
            _refuse(f"its list is no JSON array: {error}")


def fetch_product(product_id: str) -> CatalogProduct | None:
    """The product as the catalog has it now, or None where it has none.

    Waits `TIMEOUT` seconds at most. Raises CatalogUnavailable.
    """
    file = io.BytesIO()
    _breaker.check()
    _fetch(f"/products/{product_id}", file, at_most=PRODUCT_BYTES, unknown_statuses=(404, 410))
    answer = file.getvalue()
    if not answer.strip():  # an unknown id is an empty body, …
        return None
    try:
        value = json_items.loads(answer)
    except json_items.NotJson as error:
        _refuse(f"its answer is no JSON: {error}")
    if value is None:  # … or null
        return None
    try:
        product = CatalogProduct.model_validate(value)
    except ValidationError as error:
        _refuse(f"its product {product_id} fails the check: {_reasons(error)}")
    if product.product_id != product_id:
        _refuse(f"asked for product {product_id}, it answered with {product.product_id}")
    return product


def fetch_all(
    *,
    at_most: int,
    timeout: float = TIMEOUT,
    stall: float = TIMEOUT,
    heed_breaker: bool = True,
) -> CatalogList:
    """The catalog's list, received whole within `timeout` seconds and `at_most` bytes.

    `stall` is how many seconds may pass without a byte. A few bad products are left out and logged; a list
    that is mostly bad is no list. Raises CatalogUnavailable, and AnswerTooLong among them.
    """
    version = now_version()
    # A large list lies on disk meanwhile, a small one never gets there.
    file = SpooledTemporaryFile(max_size=1024 * 1024)  # noqa: SIM115 — closed with the list that has it
    try:
        if heed_breaker:
            _breaker.check()
        _fetch("/products", file, timeout=timeout, stall=stall, at_most=at_most)
        return CatalogList(version, cast("IO[bytes]", file))
    except BaseException:
        file.close()
        raise


def now_version() -> int:
    """This moment as a product version: milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


# ── One request ───────────────────────────────────────────────────────────────────────────────────────────


class AnswerTooLong(CatalogUnavailable):
    """The answer has more bytes than the one who asked may read."""


class BreakerOpen(CatalogUnavailable):
    """The catalog failed again and again, and was not asked this time."""


class _TooLong(Exception):
    """More bytes than were allowed came in."""


class _Breaker:
    """Open for `OPEN_SECONDS` after `FAILURES_TO_OPEN` failures in a row, and after each that follows them.

    Between that, whoever asks tries again: the calls of one bulk request run at once and hold up nobody else.
    """

    def __init__(self) -> None:
        self.failures = 0
        self.open_until = 0.0

    def check(self) -> None:
        left = self.open_until - time.monotonic()
        if left > 0:
            raise BreakerOpen.silent(retry_after=int(left) + 1)

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
        maxsize=8,  # connections kept: a bulk request asks for so many products at once
        retries=False,  # nor redirects: an address that nobody configured is not asked
        headers={
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "favorites-service",
        },
    )


def _fetch(
    path: str,
    into: IO[bytes] | SpooledTemporaryFile[bytes],
    *,
    at_most: int,
    timeout: float = TIMEOUT,
    stall: float = TIMEOUT,
    unknown_statuses: tuple[int, ...] = (),
) -> None:
    """Write the body of a 200 into the file; nothing for a status that means there is nothing."""
    started = time.monotonic()
    try:
        # No socket timeout bounds the whole: one starts anew with every byte, and a name look-up knows none.
        seconds = deadlines.left(timeout)
        status = deadlines.call(lambda: _request(path, into, seconds, stall, at_most), seconds)
    except _TooLong as error:
        _breaker.succeeded()  # it answers well enough, only at a length that is for others
        _refuse(f"its answer is longer than {at_most} bytes", AnswerTooLong, error)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        _breaker.failed()
        _refuse(f"it did not answer: {type(error).__name__} {error}".strip())
    if status != 200 and status not in unknown_statuses:
        _breaker.failed()
        _refuse(f"it answered with status {status}")
    _breaker.succeeded()
    metrics.put({"CatalogTime": (round((time.monotonic() - started) * 1000, 1), "Milliseconds")})


def _request(
    path: str,
    into: IO[bytes] | SpooledTemporaryFile[bytes],
    timeout: float,
    stall: float,
    at_most: int,
) -> int:
    """The answer's status, after the body of a 200 was written."""
    deadline = time.monotonic() + timeout
    response = _pool().request(
        "GET", settings.catalog_url() + path, timeout=stall, preload_content=False, redirect=False
    )
    received = 0
    try:
        if response.status != 200:
            return response.status
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise OSError("an encoding that was not asked for")
        # Not by read(): it would wait for bytes that trickle in one by one, long after anybody listens.
        while chunk := response.read1(65_536):
            received += len(chunk)
            if received > at_most:
                raise _TooLong
            if time.monotonic() > deadline:
                raise OSError("an answer that does not end")
            into.write(chunk)
        return 200
    finally:
        response.close()  # a connection whose answer was read to its end is in the pool again by now


def _refuse(
    reason: str, kind: type[CatalogUnavailable] = CatalogUnavailable, cause: Exception | None = None
) -> NoReturn:
    """Whether it did not answer or answered nonsense: there is nothing to go by."""
    logs.logger().warning("catalog unavailable", reason=reason[:300])
    metrics.count("CatalogFailures")
    raise kind.silent(retry_after=5, reason=reason[:300]) from cause


def _reasons(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())[:500]
