"""One execution environment of the service, in this process, on the services of the run."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import psycopg
import pytest
from psycopg.rows import dict_row

from local.postgres import Postgres
from local.valkey import Valkey
from shared import cache, catalog, database, products, settings
from tests.hostile_catalog import HostileCatalog

ACCESS_TOKEN_KEYS = '{"test": "a secret for tests that is longer than 32 bytes"}'
NOBODY_LISTENS = "http://127.0.0.1:9"  # the discard port: refused at once


def cold_start() -> None:
    """Forget what an execution environment keeps between requests, as a new one would not know it."""
    database.close()
    cache.close()
    catalog.reset()
    products._synced_here = 0.0


@pytest.fixture
def look(database: psycopg.Connection) -> psycopg.Connection:
    """A connection of the test's own to the migrated database, empty, to look at what the service did."""
    return database


@pytest.fixture
def environment(
    look: psycopg.Connection, valkey: Valkey, migrated_postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.MonkeyPatch]:
    """The settings and a cold start; the catalogue is one where nobody listens."""
    assert not look.closed
    monkeypatch.setenv("DATABASE_URL", migrated_postgres.url)
    monkeypatch.setenv("REDIS_URL", valkey.url)
    monkeypatch.setenv("CATALOG_URL", NOBODY_LISTENS)
    monkeypatch.setenv("ACCESS_TOKEN_KEYS", ACCESS_TOKEN_KEYS)
    monkeypatch.delenv("PRODUCT_CACHE_TTL_SECONDS", raising=False)
    cold_start()
    yield monkeypatch
    cold_start()


@pytest.fixture(scope="session")
def shared_store() -> Iterator[HostileCatalog]:
    """One catalogue for all tests that only program its answers: stopping one takes longer than most tests."""
    server = HostileCatalog()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def store(environment: pytest.MonkeyPatch, shared_store: HostileCatalog) -> HostileCatalog:
    """The catalogue that the environment asks: well-behaved until the test programs it otherwise."""
    shared_store.behave()
    shared_store.forget_calls()
    shared_store.start()
    environment.setenv("CATALOG_URL", shared_store.url)
    return shared_store


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
def travel(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let so many seconds pass for what this process reads from its clock."""
    real_time, real_time_ns, ahead = time.time, time.time_ns, 0.0

    def pass_seconds(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    monkeypatch.setattr(time, "time", lambda: real_time() + ahead)
    monkeypatch.setattr(time, "time_ns", lambda: real_time_ns() + int(ahead * 1e9))
    return pass_seconds
