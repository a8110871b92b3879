"""TLS to PostgreSQL and to Valkey: only to a server whose certificate and name are right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from local.servers.postgres import Postgres
from local.servers.valkey import Valkey
from shared.errors import DatabaseUnavailable
from shared.platform import database, deadlines, valkey
from tests.benchmarks.fixtures.tls import Tls
from tests.integration import recorder

RDS = Path(valkey.AUTHORITIES).parent / "rds"


@pytest.fixture(scope="module")
def tls(
    migrated_postgres: Postgres, valkey_server: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tls]:
    """Both servers behind TLS, with certificates for 127.0.0.1 from an authority of their own."""
    ports = [urlsplit(server.url).port or 0 for server in (migrated_postgres, valkey_server)]
    with Tls(tmp_path_factory.mktemp("tls"), *ports) as proxy:
        yield proxy


# ── Valkey ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def cache(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Variables of functions that use Valkey over TLS."""
    valkey.close()
    monkeypatch.setattr(valkey, "TIMEOUT", 2.0)  # what is looked at is not how quick a busy machine is
    monkeypatch.setenv("REDIS_URL", f"rediss://127.0.0.1:{tls.valkey}/0")
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority))
    yield monkeypatch
    valkey.close()


@pytest.mark.usefixtures("cache")
def test_valkey_is_used_over_tls_where_its_certificate_is_right() -> None:
    assert valkey.pipeline(("PING",), seconds=2) == [b"PONG"]


@pytest.mark.parametrize("wrong", ["authority", "name"])
def test_valkey_whose_certificate_is_wrong_is_refused_in_one_line_of_the_log(
    cache: pytest.MonkeyPatch, tls: Tls, wrong: str
) -> None:
    lines = recorder.log(cache)
    if wrong == "authority":
        cache.delenv("SSL_CERT_FILE")  # the authorities of AWS
    else:
        cache.setenv("REDIS_URL", f"rediss://localhost:{tls.valkey}/0")
    with pytest.raises(valkey.CacheDown):
        valkey.pipeline(("PING",), seconds=2)
    with pytest.raises(valkey.CacheDown):  # and nobody tries again at once
        valkey.pipeline(("PING",), seconds=2)
    (line,) = lines
    assert (line.level, line.message) == ("warning", "cache down")
    assert "CERTIFICATE_VERIFY_FAILED" in line.more["reason"]


# ── PostgreSQL ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def database_url(migrated_postgres: Postgres, tls: Tls) -> Iterator[str]:
    """The database's address over TLS, without what is trusted."""
    database.close()
    port = urlsplit(migrated_postgres.url).port
    yield migrated_postgres.url.replace(f":{port}/", f":{tls.postgres}/") + "?sslmode=verify-full"
    database.close()


def select_one(connection: database.Connection) -> tuple[object, bool]:
    row = connection.execute("SELECT 1 AS one").fetchone()
    return row, connection.pgconn.ssl_in_use


def test_postgresql_is_used_over_tls_where_its_certificate_is_right(
    database_url: str, tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{database_url}&sslrootcert={quote(str(tls.authority))}")
    with deadlines.within(10):
        assert database.run(select_one, idempotent=True) == ({"one": 1}, True)


WRONG = {
    "authority": ("127.0.0.1", RDS / "us-east-1.pem", "certificate verify failed"),
    "name": ("localhost", None, 'does not match host name "localhost"'),
    "region": ("127.0.0.1", RDS / "xx-nowhere-1.pem", 'xx-nowhere-1.pem" does not exist'),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_postgresql_whose_certificate_is_wrong_is_refused(
    database_url: str, tls: Tls, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    host, authorities, reason = WRONG[wrong]
    url = database_url.replace("@127.0.0.1:", f"@{host}:")
    monkeypatch.setenv("DATABASE_URL", f"{url}&sslrootcert={quote(str(authorities or tls.authority))}")
    with deadlines.within(10), pytest.raises(DatabaseUnavailable) as refused:
        database.run(select_one, idempotent=True)
    assert reason in str(refused.value)
