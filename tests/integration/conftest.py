"""One execution environment of the service, in this process, on the services of the run."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import psycopg
import pytest
import redis
from argon2 import PasswordHasher
from psycopg.rows import dict_row

from local.servers.postgres import Postgres
from local.servers.valkey import Valkey
from shared import health
from shared.accounts import passwords
from shared.accounts.access_tokens import Caller
from shared.platform import database, settings
from shared.platform import valkey as cache
from shared.products import catalog as catalog_client
from shared.products import product_cache, write_through
from shared.products.catalog.availability import breaker
from tests.hostile_catalog import HostileCatalog
from tests.integration import accounts
from tests.integration.readers import PATIENCE

Age = Callable[[float], None]

ACCESS_TOKEN_KEYS = '{"test": "a secret for tests that is longer than 32 bytes"}'
NOBODY_LISTENS = "http://127.0.0.1:9"  # the discard port: refused at once
NO_DATABASE = "postgresql://nobody@127.0.0.1:9/none"

_REAL = passwords._hasher
_CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)  # these tests make some thousand clients


def cold_start() -> None:
    """Forget what an execution environment keeps between requests, as a new one would not know it."""
    database.close()
    cache.close()
    catalog_client.reset()
    write_through.forget_missing()
    health._catalog = None


@pytest.fixture
def environment(
    db: psycopg.Connection, valkey: Valkey, migrated_postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.MonkeyPatch]:
    """The settings and a cold start; the catalog is one where nobody listens."""
    assert not db.closed
    monkeypatch.setenv("DATABASE_URL", migrated_postgres.url)
    monkeypatch.setenv("REDIS_URL", valkey.url)
    monkeypatch.setenv("CATALOG_URL", NOBODY_LISTENS)
    monkeypatch.setenv("ACCESS_TOKEN_KEYS", ACCESS_TOKEN_KEYS)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")  # as Lambda does
    monkeypatch.delenv("PRODUCT_CACHE_TTL_SECONDS", raising=False)
    monkeypatch.setattr(passwords, "_hasher", lambda: _CHEAP)
    cold_start()
    yield monkeypatch
    cold_start()


@pytest.fixture
def real_hashes(environment: pytest.MonkeyPatch) -> None:
    """Passwords cost what they cost in production."""
    environment.setattr(passwords, "_hasher", _REAL)


@pytest.fixture
def ana(environment: pytest.MonkeyPatch) -> Caller:
    """A new client with `accounts.EMAIL`, as the caller of a request."""
    assert environment
    return accounts.caller(accounts.register(email=accounts.EMAIL))


@pytest.fixture(scope="session")
def shared_catalog() -> Iterator[HostileCatalog]:
    """One catalog for all tests that only program its answers; stopping it takes longer than most."""
    server = HostileCatalog()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def catalog(environment: pytest.MonkeyPatch, shared_catalog: HostileCatalog) -> HostileCatalog:
    """The catalog that the environment asks: well-behaved until the test programs it otherwise."""
    shared_catalog.behave()
    shared_catalog.forget_calls()
    shared_catalog.start()
    environment.setenv("CATALOG_URL", shared_catalog.url)
    return shared_catalog


@pytest.fixture(params=["full", "replica"])
def refuse_writes(request: pytest.FixtureRequest, valkey: Valkey) -> Iterator[Callable[[], None]]:
    """Let Valkey refuse all writes from now on."""
    with redis.Redis.from_url(valkey.url, protocol=2) as direct:
        held = direct.config_get("maxmemory", "maxmemory-policy")

        def refuse() -> None:
            if request.param == "full":
                direct.config_set("maxmemory-policy", "noeviction")
                direct.config_set("maxmemory", 1)
            else:
                direct.replicaof("127.0.0.1", 9)  # nobody listens there, and the data stays

        yield refuse
        direct.replicaof("NO", "ONE")
        for name, value in held.items():
            direct.config_set(name, value)


@pytest.fixture
def connection_per_thread(environment: pytest.MonkeyPatch) -> Iterator[None]:
    """Every thread has a connection to PostgreSQL of its own, as every execution environment has."""
    opened: list[database.Connection] = []
    own = threading.local()

    def connection() -> database.Connection:
        if not hasattr(own, "connection"):
            own.connection = psycopg.connect(
                settings.database_url(), autocommit=True, prepare_threshold=None, row_factory=dict_row
            )
            opened.append(own.connection)
        held: database.Connection = own.connection
        return held

    environment.setattr(database, "connection", connection)
    yield
    for each in opened:
        with suppress(psycopg.Error):
            each.close()


@pytest.fixture
def patient_cache(environment: pytest.MonkeyPatch) -> None:
    """A command of Valkey may take longer than in production, so that noise is not taken for an outage."""
    assert cache.pipeline.__kwdefaults__
    environment.setitem(cache.pipeline.__kwdefaults__, "seconds", PATIENCE)


@pytest.fixture
def age_everything(environment: pytest.MonkeyPatch, db: psycopg.Connection, valkey: Valkey) -> Age:
    """Let so many seconds pass, by making everything older that the environment and the services keep.

    Clocks are left alone: there is more than one.
    """
    assert environment

    def pass_seconds(seconds: float) -> None:
        db.execute(
            """
            UPDATE products
               SET version = version - %(milliseconds)s, fetched_at = fetched_at - %(interval)s::interval,
                   removed_at = removed_at - %(interval)s::interval
            """,
            {"milliseconds": int(seconds * 1000), "interval": f"{seconds} seconds"},
        )
        db.execute(
            """
            UPDATE product_list SET synced_at = synced_at - %(interval)s::interval,
                                    scheduled_at = scheduled_at - %(interval)s::interval
            """,
            {"interval": f"{seconds} seconds"},
        )
        db.execute("UPDATE products_missed SET version = version - %s", [int(seconds * 1000)])
        with redis.Redis.from_url(valkey.url, protocol=2, decode_responses=True) as client:
            for key in client.scan_iter():
                _make_older(client, key, seconds)
        for product_id in write_through._missing:
            write_through._missing[product_id] -= seconds
        cache._not_before -= seconds
        breaker.open_until -= seconds
        breaker.throttled_until -= seconds

    return pass_seconds


def _make_older(client: redis.Redis, key: str, seconds: float) -> None:
    left = int(client.pttl(key)) - int(seconds * 1000)
    kind, _, name = key.partition(":")
    if kind == "product" and (entry := product_cache.get(name)):
        client.delete(key)
        version, fetched_at = entry.version - int(seconds * 1000), entry.fetched_at - seconds
        product_cache.put(name, replace(entry, version=version, fetched_at=fetched_at))
    elif kind == "unknown":
        since, _, product_id = str(client.get(key)).partition(" ")
        client.set(key, f"{float(since) - seconds:.3f} {product_id}")
    elif key == "products":
        for field in map(str, client.hkeys(key)):
            if field.endswith("_at"):
                client.hincrbyfloat(key, field, -seconds)
        return
    client.pexpire(key, left)  # gone where nothing is left
