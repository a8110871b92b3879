"""The real services behind the tests: each starts when a test first asks for it, once per process."""

from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from functions.run_migrations import migrations
from local.servers.postgres import Postgres
from local.servers.valkey import Valkey
from tests.hostile_catalog import HostileCatalog
from tests.integration.database_roles import PASSWORDS


class ByStack(LoadScopeScheduling):  # type: ignore[misc]
    """A file goes to one process as a whole, and so do all that ask one stack or start `make sam-local`."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "stacks" if path.startswith(("tests/e2e/api/", "tests/e2e/test_sam_local.py")) else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByStack:
    """How `pytest --numprocesses` shares out the tests: in their order, the slow ones of e2e first."""
    config.option.loadscopereorder = False
    return ByStack(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each reason why tests were skipped, with how many they are (and not one for each test)."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"SKIPPED [{count}] {reason}")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """The PostgreSQL of the run; for tests that restart it. All others want `db`."""
    with Postgres(tmp_path_factory.mktemp("services") / "postgres", durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres: Postgres) -> str:
    return postgres.url


@pytest.fixture(scope="session")
def migrated_postgres(postgres: Postgres) -> Postgres:
    """The PostgreSQL of the run, its schema up to date, with the roles that functions log in as."""
    url = postgres.start()
    with psycopg.connect(superuser_url(url), autocommit=True) as superuser:
        superuser.execute(
            sql.SQL("ALTER ROLE {} CREATEROLE").format(sql.Identifier(urlsplit(url).username or ""))
        )
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        migrations.run(connection, role_passwords=PASSWORDS)
    return postgres


def superuser_url(url: str) -> str:
    """Where the server's superuser connects, by the address of the owner's database."""
    address = urlsplit(url)
    return f"postgresql://postgres:{address.password}@{address.hostname}:{address.port}/postgres"


@pytest.fixture
def db(migrated_postgres: Postgres) -> Iterator[psycopg.Connection]:
    """An autocommit connection to the migrated database, its tables empty."""
    with psycopg.connect(migrated_postgres.start(), autocommit=True) as connection:
        _empty_tables(connection)
        yield connection


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Valkey]:
    with Valkey() as server:
        yield server


@pytest.fixture
def valkey(valkey_server: Valkey) -> Valkey:
    """The Valkey of the run, empty and running; a test may stop, kill and restart it."""
    valkey_server.start()
    valkey_server.flush()
    return valkey_server


@pytest.fixture
def hostile_catalog() -> Iterator[HostileCatalog]:
    """A catalog of the test's own that can be programmed to answer badly."""
    server = HostileCatalog()
    server.start()
    yield server
    server.stop()


def _empty_tables(connection: psycopg.Connection) -> None:
    """Empty the tables, save for those whose rows the migrations made."""
    tables = connection.execute(
        """
        SELECT tablename FROM pg_tables
         WHERE schemaname = 'public'
           AND tablename NOT IN ('schema_migrations', 'product_list', 'outbox_turns')
        """
    ).fetchall()
    if tables:
        names = sql.SQL(", ").join(sql.Identifier(name) for (name,) in tables)
        connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(names))
        connection.execute("UPDATE product_list SET synced_at = NULL, scheduled_at = NULL")
