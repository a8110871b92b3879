"""A database whose owner is what RDS's master is, and a deploy to it."""

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from functions.run_migrations import handler
from local.servers.postgres import Postgres
from shared.platform import database
from shared.platform.database import Connection
from tests.conftest import superuser_url
from tests.integration.database_roles import CATALOG, OWNER, PASSWORDS, SERVICE, url_for


@dataclass
class Cluster:
    """A database whose owner is what RDS's master is: no superuser, but they may make roles."""

    host: str
    superuser: psycopg.Connection
    name: str = field(default_factory=lambda: f"rds_{uuid.uuid4().hex}")

    def url(self, role: str, password: str | None = None) -> str:
        """The database's address for the role, with the password that it was given."""
        if role == OWNER:
            return f"postgresql://{self.name}:{self.name}@{self.host}/{self.name}"
        return url_for(role, f"postgresql://{self.host}/{self.name}", password)

    def connect(self, role: str, password: str | None = None) -> Connection:
        return psycopg.connect(self.url(role, password), autocommit=True, row_factory=dict_row)

    def make(self) -> None:
        name = sql.Identifier(self.name)
        self.superuser.execute(
            sql.SQL("CREATE ROLE {} LOGIN CREATEROLE CREATEDB PASSWORD {}").format(name, self.name)
        )
        self.superuser.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, name))

    def remove(self) -> None:
        name = sql.Identifier(self.name)
        self.superuser.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        for role in (SERVICE, CATALOG):
            self.superuser.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))
        self.superuser.execute(sql.SQL("DROP ROLE {}").format(name))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server of these tests' own: roles belong to all databases of one."""
    with Postgres(tmp_path_factory.mktemp("roles") / "postgres", durable=False) as server:
        yield server


@pytest.fixture
def cluster(server: Postgres) -> Iterator[Cluster]:
    address = urlsplit(server.url)
    with psycopg.connect(superuser_url(server.url), autocommit=True) as connection:
        cluster = Cluster(f"{address.hostname}:{address.port}", connection)
        cluster.make()
        yield cluster
        cluster.remove()


Deploy = Callable[..., dict[str, object]]


@pytest.fixture
def deploy(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deploy]:
    """Invoke the migrations as the owner, with these secrets or those of PASSWORDS."""

    def deploy(**secrets: str) -> dict[str, object]:
        database.close()
        with monkeypatch.context() as patch:
            patch.setenv("DATABASE_URL", cluster.url(OWNER))
            for name, role in (("SERVICE_CREDENTIALS", SERVICE), ("CATALOG_CREDENTIALS", CATALOG)):
                patch.setenv(name, secrets.get(name, credentials(role, PASSWORDS[role])))
            for name in ("ADMIN_EMAIL", "ADMIN_PASSWORD"):
                patch.delenv(name, raising=False)
            return handler.lambda_handler({}, None)

    yield deploy
    database.close()


def credentials(role: str, password: str) -> str:
    return json.dumps({"username": role, "password": password})


@pytest.fixture
def deployed(cluster: Cluster, deploy: Deploy) -> Cluster:
    """The cluster after a deploy."""
    deploy()
    return cluster


def roles_made(cluster: Cluster) -> list[str]:
    rows = cluster.superuser.execute(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s) ORDER BY 1", [[SERVICE, CATALOG]]
    )
    return [name for (name,) in rows]
