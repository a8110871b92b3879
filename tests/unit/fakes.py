"""What the service stands on, in memory: Valkey and the catalog, each faked where it is reached.

Everything above those edges is the real code. There is no PostgreSQL: a function that asks for it misses its
setting and answers 500, so that a refusal is one without a look at the database.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, cast
from uuid import uuid4

import pytest
import redis
import urllib3

from shared.accounts import login_attempts, registrations
from shared.platform import valkey as cache
from shared.products import catalog, demand, poll, product_cache
from tests.calls import ANA

SIGNING_KEY = "the-secret-that-signs-and-verifies-today"
RETIRED_KEY = "the-secret-that-signed-last-month-only-verifies"
CATALOG_URL = "http://catalog.test"

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOW = NOON.timestamp() + 0.25  # seconds since the epoch


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
        "generation": 0,
        "auth_time": 0,
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


@dataclass
class Backends:
    """All that one execution environment talks to."""

    valkey: "FakeValkey"
    catalog: "FakeCatalog"


def backends(monkeypatch: pytest.MonkeyPatch) -> Iterator[Backends]:
    """The fakes in the places of the real ones, and the settings of a function; a fixture."""
    monkeypatch.setenv("ACCESS_TOKEN_KEYS", json.dumps({"2026-11": SIGNING_KEY, "2026-10": RETIRED_KEY}))
    monkeypatch.setenv("REDIS_URL", "redis://valkey.test")
    monkeypatch.setenv("CATALOG_URL", CATALOG_URL)
    monkeypatch.setenv("PRODUCT_CACHE_TTL_SECONDS", "300")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    fakes = Backends(FakeValkey(), FakeCatalog())
    monkeypatch.setattr(cache, "_connected", lambda: FakeConnectionPool(fakes.valkey))
    monkeypatch.setattr(urllib3, "PoolManager", lambda **_: fakes.catalog)
    _forget()
    yield fakes
    _forget()


def _forget() -> None:
    """Make the environment a new one: nothing remembered from the test before."""
    cache.close()
    catalog.reset()
    demand.forget_unknown()


# ── Valkey ────────────────────────────────────────────────────────────────────────────────────────────────


class FakeValkey:
    """The commands that the service sends, on a dict. Time does not pass in it; what a key was given to live
    is kept.

    Lua does not run here: what the scripts do is tested against the real server.
    """

    def __init__(self) -> None:
        self.values: dict[str, bytes | dict[str, bytes]] = {}
        self.seconds_to_live: dict[str, float] = {}
        self.commands: list[str] = []
        self.is_down = False
        self.wait_after_this_log_in = 0  # what the script that counts log-ins answers

    def answer(self, name: str, *words: str) -> Any:
        """What the command is answered, as redis-py reads it."""
        self.commands.append(name)
        if self.is_down:
            raise redis.ConnectionError("Connection refused.")
        answers: dict[str, Callable[..., Any]] = {
            "GET": self.values.get,
            "SET": self._set,
            "HMGET": self._hmget,
            "EXISTS": lambda key: int(key in self.values),
            "DEL": lambda key: int(self.values.pop(key, None) is not None),
            "PING": lambda: b"PONG",
            "EVAL": self._eval,
        }
        return answers[name](*words)

    def _set(self, key: str, value: str, *options: str) -> bytes | None:
        held = cast("bytes | None", self.values.get(key))
        if options[0] == "EX":
            self._keep(key, value, float(options[1]))
            return b"OK"
        nx, px, milliseconds, get = options
        assert (nx, px, get) == ("NX", "PX", "GET")
        if held is None:
            self._keep(key, value, int(milliseconds) / 1000)
        return held

    def _hmget(self, key: str, *fields: str) -> list[bytes | None]:
        held = cast("dict[str, bytes]", self.values.get(key, {}))
        return [held.get(name) for name in fields]

    def _eval(self, script: str, _number_of_keys: str, key: str, *arguments: str) -> Any:
        if script == product_cache._PUT_IF_NEWER:
            value, _, _, seconds = arguments
            self._keep(key, value, float(seconds))
            return 1
        if script == product_cache._RELEASE:
            token, back_off = arguments
            if self.values.get(key) != token.encode():
                return 0
            if back_off != "0":
                self._keep(key, "failed", int(back_off) / 1000)
            else:
                del self.values[key]
            return 1
        if script == product_cache._KEEP_LIST:
            held = cast("dict[str, bytes]", self.values.setdefault(key, {}))
            for field_name, value in zip(arguments[::2], arguments[1::2], strict=True):
                if float(held.get(field_name, b"-1")) < float(value):
                    held[field_name] = value.encode()
            return 1
        if script == registrations._ASK:
            return b"0"
        if script in (login_attempts._TAKE_BACK, login_attempts._SUCCEED):
            return 0
        assert script == login_attempts._ATTEMPT, "a script that this fake does not know"
        return self.wait_after_this_log_in

    def _keep(self, key: str, value: str, seconds: float) -> None:
        self.values[key] = value.encode()
        self.seconds_to_live[key] = seconds


class FakeConnectionPool:
    """The one connection to FakeValkey, which speaks RESP."""

    def __init__(self, valkey: FakeValkey) -> None:
        self._valkey = valkey
        self._asked: list[list[str]] = []
        self.is_kept = False

    def get_connection(self) -> "FakeConnectionPool":
        return self

    def send_packed_command(self, parts: list[bytes]) -> None:
        sent = BytesIO(b"".join(parts))
        while array := sent.readline():
            words = [sent.read(int(sent.readline()[1:]) + 2) for _ in range(int(array[1:]))]
            self._asked.append([word[:-2].decode() for word in words])

    def read_response(self) -> Any:
        return self._valkey.answer(*self._asked.pop(0))

    def disconnect(self) -> None:
        self._asked.clear()

    def release(self, _connection: object) -> None:
        """There is one for all."""


def lease_of_another(valkey: FakeValkey, name: str) -> None:
    """Let somebody else be refreshing `name`."""
    valkey.values[f"lease:{name}"] = secrets.token_hex(8).encode()


def list_was_read(valkey: FakeValkey, *, at: float, generation: int = 1) -> None:
    """Let the catalog's whole list have been read at that time (seconds since the epoch)."""
    valkey.values["products"] = {"generation": str(generation).encode(), "synced_at": f"{at:.3f}".encode()}


# ── The catalog ─────────────────────────────────────────────────────────────────────────────────────────


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
