"""A catalog that answers as foreign servers do on their worst days, over real HTTP.

    catalog.answer("/products/7", Answer.hang())
    catalog.answer("/products/7", Answer.status(500), Answer.json(product(7)))  # in turn; the last one stays
    catalog.answer_all(Answer.reset())

What is not programmed is answered by the well-behaved sample catalog.
"""

import functools
import gzip
import io
import os
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from http.server import BaseHTTPRequestHandler
from typing import Any

import simplejson

from local.servers.catalog import Catalog, CatalogHandler

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Answer:
    play: Callable[[CatalogHandler], None]

    @classmethod
    def raw(cls, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> "Answer":
        """Send this body, as JSON unless `headers` say otherwise."""

        def play(handler: CatalogHandler) -> None:
            _send_head(handler, status, {"Content-Length": str(len(body)), **(headers or {})})
            handler.wfile.write(body)

        return cls(play)

    @classmethod
    def text(cls, body: str, status: int = 200) -> "Answer":
        return cls.raw(body.encode(), status)

    @classmethod
    def json(cls, value: Any, status: int = 200) -> "Answer":
        return cls.text(simplejson.dumps(value, use_decimal=True), status)

    @classmethod
    def null(cls) -> "Answer":
        """Send 200 and `null`, the contract's first way to say that there is no such product."""
        return cls.text("null")

    @classmethod
    def empty(cls) -> "Answer":
        """Send 200 and no body, the contract's second way."""
        return cls.text("")

    @classmethod
    def status(cls, status: int, headers: Mapping[str, str] | None = None) -> "Answer":
        return cls.raw(b'{"message": "as programmed"}', status, headers)

    @classmethod
    def html(cls) -> "Answer":
        """Send 200 and a page for people, as a proxy in maintenance does."""
        page = b"<!doctype html><title>Back soon</title><p>We are working on it."
        return cls.raw(page, headers={"Content-Type": "text/html"})

    @classmethod
    def redirect(cls, location: str, status: int = 302) -> "Answer":
        return cls.raw(b"", status, {"Location": location})

    @classmethod
    def hang(cls) -> "Answer":
        """Never answer; hold the connection until the client goes, or for 60 seconds."""
        return cls(CatalogHandler.hang)

    @classmethod
    def hang_in_body(cls, body: bytes) -> "Answer":
        """Send the head and half of the body, then nothing more."""
        return cls._half(body, CatalogHandler.hang)

    @classmethod
    def truncated_body(cls, body: bytes) -> "Answer":
        """Promise the whole body, send half of it and close."""
        return cls._half(body, lambda handler: setattr(handler, "close_connection", True))

    @classmethod
    def _half(cls, body: bytes, then: Callable[[CatalogHandler], None]) -> "Answer":
        def play(handler: CatalogHandler) -> None:
            _send_head(handler, 200, {"Content-Length": str(len(body))})
            handler.wfile.write(body[: len(body) // 2])
            handler.wfile.flush()
            then(handler)

        return cls(play)

    @classmethod
    def drip(cls, body: bytes, interval: float = 0.2) -> "Answer":
        """Send one byte of the body every `interval` seconds: no read times out, the whole never ends."""

        def play(handler: CatalogHandler) -> None:
            _send_head(handler, 200, {"Content-Length": str(len(body))})
            for byte in body:
                handler.wfile.write(bytes((byte,)))
                handler.wfile.flush()
                time.sleep(interval)

        return cls(play)

    @classmethod
    def truncated_json(cls, body: bytes) -> "Answer":
        """Send half of the body as if it were all: well-formed HTTP around broken JSON."""
        return cls.raw(body[: len(body) // 2])

    @classmethod
    def reset(cls) -> "Answer":
        """Reset the connection in place of an answer."""

        def play(handler: CatalogHandler) -> None:
            handler.close_connection = True
            # Closing with a linger of zero seconds sends a reset. The descriptor is closed here because an
            # orderly end would be sent first by the server otherwise.
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(handler.connection.detach())

        return cls(play)

    @classmethod
    def flood(cls, size: int = 50 * MEGABYTE, *, with_length: bool = True) -> "Answer":
        """Stream a valid product of about `size` bytes, with a Content-Length or ended by closing."""

        def play(handler: CatalogHandler) -> None:
            length = sum(len(chunk) for chunk in _oversized_product(size))
            _send_head(handler, 200, {"Content-Length": str(length)} if with_length else {})
            handler.close_connection = True
            for chunk in _oversized_product(size):
                handler.wfile.write(chunk)

        return cls(play)

    @classmethod
    def gzip_bomb(cls, size: int = 50 * MEGABYTE) -> "Answer":
        """Send some kilobytes of gzip that unpack to a valid product of about `size` bytes."""
        return cls.raw(_bomb(size), headers={"Content-Encoding": "gzip"})

    def after(self, seconds: float) -> "Answer":
        """Return the same answer, begun only after this many seconds."""

        def play(handler: CatalogHandler) -> None:
            time.sleep(seconds)
            self.play(handler)

        return Answer(play)


class HostileCatalog(Catalog):
    """The sample catalog, save for the paths that are programmed to answer something else."""

    def __init__(self, products: Iterable[Mapping[str, Any]] | None = None) -> None:
        self._answers: dict[str | None, list[Answer]] = {}
        super().__init__(products=products)

    def _handler(self) -> Callable[..., BaseHTTPRequestHandler]:
        return functools.partial(_HostileHandler, self)

    def answer(self, path: str, *answers: Answer) -> None:
        """Program what a path answers from now on: one after the other, then the last one for good."""
        with self._lock:
            self._answers[path] = list(answers)

    def answer_all(self, *answers: Answer) -> None:
        """Program what all paths without answers of their own answer."""
        with self._lock:
            self._answers[None] = list(answers)

    def behave(self) -> None:
        with self._lock:
            self._answers.clear()

    def programmed(self, path: str) -> Answer | None:
        """Take the next answer for a path; None when nothing is programmed."""
        with self._lock:
            answers = self._answers.get(path) or self._answers.get(None)
            if not answers:
                return None
            return answers.pop(0) if len(answers) > 1 else answers[0]


class _HostileHandler(CatalogHandler):
    catalog: HostileCatalog

    def do_GET(self) -> None:  # noqa: N802 - named so by http.server
        answer = self.catalog.programmed(self.path.partition("?")[0])
        if answer is None:
            super().do_GET()
        else:
            self.counted_path()
            answer.play(self)


def product(product_id: int = 7, **changes: Any) -> dict[str, Any]:
    good = {
        "id": product_id,
        "title": f"Product {product_id}",
        "price": Decimal("22.30"),
        "description": "As good as any.",
        "category": "kitchen",
        "image": f"https://images.example.com/{product_id}.jpg",
        "rating": {"rate": Decimal("3.9"), "count": 120},
    }
    return {**good, **changes}


def nonsense(product_id: int = 7) -> dict[str, str]:
    """Return bodies that are no such product, by what is wrong with them: JSON and nearly JSON.

    Each would be the answer to a request for `product_id`.
    """
    good = product(product_id)
    text = simplejson.dumps(good, use_decimal=True)

    def without(name: str) -> dict[str, Any]:
        return {key: value for key, value in good.items() if key != name}

    def price(raw: str) -> str:
        return text.replace('"price": 22.30', f'"price": {raw}')

    wrong_values = {
        "title is null": {**good, "title": None},
        "title is missing": without("title"),
        "title holds NUL": {**good, "title": "a\0b"},
        "price is a word": {**good, "price": "free"},
        "price is null": {**good, "price": None},
        "price is negative": {**good, "price": Decimal("-0.01")},
        "price is missing": without("price"),
        "id is missing": without("id"),
        "id is null": {**good, "id": None},
        "id is another product's": {**good, "id": product_id + 1},
        "image is an object": {**good, "image": {"url": "https://images.example.com/7.jpg"}},
        "a list around it": [good],
        "a string": "not found",
        "a number": 404,
        "false": False,
        "an empty object": {},
        "an empty list": [],
        "an error object": {"error": "internal", "status": 500},
    }
    return {
        **{what: simplejson.dumps(value, use_decimal=True) for what, value in wrong_values.items()},
        "price is NaN": price("NaN"),
        "price is Infinity": price("Infinity"),
        "price is 1e400": price("1e400"),
        "price has a million digits": price("9" * 1_000_000),
        "id is a huge number": text.replace(f'"id": {product_id},', f'"id": {"9" * 10_000},'),
        "nested too deep": "[" * 100_000 + "]" * 100_000,
        "nested too deep inside": f'{text[:-1]}, "extra": {"[" * 100_000}{"]" * 100_000}}}',
        "truncated": text[: len(text) // 2],
        "two in a row": text + text,
        "trailing garbage": text + "<!-- served in 5 ms -->",
        "half a surrogate": text.replace("Product", "\\ud800"),
    }


def _send_head(handler: CatalogHandler, status: int, headers: Mapping[str, str]) -> None:
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()


def _oversized_product(size: int) -> Iterator[bytes]:
    """Yield, in chunks, a product whose title has about `size` bytes."""
    before, after = simplejson.dumps(product(7, title="|"), use_decimal=True).encode().split(b"|")
    yield before
    for start in range(0, size, MEGABYTE):
        yield b"x" * min(MEGABYTE, size - start)
    yield after


@functools.cache
def _bomb(size: int) -> bytes:
    packed = io.BytesIO()
    with gzip.open(packed, "wb", compresslevel=6) as file:
        for chunk in _oversized_product(size):
            file.write(chunk)
    return packed.getvalue()
