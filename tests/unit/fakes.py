"""What the service stands on, in memory: PostgreSQL, Valkey, the catalog, each faked where it is reached.

Everything above those three edges is the real code.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar, cast

import psycopg
import pytest
import redis
import simplejson
import urllib3

from shared import health
from shared.accounts import login_attempts, registrations
from shared.errors import DatabaseUnavailable
from shared.platform import database
from shared.platform import valkey as cache
from shared.products import catalog, demand, poll, product_cache
from tests.calls import ANA

Row = dict[str, Any]
Result = TypeVar("Result")

SIGNING_KEY = "the-secret-that-signs-and-verifies-today"
RETIRED_KEY = "the-secret-that-signed-last-month-only-verifies"
CATALOG_URL = "http://catalog.test"

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@dataclass
class Backends:
    """All that one execution environment talks to."""

    postgres: "FakePostgres"
    valkey: "FakeValkey"
    catalog: "FakeCatalog"


def backends(monkeypatch: pytest.MonkeyPatch) -> Iterator[Backends]:
    """The fakes in the places of the real ones, and the settings of a function; a fixture."""
    monkeypatch.setenv("ACCESS_TOKEN_KEYS", json.dumps({"2026-11": SIGNING_KEY, "2026-10": RETIRED_KEY}))
    monkeypatch.setenv("REDIS_URL", "redis://valkey.test")
    monkeypatch.setenv("CATALOG_URL", CATALOG_URL)
    monkeypatch.setenv("PRODUCT_CACHE_TTL_SECONDS", "300")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    fakes = Backends(FakePostgres(), FakeValkey(), FakeCatalog())
    for name in ("fetch_one", "fetch_all", "execute", "run", "transaction", "connection"):
        monkeypatch.setattr(database, name, getattr(fakes.postgres, name))
    monkeypatch.setattr(cache, "_connected", lambda: fakes.valkey)
    monkeypatch.setattr(urllib3, "PoolManager", lambda **_: fakes.catalog)
    fakes.postgres.on("DELETE FROM sessions WHERE session_hash IN", 0)  # none that expired, unless told
    _forget()
    yield fakes
    _forget()


def _forget() -> None:
    """Make the environment a new one: nothing remembered from the test before."""
    cache.close()
    catalog.reset()
    health._catalog = None
    demand.forget_unknown()


# ── PostgreSQL ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Asked:
    """A statement that came in, its white space collapsed, and what it was given."""

    statement: str
    parameters: Mapping[str, Any]


class FakePostgres:
    """`shared.platform.database` with a script for a server: what each statement finds, and what was asked.

    postgres.on("INSERT INTO clients", [row])           # rows, or
    postgres.on("DELETE FROM favorites", 1)             # how many rows were written, or
    postgres.on("UPDATE clients", UniqueViolation())    # an error;
    postgres.on("FROM favorites", [], [row])            # in turn, the last one stays
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.is_down = False
        self._script: list[tuple[str, list[list[Row] | int | Exception]]] = []

    def on(self, fragment: str, *outcomes: list[Row] | int | Exception) -> None:
        """What statements with the fragment find; what was said last is looked at first."""
        self._script.insert(0, (fragment, list(outcomes)))

    def asked_for(self, fragment: str) -> list[Mapping[str, Any]]:
        """The parameters of each statement with the fragment."""
        return [asked.parameters for asked in self.asked if fragment in asked.statement]

    @property
    def statements(self) -> list[str]:
        """All statements, in order."""
        return [asked.statement for asked in self.asked]

    # As in shared.platform.database:

    def connection(self) -> database.Connection:
        self._check_up()
        return cast("database.Connection", FakeConnection(self))

    def run(self, work: Callable[[database.Connection], Result], *, repeatable: bool) -> Result:  # noqa: ARG002
        return work(self.connection())

    def transaction(self, work: Callable[[database.Connection], Result]) -> Result:
        with self.connection().transaction():
            return work(self.connection())

    def fetch_one(
        self, row: Callable[..., Result], query: str, parameters: Row, *, repeatable: bool = False
    ) -> Result | None:
        rows = self.fetch_all(row, query, parameters, repeatable=repeatable)
        return rows[0] if rows else None

    def fetch_all(
        self,
        row: Callable[..., Result],
        query: str,
        parameters: Row,
        *,
        repeatable: bool = False,  # noqa: ARG002
    ) -> list[Result]:
        return [row(**found) for found in self.ask(query, parameters).fetchall()]

    def execute(self, query: str, parameters: Row, *, repeatable: bool = False) -> int:  # noqa: ARG002
        return self.ask(query, parameters).rowcount

    def ask(self, query: str, parameters: Row | None = None) -> "FakeCursor":
        """Send the statement, as psycopg would."""
        self._check_up()
        asked = Asked(" ".join(query.split()), parameters or {})
        self.asked.append(asked)
        if any(isinstance(value, str) and "\0" in value for value in asked.parameters.values()):
            raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
        for fragment, outcomes in self._script:
            if fragment in asked.statement:
                outcome = outcomes[0] if len(outcomes) == 1 else outcomes.pop(0)
                if isinstance(outcome, Exception):
                    raise outcome
                return FakeCursor(outcome)
        raise AssertionError(f"the test does not say what this finds: {asked.statement}")

    def note(self, word: str) -> None:
        """Write down where a transaction begins and ends."""
        self.asked.append(Asked(word, {}))

    def _check_up(self) -> None:
        if self.is_down:
            raise DatabaseUnavailable("The database cannot be reached.", retry_after=1)


