"""How PostgreSQL reads for each favorites operation: by an index, and no more rows than the answer needs."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from local.servers.postgres import Postgres
from local.servers.valkey import Valkey
from tests.benchmarks import operations
from tests.benchmarks.fixtures import filling, sessions
from tests.benchmarks.fixtures.function_process import FunctionProcess
from tests.integration.conftest import ACCESS_TOKEN_KEYS, NOBODY_LISTENS


@pytest.fixture(scope="module")
def filled(postgres: Postgres, valkey_server: Valkey) -> Iterator[FunctionProcess]:
    """A process of the functions on a database of 10 thousand favorites, one client's being 2,500."""
    name = "plans"
    with psycopg.connect(postgres.start(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = f"{postgres.url.rpartition('/')[0]}/{name}"
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        filling.fill(connection, filling.SMALL)
    variables = {
        "DATABASE_URL": url,
        "REDIS_URL": valkey_server.url,
        "CATALOG_URL": NOBODY_LISTENS,
        "ACCESS_TOKEN_KEYS": ACCESS_TOKEN_KEYS,
    }
    with FunctionProcess(variables) as process:
        yield process
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_every_statement_of_favorites_is_a_bounded_index_scan(
    filled: FunctionProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCESS_TOKEN_KEYS", ACCESS_TOKEN_KEYS)
    plans = operations.plans(sessions.Sessions(filling.SMALL, filled), filled)
    assert operations.all_unbounded(plans) == []
    assert plans.keys() == sessions.ROWS.keys()
