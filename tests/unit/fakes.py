"""An execution environment without servers: Valkey is down, and the catalog is a script.

There is no PostgreSQL: a function that asks for it misses its setting and answers 500, so that a refusal is
one without a look at the database.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
import redis
import urllib3

from shared.platform import valkey as cache
from shared.products import catalog, poll, write_through
from tests.calls import ANA

SIGNING_KEY = "the-secret-that-signs-and-verifies-today"
RETIRED_KEY = "the-secret-that-signed-last-month-only-verifies"
CATALOG_URL = "http://catalog.test"


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


@dataclass
class Backends:
    """All that one execution environment talks to."""

    catalog: "FakeCatalog"


def _no_valkey() -> None:
    raise redis.ConnectionError("Connection refused.")


def backends(monkeypatch: pytest.MonkeyPatch) -> Iterator[Backends]:
    """The fakes in the places of the real ones, and the settings of a function; a fixture."""
    monkeypatch.setenv("ACCESS_TOKEN_KEYS", json.dumps({"2026-11": SIGNING_KEY, "2026-10": RETIRED_KEY}))
    monkeypatch.setenv("REDIS_URL", "redis://valkey.test")
    monkeypatch.setenv("CATALOG_URL", CATALOG_URL)
    monkeypatch.setenv("PRODUCT_CACHE_TTL_SECONDS", "300")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    fakes = Backends(FakeCatalog())
    monkeypatch.setattr(cache, "_connected", _no_valkey)
    monkeypatch.setattr(urllib3, "PoolManager", lambda **_: fakes.catalog)
    _forget()
    yield fakes
    _forget()


def _forget() -> None:
    """Make the environment a new one: nothing remembered from the test before."""
    cache.close()
    catalog.reset()
    write_through.forget_missing()


@dataclass
class FakeCatalog:
    """urllib3's pool with a script for a server: what each path answers, and what was asked."""

    answers: dict[str, "FakeAnswer | Exception"] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def on(self, path: str, answer: "FakeAnswer | Exception | object") -> None:
        """What the path answers: an answer, an error, or a value as JSON with status 200."""
        if not isinstance(answer, FakeAnswer | Exception):
            answer = FakeAnswer(json.dumps(answer).encode())
        self.answers[path] = answer

    def request(
        self, method: str, url: str, *, timeout: float, preload_content: bool, redirect: bool
    ) -> "FakeAnswer":
        assert (method, preload_content, redirect) == ("GET", False, False)
        assert timeout in (catalog.TIMEOUT, poll.STALL)
        path = url.removeprefix(CATALOG_URL)
        self.asked.append(path)
        assert path in self.answers, f"the test does not say what {path} answers"
        answer = self.answers[path]
        if isinstance(answer, Exception):
            raise answer
        return FakeAnswer(answer.body, answer.status, answer.headers)


@dataclass
class FakeAnswer:
    """urllib3's response: a body that is read bit by bit."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def read1(self, amount: int) -> bytes:
        chunk, self.body = self.body[:amount], self.body[amount:]
        return chunk

    def close(self) -> None:
        """Nothing is open."""
