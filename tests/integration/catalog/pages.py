"""Catalogs that page, each as its documentation describes it, over real HTTP."""

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Query = Mapping[str, str]
Reply = tuple[int, Mapping[str, str], Any]


def _missing(_: Query) -> Reply:
    return 404, {}, {"code": "not found"}


class PagedCatalog:
    """Answers each path by a function of the query: status, headers, and a value to send as JSON."""

    def __init__(self, routes: Mapping[str, Callable[[Query], Reply]], headers: Query | None = None) -> None:
        self.requests: list[str] = []
        self.wanted = dict(headers or {})
        catalog = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                catalog.requests.append(self.path)
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                reply = routes.get(parts.path, _missing)
                status, headers, value = reply(query)
                if any(self.headers.get(name) != text for name, text in catalog.wanted.items()):
                    status, headers, value = 401, {}, {"code": "unauthorized"}
                body = json.dumps(value).encode()
                self.send_response(status)
                for name, text in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, text)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Be silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


def dummyjson(products: list[dict[str, Any]]) -> PagedCatalog:
    """https://dummyjson.com/docs/products: `limit` and `skip`, and the total beside the products."""

    def listed(query: Query) -> Reply:
        limit, skip = int(query.get("limit", "30")), int(query.get("skip", "0"))
        page = products[skip : skip + limit]
        return 200, {}, {"products": page, "total": len(products), "skip": skip, "limit": len(page)}

    return PagedCatalog({"/products": listed, **_one_by_one("/products", products)})


def woocommerce(products: list[dict[str, Any]], headers: Query) -> PagedCatalog:
    """WooCommerce's REST API v3: `page` and `per_page`, the totals in headers, Basic authentication."""
    path = "/wp-json/wc/v3/products"

    def listed(query: Query) -> Reply:
        assert query["status"] == "publish"
        size, page = min(100, int(query.get("per_page", "10"))), int(query.get("page", "1"))
        totals = {"X-WP-Total": str(len(products)), "X-WP-TotalPages": str(-(-len(products) // size))}
        return 200, totals, products[(page - 1) * size : page * size]

    return PagedCatalog({path: listed, **_one_by_one(path, products)}, headers)


def medusa(products: list[dict[str, Any]], headers: Query) -> PagedCatalog:
    """Medusa's Store API v2: `offset` and `limit`, the products' number as `count`, a publishable key."""

    def listed(query: Query) -> Reply:
        assert query["region_id"]
        limit, offset = int(query.get("limit", "50")), int(query.get("offset", "0"))
        page = products[offset : offset + limit]
        return 200, {}, {"products": page, "count": len(products), "offset": offset, "limit": limit}

    one = _one_by_one("/store/products", products, lambda product: {"product": product})
    return PagedCatalog({"/store/products": listed, **one}, headers)


def linked(products: list[dict[str, Any]], size: int) -> PagedCatalog:
    """Pages that lead to the next by a Link header (RFC 8288)."""

    def listed(query: Query) -> Reply:
        start = int(query.get("after", "0"))
        headers = {"X-Total-Count": str(len(products))}
        if start + size < len(products):
            headers["Link"] = f'</products?after={start + size}>; rel="next", </products>; rel="first"'
        return 200, headers, products[start : start + size]

    return PagedCatalog({"/products": listed})


def _one_by_one(
    path: str, products: list[dict[str, Any]], wrap: Callable[[dict[str, Any]], Any] = lambda product: product
) -> dict[str, Callable[[Query], Reply]]:
    def answer(product: dict[str, Any]) -> Callable[[Query], Reply]:
        return lambda _: (200, {}, wrap(product))

    return {f"{path}/{each['id']}": answer(each) for each in products}
