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
    monkeypatch.setattr(cache, "_connected", lambda: fakes.valkey)
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
    """A Redis-protocol client on a dict. Time does not pass in it; what a key was given to live is kept.

    Lua does not run here: what the scripts do is tested against the real server.
    """

    def __init__(self) -> None:
        self.values: dict[str, bytes | dict[str, bytes]] = {}
        self.seconds_to_live: dict[str, float] = {}
        self.commands: list[str] = []
        self.is_down = False
        self.wait_after_this_log_in = 0  # what the script that counts log-ins answers

    def get(self, key: str) -> bytes | None:
        self._command("GET")
        return cast("bytes | None", self.values.get(key))

    def set(
        self,
        key: str,
        value: str | bytes,
        *,
        nx: bool = False,
        px: int | None = None,
        ex: int | None = None,
        get: bool = False,
    ) -> bytes | bool | None:
        self._command("SET")
        held = cast("bytes | None", self.values.get(key))
        if not (nx and held is not None):
            self._keep(key, value, px / 1000 if px else ex)
        return held if get else True

    def hmget(self, key: str, fields: list[str]) -> list[bytes | None]:
        self._command("HMGET")
        held = cast("dict[str, bytes]", self.values.get(key, {}))
        return [held.get(name) for name in fields]

    def hset(
        self, key: str, name: str | None = None, value: str | None = None, *, items: list[str] | None = None
    ) -> int:
        self._command("HSET")
        pairs = items or [name or "", value or ""]
        held = cast("dict[str, bytes]", self.values.setdefault(key, {}))
        held.update({field: text.encode() for field, text in zip(pairs[::2], pairs[1::2], strict=True)})
        return 0

    def exists(self, key: str) -> int:
        self._command("EXISTS")
        return int(key in self.values)

    def delete(self, key: str) -> int:
        self._command("DEL")
        return int(self.values.pop(key, None) is not None)

    def ping(self) -> bool:
        self._command("PING")
        return True

    def eval(self, script: str, _number_of_keys: int, key: str, *arguments: Any) -> Any:
        self._command("EVAL")
        if script is product_cache._PUT_IF_NEWER:
            value, _, _, seconds = arguments
            self._keep(key, value, seconds)
            return 1
        if script is product_cache._RELEASE:
            token, back_off = arguments
            if self.values.get(key) != token:
                return 0
            if back_off:
                self._keep(key, b"failed", back_off / 1000)
            else:
                del self.values[key]
            return 1
        if script is product_cache._KEEP_LIST:
            held = cast("dict[str, bytes]", self.values.setdefault(key, {}))
            for field_name, value in zip(arguments[::2], arguments[1::2], strict=True):
                if float(held.get(field_name, b"-1")) < float(value):
                    held[field_name] = str(value).encode()
            return 1
        if script is registrations._ASK:
            return b"0"
        if script in (login_attempts._TAKE_BACK, login_attempts._SUCCEED):
            return 0
        assert script is login_attempts._ATTEMPT, "a script that this fake does not know"
        return self.wait_after_this_log_in

    @property
    def connection_pool(self) -> "FakeConnectionPool":
        return FakeConnectionPool(self)

    def pipeline(self, *, transaction: bool) -> "FakePipeline":
        assert not transaction  # its keys may be on different servers
        return FakePipeline(self)

    def close(self) -> None:
        """Nothing is open."""

    def _keep(self, key: str, value: str | bytes, seconds: float | None) -> None:
        self.values[key] = value.encode() if isinstance(value, str) else value
        if seconds is not None:
            self.seconds_to_live[key] = seconds

    def _command(self, name: str) -> None:
        self.commands.append(name)
        if self.is_down:
            raise redis.ConnectionError("Connection refused.")


class FakePipeline:
    """Commands that are sent together."""

    def __init__(self, valkey: FakeValkey) -> None:
        self._valkey = valkey
        self._waiting: list[Callable[[], Any]] = []

    def eval(self, *arguments: Any) -> None:
        self._waiting.append(lambda: self._valkey.eval(*arguments))

    def execute(self) -> list[Any]:
        return [command() for command in self._waiting]


class FakeConnectionPool:
    """The one connection to FakeValkey, for what is read with commands written out as RESP has them."""

    def __init__(self, valkey: FakeValkey) -> None:
        self._valkey = valkey
        self._asked: list[list[str]] = []

    def get_connection(self) -> "FakeConnectionPool":
        return self

    def send_packed_command(self, commands: list[bytes]) -> None:
        for command in b"".join(commands).decode().split("*")[1:]:
            self._asked.append(command.split("\r\n")[2::2])

    def read_response(self) -> bytes | list[bytes | None] | None:
        name, key, *fields = self._asked.pop(0)
        assert name in ("GET", "HMGET")
        return self._valkey.get(key) if name == "GET" else self._valkey.hmget(key, fields)

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
