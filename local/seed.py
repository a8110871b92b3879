"""Sample data for the running service: three clients with favorites, and prices that change."""

import json
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path
from typing import Any

import simplejson

from local import running
from local.servers.services import Log, ServiceFailed

PASSWORD = "correct horse battery"  # noqa: S105 - of sample accounts
# Each client's favorites, as indexes into the list of products.
CLIENTS = {
    "Ana": (0, 2, 4, 6, 8, 11),
    "Bruno": (1, 2, 3, 6),
    "Carla": (6, 7, 9, 10, 12, 14, 16, 19),
}
# Factors for prices by the same index, applied after the favorites were marked.
CHANGES = {2: Decimal("0.80"), 6: Decimal("0.65"), 9: Decimal("1.15"), 12: Decimal("0.90")}


def seed(data: Path, log: Log) -> None:
    """Register the clients, mark their favorites and change prices; idempotent. Raises ServiceFailed."""
    stack = running.Running.find(data)
    products = _call(stack.api, "GET", "/products?limit=20")["items"]
    is_new = False
    for name, places in CLIENTS.items():
        email = f"{name.lower()}@example.com"
        log(f"{email:<20} {PASSWORD}")
        if _call(stack.api, "POST", "/clients", {"name": name, "email": email, "password": PASSWORD}) is None:
            continue
        is_new = True
        tokens = _call(stack.api, "POST", "/auth/login", {"email": email, "password": PASSWORD})
        ids = [products[place]["product_id"] for place in places if place < len(products)]
        body = {"add": [{"product_id": product_id} for product_id in ids]}
        _call(stack.api, "POST", "/favorite-changes", body, tokens["access_token"])
    if not is_new:
        log("All of them were there already.")
    elif stack.catalog is None:
        log("The catalog is the one of CATALOG_URL: its prices stay as they are.")
    else:
        for place, factor in CHANGES.items():
            product = products[place]
            price = round(Decimal(product["price"]) * factor, 2)
            running.change_product(data, product["product_id"], f'{{"price": {price}}}', push=True)
            log(f"{product['title']}: {product['price']} → {price}")


def _call(url: str, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
    """Return the answer, None for a 409 (the client exists). Raises ServiceFailed."""
    response, text = running.call(url, method, path, json.dumps(body).encode() if body else b"", token)
    if response.status == HTTPStatus.CONFLICT:
        return None
    if response.status >= HTTPStatus.BAD_REQUEST:
        raise ServiceFailed(f"{method} {path} was refused: {text.decode()}")
    return simplejson.loads(text, use_decimal=True)
