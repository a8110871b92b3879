"""What the product benchmark compares with: one GET through redis-py, and the bytes as they are."""

import os
from typing import Any

import redis

valkey = redis.Redis.from_url(os.environ["REDIS_URL"])


def lambda_handler(_event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Return the cached value as a response body."""
    value = valkey.get("product:7")
    body = value.decode() if isinstance(value, bytes) else ""
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": body}
