"""Every deploy makes sure that the roles have what they need, and nothing else."""

from contextlib import closing

import psycopg
import pytest
from psycopg import sql

from functions.run_migrations import migrations, roles
from functions.run_migrations.migrations import Migration
from local.servers.postgres import Postgres
from shared.platform.settings import MissingSetting
from tests.integration import concurrency
from tests.integration.database_roles import CATALOG, OWNER, PASSWORDS, SERVICE
from tests.integration.deploy.conftest import Cluster, Deploy, credentials, roles_made


def privileges(cluster: Cluster) -> list[tuple[object, ...]]:
    """All that is granted to anybody in the database, and who can log in."""
    with cluster.connect(OWNER) as owner:
        rows = owner.execute(
            """
            SELECT 'table' AS kind, oid::regclass::text AS name, unnest(relacl)::text AS privilege
              FROM pg_class WHERE relnamespace = 'public'::regnamespace
             UNION ALL
            SELECT 'column', attrelid::regclass || '.' || attname, unnest(attacl)::text FROM pg_attribute
             UNION ALL
            SELECT 'schema', nspname, unnest(nspacl)::text FROM pg_namespace
             UNION ALL
            SELECT 'database', datname, unnest(datacl)::text FROM pg_database
             WHERE datname = current_database()
             UNION ALL
            SELECT 'role', rolname, to_jsonb(pg_roles)::text FROM pg_roles
             UNION ALL
            SELECT 'member', member::regrole::text, to_jsonb(pg_auth_members)::text FROM pg_auth_members
             ORDER BY 1, 2, 3
            """
        ).fetchall()
    return [tuple(row.values()) for row in rows]


def test_a_second_deploy_changes_nothing(deployed: Cluster, deploy: Deploy) -> None:
    before = privileges(deployed)
    assert any(SERVICE in str(row) for row in before)
    assert deploy() == {"applied": [], "admin_created": False}
    assert privileges(deployed) == before
    deployed.connect(SERVICE).close()


CHANGES = {
    "granted more": """
        GRANT ALL ON clients, schema_migrations TO favorites_catalog WITH GRANT OPTION;
        GRANT UPDATE (role), SELECT (email) ON clients TO favorites_service, favorites_catalog;
        GRANT ALL ON SEQUENCE outbox_outbox_id_seq TO favorites_service;
        GRANT ALL ON SCHEMA public TO favorites_service;
    """,
    "the database": 'GRANT ALL ON DATABASE "{}" TO favorites_service',
    "revoked": "REVOKE ALL ON clients FROM favorites_service; ALTER ROLE favorites_service NOLOGIN",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_deploy_sets_right_what_roles_have_too_much_or_too_little(
    deployed: Cluster, deploy: Deploy, change: str
) -> None:
    before = privileges(deployed)
    with deployed.connect(OWNER) as owner:
        owner.execute(CHANGES[change].format(deployed.name).encode())
    assert privileges(deployed) != before
    deploy()
    assert privileges(deployed) == before


def test_the_password_of_the_secret_becomes_the_roles(deployed: Cluster, deploy: Deploy) -> None:
    deploy(SERVICE_CREDENTIALS=credentials(SERVICE, "a new one"))
    deployed.connect(SERVICE, "a new one").close()
    deployed.connect(CATALOG).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        deployed.connect(SERVICE)


def test_the_password_is_in_no_statement_and_the_server_keeps_it_as_scram(
    cluster: Cluster, deploy: Deploy, server: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.superuser.execute(
        sql.SQL("ALTER DATABASE {} SET log_min_duration_statement = 0").format(sql.Identifier(cluster.name))
    )
    deploy(SERVICE_CREDENTIALS=credentials(SERVICE, "one for the log"))
    logged = server._sibling("log").read_text()
    assert 'CREATE ROLE "favorites_service" LOGIN PASSWORD' in logged
    assert "one for the log" not in logged + "".join(capsys.readouterr())
    row = cluster.superuser.execute(
        "SELECT rolpassword FROM pg_authid WHERE rolname = %s", [SERVICE]
    ).fetchone()
    assert row is not None
    assert row[0].startswith("SCRAM-SHA-256$")


def test_runs_at_once_are_safe(cluster: Cluster) -> None:
    def run() -> list[str]:
        with closing(cluster.connect(OWNER)) as own:
            return migrations.run(own, role_passwords=PASSWORDS)

    outcomes = concurrency.at_once([run, run, run])
    names = [migration.name for migration in migrations.load()]
    assert sorted(outcomes, key=str) == sorted([[], [], names], key=str)
    before = privileges(cluster)
    assert concurrency.at_once([run, run, run]) == [[], [], []]
    assert privileges(cluster) == before
    for role in (SERVICE, CATALOG):
        cluster.connect(role).close()


def test_roles_that_fail_leave_all_as_it_was(deployed: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    before = privileges(deployed)
    real = roles._grants
    monkeypatch.setattr(roles, "_grants", lambda name: real(name) + "; GRANT SELECT ON nothing TO PUBLIC")
    with deployed.connect(OWNER) as owner, pytest.raises(psycopg.errors.UndefinedTable):
        migrations.run(owner, role_passwords={SERVICE: "another", CATALOG: "another"})
    assert privileges(deployed) == before
    deployed.connect(SERVICE).close()


def test_a_migration_that_fails_makes_no_roles(cluster: Cluster) -> None:
    with cluster.connect(OWNER) as owner, pytest.raises(psycopg.errors.SyntaxError):
        migrations.run(owner, [Migration(1, "0001_typo.sql", "CREATE TABEL x")], role_passwords=PASSWORDS)
    assert roles_made(cluster) == []


@pytest.mark.parametrize("name", ["favorites", "postgres", "", "../sql/0002_outbox", "favorites_service.sql"])
def test_a_role_without_grants_is_refused(cluster: Cluster, name: str) -> None:
    with cluster.connect(OWNER) as owner, pytest.raises(roles.UnknownRole, match="no grants for a role"):
        migrations.run(owner, role_passwords={name: "a password"})
    assert roles_made(cluster) == []


# ── The settings ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", ["", "ServiceCredentials"])
def test_without_secrets_there_are_no_roles(cluster: Cluster, deploy: Deploy, value: str) -> None:
    deploy(SERVICE_CREDENTIALS=value, CATALOG_CREDENTIALS=value)
    assert roles_made(cluster) == []


def test_a_secret_of_another_shape_fails_before_anything_is_migrated(
    cluster: Cluster, deploy: Deploy
) -> None:
    with pytest.raises(MissingSetting, match="CATALOG_CREDENTIALS"):
        deploy(CATALOG_CREDENTIALS='{"username": "favorites_catalog"}')
    with cluster.connect(OWNER) as owner:
        assert owner.execute("SELECT FROM pg_tables WHERE schemaname = 'public'").rowcount == 0
