"""Which password the console prints: one that works, or none."""

from pathlib import Path

import psycopg
from psycopg.rows import dict_row

from functions.run_migrations import migrations
from local.servers.admin import Secrets, working_password
from local.servers.postgres import Postgres

EMAIL = "admin@example.com"


def create_admin(postgres: Postgres, password: str) -> bool:
    with psycopg.connect(postgres.url, autocommit=True, row_factory=dict_row) as connection:
        return migrations.create_first_admin(connection, EMAIL, password)


def test_only_the_password_that_the_admin_has_works(
    migrated_postgres: Postgres, db: psycopg.Connection
) -> None:
    assert not db.closed
    url = migrated_postgres.url
    assert working_password(url, EMAIL, ["the first password"]) is None
    assert create_admin(migrated_postgres, "the first password")
    assert working_password(url, EMAIL, ["another password", "the first password"]) == "the first password"
    assert working_password(url, "ADMIN@example.com", [None, "the first password"]) == "the first password"
    assert working_password(url, EMAIL, ["another password"]) is None


def test_a_client_with_the_admins_e_mail_is_no_admin(
    migrated_postgres: Postgres, db: psycopg.Connection
) -> None:
    assert create_admin(migrated_postgres, "the first password")
    db.execute("UPDATE clients SET role = 'client'")
    assert working_password(migrated_postgres.url, EMAIL, ["the first password"]) is None


def test_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    made = Secrets(path)
    assert len(made.admin_password) >= 12
    assert path.stat().st_mode & 0o777 == 0o600
    made.keep_admin_password("the one it was created with")
    again = Secrets(path)
    assert again.admin_password == "the one it was created with"
    assert again.access_token_keys == made.access_token_keys
    assert path.stat().st_mode & 0o777 == 0o600
