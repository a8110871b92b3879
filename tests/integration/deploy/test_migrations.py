"""The migrations: numbered SQL files, each applied once and in order, whoever runs them how often."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from threading import Event, Thread

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from functions.run_migrations import handler, migrations
from functions.run_migrations.migrations import Migration, MigrationError
from local.servers.postgres import Postgres
from shared.accounts import passwords
from shared.errors import DatabaseUnavailable
from shared.formats.emails import email_key
from shared.platform import database
from shared.platform.database import Connection
from tests.calls import sample
from tests.integration import concurrency
from tests.integration.conftest import NO_DATABASE

FIRST = Migration(1, "0001_first.sql", "CREATE TABLE steps (step integer); INSERT INTO steps VALUES (1)")
SECOND = Migration(2, "0002_second.sql", "INSERT INTO steps SELECT max(step) + 1 FROM steps")
THIRD = Migration(3, "0003_third.sql", "INSERT INTO steps SELECT max(step) + 1 FROM steps")


@pytest.fixture
def empty_url(postgres: Postgres) -> Iterator[str]:
    """The URL of a database without a table."""
    name = f"empty_{uuid.uuid4().hex}"
    with psycopg.connect(postgres.start(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield postgres.url.rpartition("/")[0] + f"/{name}"
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def connect(url: str) -> Connection:
    return psycopg.connect(url, autocommit=True, row_factory=dict_row)


@pytest.fixture
def connection(empty_url: str) -> Iterator[Connection]:
    with connect(empty_url) as opened:
        yield opened


def steps(connection: Connection) -> list[int]:
    return [row["step"] for row in connection.execute("SELECT step FROM steps ORDER BY step")]


def applied(connection: Connection) -> list[str]:
    rows = connection.execute("SELECT name FROM schema_migrations ORDER BY number")
    return [row["name"] for row in rows]


def test_every_file_is_applied_in_the_order_of_its_number(connection: Connection) -> None:
    assert migrations.run(connection, [FIRST, SECOND, THIRD]) == [FIRST.name, SECOND.name, THIRD.name]
    assert steps(connection) == [1, 2, 3]
    assert applied(connection) == [FIRST.name, SECOND.name, THIRD.name]


def test_a_second_run_applies_nothing(connection: Connection) -> None:
    migrations.run(connection, [FIRST, SECOND])
    assert migrations.run(connection, [FIRST, SECOND]) == []
    assert steps(connection) == [1, 2]


def test_a_later_run_applies_only_what_is_new(connection: Connection) -> None:
    migrations.run(connection, [FIRST])
    assert migrations.run(connection, [FIRST, SECOND]) == [SECOND.name]
    assert steps(connection) == [1, 2]


def test_an_applied_file_that_changed_is_an_error_that_names_it(connection: Connection) -> None:
    migrations.run(connection, [FIRST])
    changed = Migration(1, FIRST.name, FIRST.sql + " -- a thought")
    with pytest.raises(MigrationError, match=r"0001_first\.sql was changed after it was applied"):
        migrations.run(connection, [changed, SECOND])
    assert steps(connection) == [1]
    assert applied(connection) == [FIRST.name]


def test_a_failing_file_leaves_nothing_of_itself_and_what_was_before_it_stays(connection: Connection) -> None:
    broken = Migration(2, "0002_broken.sql", "CREATE TABLE half_done (); INSERT INTO steps VALUES ('no')")
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        migrations.run(connection, [FIRST, broken, THIRD])
    assert applied(connection) == [FIRST.name]
    assert steps(connection) == [1]
    row = connection.execute("SELECT to_regclass('half_done') AS table_made").fetchone()
    assert row == {"table_made": None}


def test_a_failed_run_lets_the_next_one_in(empty_url: str) -> None:
    with connect(empty_url) as failing, connect(empty_url) as other:
        with pytest.raises(psycopg.errors.SyntaxError):
            migrations.run(failing, [Migration(1, "0001_typo.sql", "CREATE TABEL steps ()")])
        other.execute("SET lock_timeout = '2s'")
        assert migrations.run(other, [FIRST]) == [FIRST.name]


def test_a_database_newer_than_the_code_is_an_error(connection: Connection) -> None:
    migrations.run(connection, [FIRST, SECOND])
    with pytest.raises(MigrationError, match=r"0002_second\.sql, which is not here.*older than the database"):
        migrations.run(connection, [FIRST])
    with pytest.raises(MigrationError, match="older than the database"):
        migrations.run(connection, [])
    assert steps(connection) == [1, 2]


def test_a_file_that_was_renamed_is_an_error(connection: Connection) -> None:
    migrations.run(connection, [FIRST])
    with pytest.raises(MigrationError, match=r"0001_first\.sql"):
        migrations.run(connection, [Migration(1, "0001_renamed.sql", FIRST.sql)])


def test_two_runs_at_once_apply_each_file_once(empty_url: str) -> None:
    slow = Migration(2, "0002_slow.sql", "SELECT pg_sleep(0.1); " + SECOND.sql)

    def run() -> list[str]:
        with closing(connect(empty_url)) as own:
            return migrations.run(own, [FIRST, slow, THIRD])

    outcomes = concurrency.at_once([run, run, run])
    assert sorted(map(str, outcomes)) == sorted(map(str, ([], [], [FIRST.name, slow.name, THIRD.name])))
    with connect(empty_url) as connection:
        assert steps(connection) == [1, 2, 3]


def test_a_run_that_waits_for_another_is_not_given_up_by_the_statement_timeout(empty_url: str) -> None:
    with connect(empty_url) as first, connect(empty_url) as second:
        second.execute("SET statement_timeout = '50ms'")
        first.execute("SELECT pg_advisory_lock(%(lock)s)", {"lock": migrations._LOCK})
        done = Event()

        def run() -> None:
            migrations.run(second, [FIRST])
            done.set()

        thread = Thread(target=run, daemon=True)
        thread.start()
        assert not done.wait(0.2)
        first.execute("SELECT pg_advisory_unlock_all()")
        assert done.wait(5)
        thread.join()


def test_a_run_that_waits_for_another_is_not_given_up_by_the_migrations_own_lock_timeout(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT", 0.05)
    with connect(empty_url) as first, connect(empty_url) as second:
        first.execute("SELECT pg_advisory_lock(%(lock)s)", {"lock": migrations._LOCK})
        with concurrency.later(0.3, lambda: first.execute("SELECT pg_advisory_unlock_all()")):
            assert migrations.run(second, [FIRST]) == [FIRST.name]


def test_a_migration_waits_5_seconds_for_a_lock_and_runs_for_4_minutes_at_most(
    connection: Connection,
) -> None:
    looks = Migration(
        1,
        "0001_looks.sql",
        "CREATE TABLE limits AS "
        "SELECT current_setting('lock_timeout') AS lock, current_setting('statement_timeout') AS statement",
    )
    migrations.run(connection, [looks])
    assert connection.execute("SELECT * FROM limits").fetchone() == {"lock": "5s", "statement": "4min"}


def test_a_migration_behind_a_long_read_gives_up_and_leaves_nothing(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT", 0.2)
    alters = Migration(2, "0002_alters.sql", "CREATE TABLE more (); ALTER TABLE steps ADD COLUMN more text")
    with connect(empty_url) as migrating, connect(empty_url) as reading:
        migrations.run(migrating, [FIRST])
        with reading.transaction():
            assert steps(reading) == [1]
            with pytest.raises(MigrationError, match=r"0002_alters\.sql waited 0\.2 s for a lock that other"):
                migrations.run(migrating, [FIRST, alters])
            assert applied(migrating) == [FIRST.name]
            row = migrating.execute("SELECT to_regclass('more') AS table_made").fetchone()
            assert row == {"table_made": None}
        assert migrations.run(migrating, [FIRST, alters]) == [alters.name]


def test_a_migration_that_takes_too_long_is_given_up_and_leaves_nothing(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "STATEMENT_TIMEOUT", 0.2)
    slow = Migration(2, "0002_slow.sql", "INSERT INTO steps VALUES (2); SELECT pg_sleep(10)")
    with pytest.raises(MigrationError, match=r"0002_slow\.sql was given up.*statement timeout"):
        migrations.run(connection, [FIRST, slow])
    assert applied(connection) == [FIRST.name]
    assert steps(connection) == [1]


def test_the_files_of_the_repository_make_the_tables_of_the_design(connection: Connection) -> None:
    assert migrations.run(connection) == [migration.name for migration in migrations.load()]
    rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    tables = {row["tablename"] for row in rows}
    assert tables >= {"clients", "favorites", "products", "sessions", "schema_migrations"}


def test_new_connections_have_a_statement_timeout_and_the_one_that_migrated_has_its_old_one(
    empty_url: str,
) -> None:
    def timeouts(connection: Connection) -> object:
        return connection.execute(
            """
            SELECT current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock
            """
        ).fetchone()

    with connect(empty_url) as connection:
        before = timeouts(connection)
        migrations.run(connection)
        assert timeouts(connection) == before
    with connect(empty_url) as connection:
        assert timeouts(connection) == {"statement": "3500ms", "lock": "0"}


def test_whoever_deploys_sees_that_the_database_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "WAIT", 0)
    monkeypatch.setenv("DATABASE_URL", NO_DATABASE)
    database.close()
    with pytest.raises(DatabaseUnavailable):
        handler.lambda_handler({}, None)


def test_keys_of_addresses_that_are_not_ascii_are_made_anew(connection: Connection) -> None:
    known = migrations.load()
    place = next(at for at, each in enumerate(known) if each.name == "0015_keys_of_emails.sql")
    migrations.run(connection, known[:place])
    folded = {
        "gro\u00df@a.example": "gross@a.example",
        "JOS\u00c9@a.example": "jos\u00e9@a.example",
        "A@a.example": "a@a.example",
    }
    for email, key in folded.items():
        connection.execute(
            "INSERT INTO clients (name, email, email_key, password_hash) VALUES ('Ana', %s, %s, '-')",
            [email, key],
        )
    migrations.run(connection, known[: place + 1])
    rows = connection.execute("SELECT email, email_key FROM clients").fetchall()
    assert [row["email_key"] for row in rows] == [email_key(row["email"]) for row in rows]
    assert len(rows) == 3


# ── The first admin ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def deploy(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., dict[str, object]]]:
    """Invoke the function, with these settings for the admin."""
    monkeypatch.setenv("DATABASE_URL", empty_url)
    database.close()

    def invoke(email: str = "", password: str = "") -> dict[str, object]:
        monkeypatch.setenv("ADMIN_EMAIL", email)
        monkeypatch.setenv("ADMIN_PASSWORD", password)
        return handler.lambda_handler(sample("run_migrations"), None)

    yield invoke
    database.close()


def admins(url: str) -> list[tuple[str, str]]:
    with connect(url) as connection:
        rows = connection.execute("SELECT email, password_hash FROM clients WHERE role = 'admin'")
        return [(row["email"], row["password_hash"]) for row in rows]


def test_the_first_admin_is_created_once(deploy: Callable[..., dict[str, object]], empty_url: str) -> None:
    first = deploy("root@example.com", "a fine password")
    assert first == {"applied": [migration.name for migration in migrations.load()], "admin_created": True}
    assert deploy("root@example.com", "a fine password") == {"applied": [], "admin_created": False}
    [(email, password_hash)] = admins(empty_url)
    assert email == "root@example.com"
    assert passwords.is_password("a fine password", password_hash)


def test_the_first_admin_is_never_overwritten(
    deploy: Callable[..., dict[str, object]], empty_url: str
) -> None:
    deploy("root@example.com", "a fine password")
    before = admins(empty_url)
    assert deploy("ROOT@example.com", "another password")["admin_created"] is False
    assert admins(empty_url) == before


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE clients SET email = 'new@example.com', email_key = 'new@example.com'",
        "UPDATE clients SET role = 'client' WHERE email = 'root@example.com'",
        "DELETE FROM clients WHERE email = 'root@example.com'",
    ],
)
def test_the_first_admin_does_not_come_back_while_there_is_another(
    deploy: Callable[..., dict[str, object]], empty_url: str, change: str
) -> None:
    deploy("root@example.com", "a fine password")
    with connect(empty_url) as connection:
        if not change.startswith("UPDATE clients SET email"):
            connection.execute(
                "INSERT INTO clients (name, email, email_key, password_hash, role) "
                "VALUES ('Eva', 'eva@example.com', 'eva@example.com', 'hers', 'admin')"
            )
        connection.execute(change)
    before = admins(empty_url)
    assert deploy("root@example.com", "a fine password")["admin_created"] is False
    assert admins(empty_url) == before


def test_where_no_admin_is_left_a_deploy_creates_the_first_one_again(
    deploy: Callable[..., dict[str, object]], empty_url: str
) -> None:
    deploy("root@example.com", "a fine password")
    with connect(empty_url) as connection:
        connection.execute("DELETE FROM clients")
    assert deploy("root@example.com", "a fine password")["admin_created"] is True


def test_a_client_with_the_admins_e_mail_does_not_become_admin(
    deploy: Callable[..., dict[str, object]], empty_url: str
) -> None:
    deploy()
    with connect(empty_url) as connection:
        connection.execute(
            "INSERT INTO clients (name, email, email_key, password_hash) "
            "VALUES ('Ana', 'root@example.com', 'root@example.com', 'hers')"
        )
    assert deploy("root@example.com", "a fine password")["admin_created"] is False
    assert admins(empty_url) == []


def test_without_settings_there_is_no_admin(deploy: Callable[..., dict[str, object]], empty_url: str) -> None:
    assert deploy()["admin_created"] is False
    assert admins(empty_url) == []


@pytest.mark.parametrize(
    ("email", "password"), [("root@example.com", "password"), ("root", "a fine password")]
)
def test_an_admin_whom_the_api_would_refuse_is_refused_at_the_deploy(
    deploy: Callable[..., dict[str, object]], empty_url: str, email: str, password: str
) -> None:
    with pytest.raises(ValueError, match=r"common passwords|@-sign"):
        deploy(email, password)
    assert admins(empty_url) == []
