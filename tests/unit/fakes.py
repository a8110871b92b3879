"""An execution environment without servers: Valkey and the catalog are down, and PostgreSQL has no address.

A function that needs one answers 500 or 503, so that a refusal is one without a look at a server.
"""

import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis
import urllib3

from shared.platform import valkey as cache
from shared.products import catalog, write_through
from tests.calls import ANA

SIGNING_KEY = "the-secret-that-signs-and-verifies-today"
RETIRED_KEY = "the-secret-that-signed-last-month-only-verifies"


def claims(**changes: object) -> dict[str, Any]:
    """The claims of a good token for Ana, changed; None takes one out."""
    now = int(time.time())
    good: dict[str, object] = {
        "iss": "favorites-service",
        "aud": "favorites-api",
        "sub": str(ANA),
        "role": "client",
        "iat": now,
        "exp": now + 900,
        "jti": uuid4().hex,
        "token_generation": 0,
        "auth_time": 0,
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def _refuses(*_: object, **__: object) -> None:
    raise redis.ConnectionError("Connection refused.")


def backends(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The settings of a function, and servers that are down; a fixture."""
    monkeypatch.setenv("ACCESS_TOKEN_KEYS", json.dumps({"2026-11": SIGNING_KEY, "2026-10": RETIRED_KEY}))
    monkeypatch.setenv("REDIS_URL", "redis://valkey.test")
    monkeypatch.setenv("CATALOG_URL", "http://catalog.test")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setattr(cache, "_connected", _refuses)
    monkeypatch.setattr(urllib3, "PoolManager", _refuses)
    _forget()
    yield
    _forget()


def _forget() -> None:
    """Make the environment a new one: nothing remembered from the test before."""
    cache.close()
    catalog.reset()
    write_through.forget_missing()