class FakeCursor:
    """What a statement found: rows as dicts, or what a row factory of psycopg's makes of them."""

    _encoding = "utf-8"

    def __init__(self, outcome: list[Row] | int) -> None:
        self._rows: list[Any] = [] if isinstance(outcome, int) else [dict(row) for row in outcome]
        self.rowcount = outcome if isinstance(outcome, int) else len(outcome)
        names = list(self._rows[0]) if self._rows else []
        self.pgresult = FakeResult(names)

    def made_by(self, row_factory: Callable[[Any], Callable[[Sequence[Any]], Any]]) -> "FakeCursor":
        make = row_factory(self)
        self._rows = [make(list(row.values())) for row in self._rows]
        return self

    def fetchone(self) -> Any:
        return self._rows.pop(0) if self._rows else None

    def fetchall(self) -> list[Any]:
        return self._rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)


@dataclass(frozen=True)
class FakeResult:
    """What psycopg's row factories ask of a result: the names of its columns."""

    names: list[str]
    status = psycopg.pq.ExecStatus.TUPLES_OK

    @property
    def nfields(self) -> int:
        return len(self.names)

    def fname(self, index: int) -> bytes:
        return self.names[index].encode()


class FakeConnection:
    """A connection to FakePostgres."""

    closed = False

    def __init__(self, postgres: FakePostgres) -> None:
        self._postgres = postgres

    def execute(self, query: str, parameters: Row | None = None) -> FakeCursor:
        return self._postgres.ask(query, parameters)

    @contextmanager
    def cursor(self, *, row_factory: Any) -> Iterator["FakeCursorOfRows"]:
        yield FakeCursorOfRows(self._postgres, row_factory)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._postgres.note("BEGIN")
        try:
            yield
        except BaseException:
            self._postgres.note("ROLLBACK")
            raise
        self._postgres.note("COMMIT")


class FakeCursorOfRows:
    """A cursor before its statement."""

    def __init__(self, postgres: FakePostgres, row_factory: Any) -> None:
        self._postgres = postgres
        self._row_factory = row_factory
        self._found = FakeCursor(0)

    def execute(self, query: str, parameters: Row | None = None) -> FakeCursor:
        self._found = self._postgres.ask(query, parameters).made_by(self._row_factory)
        return self._found

    def __iter__(self) -> Iterator[Any]:
        return iter(self._found)


# Rows as the statements return them, to be changed at will:


def client_row(**changes: Any) -> Row:
    """A row of `clients`: Ana, unless it is changed."""
    return {
        "client_id": ANA,
        "name": "Ana Souza",
        "email": "ana@example.com",
        "role": "client",
        "created_at": NOON,
        "updated_at": NOON,
    } | changes


def favorite_row(**changes: Any) -> Row:
    """What a look-up finds: a favorite with its product, rendered as PostgreSQL does it."""
    favorite = {
        "product_id": "7",
        "title": "Teapot",
        "image": "https://images.test/7.png",
        "price": Decimal("22.30"),
        "review": {"rate": Decimal("4.6"), "count": 120},
        "available": True,
        "price_when_favorited": Decimal("25.00"),
        "price_change": Decimal("-2.70"),
        "favorited_at": "2026-11-23T12:00:00.000000Z",
    } | changes
    return {"favorite": simplejson.dumps(favorite)}


def marked_row(*, created: bool, **changes: Any) -> Row:
    """What marking a product finds that is a favorite now."""
    return favorite_row(**changes) | {"created": created, "is_full": None, "is_known": True}


def listed_row(**changes: Any) -> Row:
    """A favorite of a page, by default sorted by its date; the client has 30."""
    favorite = favorite_row(**changes)
    shown = simplejson.loads(favorite["favorite"])
    return favorite | {
        "favorites_count": 30,
        "product_id": shown["product_id"],
        "place": shown["favorited_at"],
    }


# What the same statements find where the client has no such favorite.
NO_FAVORITE: Row = {"favorite": None}
NOT_MARKED: Row = {"favorite": None, "created": None, "is_full": False, "is_known": False}
NONE_LISTED: Row = {"favorite": None, "favorites_count": 30, "product_id": None, "place": None}


def product_row(**changes: Any) -> Row:
    """A row of `products`, as old as the time that the test has; `changed` and `confirmed` as it needs."""
    return {
        "product_id": "7",
        "title": "Teapot",
        "price": Decimal("22.30"),
        "description": "Holds a liter.",
        "category": "kitchen",
        "image": "https://images.test/7.png",
        "review_rate": Decimal("4.6"),
        "review_count": 120,
        "version": int(time.time() * 1000),
        "position": 6,
        "fetched_at": datetime.fromtimestamp(time.time(), UTC),
        "removed_at": None,
    } | changes


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
