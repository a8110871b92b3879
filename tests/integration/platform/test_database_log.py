"""PostgreSQL's own log tells what was slow or failed, and nothing about anybody."""

import psycopg
import pytest

from local.servers.postgres import Postgres

NAME, EMAIL, PASSWORD_HASH = "Ana of the log", "ana@the-log.example", "$argon2id$of-the-log"
INSERT = """
    INSERT INTO clients (name, email, email_key, password_hash)
    SELECT %(name)s, %(email)s, %(email)s, %(hash)s FROM pg_sleep(%(seconds)s)
"""


def test_slow_and_failed_statements_are_logged_without_personal_data(
    postgres: Postgres, db: psycopg.Connection
) -> None:
    start = postgres.log.stat().st_size
    values = {"name": NAME, "email": EMAIL, "hash": PASSWORD_HASH}
    db.execute("SET statement_timeout = 0")
    db.execute(INSERT, values | {"seconds": 1.1})
    with pytest.raises(psycopg.errors.UniqueViolation):
        db.execute(INSERT, values | {"seconds": 0})
    logged = postgres.log.read_bytes()[start:].decode()
    assert "duration: 1" in logged
    assert "duplicate key value violates unique constraint" in logged
    assert [value for value in (NAME, EMAIL, PASSWORD_HASH) if value in logged] == []
