"""What a cached answer is compared with: one GET through redis-py, and the bytes as they are."""

import os
from typing import Any

import redis

valkey = redis.Redis.from_url(os.environ["REDIS_URL"])


def lambda_handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    value = valkey.get(event["key"])
    body = value.decode() if isinstance(value, bytes) else ""
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": body}
