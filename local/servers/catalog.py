"""The sample catalog: products behind the Fake Store API contract, oddities included.

`GET /products` is a JSON array, `GET /products/{id}` one object. An unknown id gets 200 with `null` (even
ids) or with an empty body (odd ids); an id that is not a number gets no answer. Beyond the contract,
`PATCH /products/{id}` changes a product: `{"price": 9.90}`, `{"removed": true}`, `{"removed": false}`. Inside
`make run` each such change is pushed as an event, unless the query says `push=false`.

    python -m local.servers.catalog --port 8090
"""

import argparse
import functools
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from importlib import resources
from pathlib import Path
from typing import Any

import simplejson

from local.servers import private_file
from local.servers.http_server import HttpServer
from local.servers.services import ServiceFailed

_HANG_SECONDS = 60
_LARGEST_PATCH_BYTES = 1024

Push = Callable[[str, str], object]
"""Takes the type of an event and its detail, as JSON."""


def sample_products() -> list[dict[str, Any]]:
    """Return the 66 sample products as the contract has them; prices are exact (Decimal or int)."""
    text = resources.files("local").joinpath("catalog_products.json").read_text(encoding="utf-8")
    products: list[dict[str, Any]] = simplejson.loads(text, use_decimal=True)
    return products


class Catalog:
    """A catalog server in this process; everything about it may be changed while it serves.

    `products` are those of the sample when None. Prices keep their digits: 22.30 stays 22.30. `push` gets the
    changes that come over HTTP, and the file `changes` keeps them for the next run.
    """

    def __init__(
        self,
        port: int = 0,
        products: Iterable[Mapping[str, Any]] | None = None,
        listen: str = "127.0.0.1",
        push: Push | None = None,
        changes: Path | None = None,
    ) -> None:
        self._push = push
        self._changes = changes
        self._version = 0
        self._lock = threading.Lock()
        sold = sample_products() if products is None else products
        self._products = {product["id"]: dict(product) for product in sold}
        self._removed: set[int] = set()
        if changes is not None and changes.exists():
            self._read(changes)
        self._calls: Counter[str] = Counter()
        self._server = HttpServer(self._handler(), port, listen, name="The catalog")

    def _handler(self) -> Callable[..., BaseHTTPRequestHandler]:
        return functools.partial(CatalogHandler, self)

    @property
    def url(self) -> str:
        """The CATALOG_URL of the server, whether or not it runs; the port never changes."""
        return self._server.url

    @property
    def calls(self) -> Counter[str]:
        """The number of requests for each path since the start or the last forget_calls()."""
        with self._lock:
            return self._calls.copy()

    def start(self) -> str:
        """Serve; return the URL. Raises ServiceFailed when the port is in use."""
        return self._server.start()

    def stop(self) -> None:
        """Stop serving and cut all connections; products and counters stay."""
        self._server.stop()

    def forget_calls(self) -> None:
        """Count from zero again."""
        with self._lock:
            self._calls.clear()

    def count_call(self, path: str) -> None:
        """Add a request to the counters; for the handler."""
        with self._lock:
            self._calls[path] += 1

    def set_price(self, product_id: int, price: Decimal | int | str) -> None:
        """Change a price; a string or Decimal keeps its digits. Raises KeyError for an unknown id."""
        with self._lock:
            if product_id in self._removed:
                raise KeyError(product_id)
            self._products[product_id]["price"] = price if isinstance(price, int) else Decimal(price)

    def remove(self, product_id: int) -> None:
        """Take a product out of the catalog. Raises KeyError for an unknown id."""
        with self._lock:
            if product_id not in self._products or product_id in self._removed:
                raise KeyError(product_id)
            self._removed.add(product_id)

    def restore(self, product_id: int) -> None:
        """Put a removed product back, with the price it had. Raises KeyError when it was not removed."""
        with self._lock:
            self._removed.remove(product_id)

    def change(self, product_id: int, field: str, value: Decimal | int | bool) -> None:
        """Set a product's `price`, or whether it is `removed`. Raises KeyError for an unknown id."""
        if field == "price":
            self.set_price(product_id, value)
        elif value:
            self.remove(product_id)
        else:
            self.restore(product_id)
        if self._changes is not None:
            self._write(self._changes)

    def _read(self, changes: Path) -> None:
        kept = simplejson.loads(changes.read_text(encoding="utf-8"), use_decimal=True)
        for product_id, price in kept["prices"].items():
            self.set_price(int(product_id), price)
        self._removed.update(kept["removed"])

    def _write(self, changes: Path) -> None:
        with self._lock:
            prices = {product_id: product["price"] for product_id, product in self._products.items()}
            text = simplejson.dumps({"prices": prices, "removed": sorted(self._removed)}, use_decimal=True)
        private_file.write(changes, text)

    def push(self, product_id: int) -> None:
        """Push an event with the present state of a product."""
        if self._push is None:
            return
        with self._lock:
            text = self._text(product_id)
            # Later events are newer, however quickly one change follows another.
            self._version = max(self._version + 1, time.time_ns() // 1_000_000)
            if text is not None:
                event = "ProductChanged", f'{{"version": {self._version}, "product": {text}}}'
            else:
                event = "ProductRemoved", f'{{"version": {self._version}, "product_id": "{product_id}"}}'
        self._push(*event)

    def product_text(self, product_id: int) -> str | None:
        """Return one product as JSON, None when there is none."""
        with self._lock:
            return self._text(product_id)

    def _text(self, product_id: int) -> str | None:
        is_sold = product_id in self._products and product_id not in self._removed
        return _dump(self._products[product_id]) if is_sold else None

    def all_text(self) -> str:
        """Return all products as a JSON array, ordered by id."""
        with self._lock:
            return _dump([self._products[each] for each in sorted(self._products.keys() - self._removed)])


class CatalogHandler(BaseHTTPRequestHandler):
    """Answers one connection's requests from a Catalog."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    # Headers and body leave in one packet.
    wbufsize = -1

    def __init__(self, catalog: Catalog, *arguments: Any) -> None:
        self.catalog = catalog
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Answer with all products or one, as the Fake Store does."""
        path = self.counted_path()
        if path == "/products":
            self.answer_json(self.catalog.all_text())
        elif (found := self._product_in(path)) is None:
            self.answer_json('{"message": "no such path"}', HTTPStatus.NOT_FOUND)
        elif (product_id := _number(found)) is None:
            self.hang()
        elif (text := self.catalog.product_text(product_id)) is not None:
            self.answer_json(text)
        else:
            self.answer_json("" if product_id % 2 else "null")

    def do_PATCH(self) -> None:
        """Change or add a product (`python -m local catalog`)."""
        path = self.counted_path()
        number = _number(self._product_in(path) or "")
        product_id = -1 if number is None else number  # an unknown id
        change = _change_in(self._body())
        if change is None:
            message = '{"message": "send {\\"price\\": <a number>} or {\\"removed\\": <true or false>}"}'
            self.answer_json(message, HTTPStatus.BAD_REQUEST)
            return
        try:
            self.catalog.change(product_id, *change)
        except KeyError:
            self.answer_json('{"message": "no such product"}', HTTPStatus.NOT_FOUND)
            return
        if "push=false" not in self.path:
            self.catalog.push(product_id)
        self.answer_json(self.catalog.product_text(product_id) or "null")

    def counted_path(self) -> str:
        """Return the path without its query, having counted the request."""
        path = self.path.partition("?")[0]
        self.catalog.count_call(path)
        return path

    def answer_json(self, text: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        """Send a whole answer."""
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def hang(self) -> None:
        """Send nothing until the client goes, or for 60 seconds."""
        self.close_connection = True
        deadline = time.monotonic() + _HANG_SECONDS
        self.connection.settimeout(_HANG_SECONDS)
        try:
            while self.connection.recv(4096) and time.monotonic() < deadline:
                pass
        except OSError:
            return  # 60 seconds passed, or the connection was cut

    def _product_in(self, path: str) -> str | None:
        found = re.fullmatch(r"/products/([^/]+)", path)
        return found[1] if found else None

    def _body(self) -> bytes:
        length = _number(self.headers.get("Content-Length", "0"))
        if length is None or not 0 <= length <= _LARGEST_PATCH_BYTES:
            self.close_connection = True
            return b""
        return self.rfile.read(length)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named so by http.server
        """Log nothing: the console is for the service."""


def _dump(value: Any) -> str:
    return simplejson.dumps(value, use_decimal=True, ensure_ascii=False, separators=(",", ":"))


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else None


def _change_in(body: bytes) -> tuple[str, Decimal | int | bool] | None:
    try:
        change = simplejson.loads(body, use_decimal=True)
    except ValueError:
        return None
    if not isinstance(change, dict) or len(change) != 1:
        return None
    ((field, value),) = change.items()
    is_bool = isinstance(value, bool)
    is_price = isinstance(value, Decimal | int) and not is_bool and value >= 0
    if (field == "price" and is_price) or (field == "removed" and is_bool):
        return field, value
    return None


def main() -> None:
    """Serve the sample catalog until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m local.servers.catalog", description="The sample catalog."
    )
    parser.add_argument("--port", type=int, default=8090, help="default: 8090")
    parser.add_argument("--listen", default="127.0.0.1", metavar="ADDRESS", help="default: 127.0.0.1")
    arguments = parser.parse_args()
    catalog = Catalog(arguments.port, listen=arguments.listen)
    try:
        print(f"The sample catalog: {catalog.start()}/products", flush=True)
    except ServiceFailed as error:
        sys.exit(str(error))
    try:
        signal.pause()
    except KeyboardInterrupt:
        catalog.stop()


if __name__ == "__main__":
    main()
