"""A poll as a test runs it, and what the copy, the outbox and the cache have afterwards."""

import json
import time
from decimal import Decimal
from typing import Any

import psycopg
import redis
import simplejson

from functions.warm_product_cache.handler import lambda_handler
from local.servers.valkey import Valkey
from shared.errors import UnknownProduct
from shared.products import list_pages, read_through
from shared.web import product_answers
from tests.hostile_catalog import Answer, HostileCatalog, product

TTL = 300  # seconds


def lists(catalog: HostileCatalog, *listed: dict[str, Any]) -> None:
    """From now on the catalog has these products."""
    catalog.answer("/products", Answer.json(list(listed)))


def numbered(*numbers: int, **changes: Any) -> list[dict[str, Any]]:
    return [product(number, **changes) for number in numbers]


def poll() -> dict[str, Any]:
    """What the scheduled function tells, save for how long it took."""
    told = lambda_handler({}, None)
    told.pop("seconds", None)
    return told


def poll_twice() -> int:
    """How many products two polls in a row changed: what both of them miss is gone."""
    changed: int = poll()["changed"]
    time.sleep(0.002)  # a later version
    return changed + int(poll()["changed"])


def rows(db: psycopg.Connection) -> dict[str, tuple[Any, ...]]:
    """Every row with the transaction that wrote it: the same means that nothing was written."""
    found = db.execute("SELECT product_id, xmin, ctid, products.* FROM products").fetchall()
    return {row[0]: row for row in found}


def locked(db: psycopg.Connection) -> int:
    """How many rows were ever locked without being written."""
    row = db.execute("SELECT count(*) FROM products WHERE xmax <> 0").fetchone()
    return int(row[0]) if row else 0


def told(db: psycopg.Connection) -> list[Any]:
    """The outbox."""
    return db.execute("SELECT xmin, outbox.* FROM outbox ORDER BY outbox_id").fetchall()


def cached(valkey: Valkey) -> dict[bytes, Any]:
    """All that Valkey has, save for leases and the time of a poll that failed."""
    with redis.Redis.from_url(valkey.url) as client:
        found: dict[bytes, Any] = {
            key: client.hgetall(key) if client.type(key) == b"hash" else client.get(key)
            for key in client.scan_iter()
            if not key.startswith(b"lease:")
        }
    found.get(b"products", {}).pop(b"refused_at", None)
    return found


def price_of(product_id: str) -> Decimal | None:
    """The price that GET /products/{product_id} shows; None for a 404."""
    try:
        answer = read_through.detail(product_id)
    except UnknownProduct:
        return None
    price: Decimal = simplejson.loads(answer.entry.body, use_decimal=True)["price"]
    return price


def listed_ids() -> list[str]:
    """What the first page shows."""
    answer = list_pages.page(limit=20, cursor=None, category=None, sort=None)
    return [item["product_id"] for item in json.loads(answer.entry.body)["items"]]


def request_product(product_id: str) -> str | None:
    """X-Cache, where the short way knows the product; None where the catalog may have to be asked."""
    found = product_answers.cached_detail({"pathParameters": {"product_id": product_id}})
    return found[1] if found else None


def request_page(**parameters: str) -> str | None:
    found = product_answers.cached_page({"queryStringParameters": parameters})
    return found[1] if found else None


def now() -> int:
    return time.time_ns() // 1_000_000
