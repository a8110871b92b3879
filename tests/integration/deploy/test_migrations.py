"""The migrations: numbered SQL files, each applied once and in order, whoever runs them how often."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

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


def table_exists(connection: Connection, name: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL AS it_does", [name]).fetchone()
    return bool(row and row["it_does"])


def test_each_file_is_applied_once_in_the_order_of_its_number(connection: Connection) -> None:
    assert migrations.run(connection, [FIRST]) == [FIRST.name]
    assert migrations.run(connection, [FIRST]) == []
    assert migrations.run(connection, [FIRST, SECOND, THIRD]) == [SECOND.name, THIRD.name]
    assert steps(connection) == [1, 2, 3]
    assert applied(connection) == [FIRST.name, SECOND.name, THIRD.name]


OTHER_FILES = {
    "changed": (
        [Migration(1, FIRST.name, FIRST.sql + " -- a thought"), SECOND, THIRD],
        r"0001_first\.sql was changed after it was applied",
    ),
    "renamed": ([Migration(1, "0001_renamed.sql", FIRST.sql), SECOND], r"0001_first\.sql, which is not here"),
    "older": ([FIRST], r"0002_second\.sql, which is not here.*older than the database"),
    "none": ([], "older than the database"),
}


@pytest.mark.parametrize("case", OTHER_FILES)
def test_files_that_do_not_go_with_the_database_are_an_error(connection: Connection, case: str) -> None:
    migrations.run(connection, [FIRST, SECOND])
    files, message = OTHER_FILES[case]
    with pytest.raises(MigrationError, match=message):
        migrations.run(connection, files)
    assert steps(connection) == [1, 2]
    assert applied(connection) == [FIRST.name, SECOND.name]


def test_a_failing_file_leaves_nothing_of_itself_and_lets_the_next_run_in(empty_url: str) -> None:
    broken = Migration(2, "0002_broken.sql", "CREATE TABLE half_done (); INSERT INTO steps VALUES ('no')")
    with connect(empty_url) as failing, connect(empty_url) as other:
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            migrations.run(failing, [FIRST, broken, THIRD])
        assert applied(failing) == [FIRST.name]
        assert not table_exists(failing, "half_done")
        other.execute("SET lock_timeout = '2s'")
        assert migrations.run(other, [FIRST, SECOND]) == [SECOND.name]


def test_two_runs_at_once_apply_each_file_once(empty_url: str) -> None:
    slow = Migration(2, "0002_slow.sql", "SELECT pg_sleep(0.1); " + SECOND.sql)

    def run() -> list[str]:
        with closing(connect(empty_url)) as own:
            return migrations.run(own, [FIRST, slow, THIRD])

    outcomes = concurrency.at_once([run, run, run])
    assert sorted(map(str, outcomes)) == sorted(map(str, ([], [], [FIRST.name, slow.name, THIRD.name])))
    with connect(empty_url) as connection:
        assert steps(connection) == [1, 2, 3]


def test_no_timeout_ends_the_wait_for_another_run(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT", 0.05)
    with connect(empty_url) as first, connect(empty_url) as second:
        second.execute("SET statement_timeout = '50ms'")
        first.execute("SELECT pg_advisory_lock(%(lock)s)", {"lock": migrations._LOCK})
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(migrations.run, second, [FIRST])
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.3)
            first.execute("SELECT pg_advisory_unlock_all()")
            assert waiting.result(timeout=30) == [FIRST.name]


LIMITS = """
    SELECT current_setting('lock_timeout') AS lock, current_setting('statement_timeout') AS statement
"""


def test_a_migration_waits_5_seconds_for_a_lock_and_runs_for_4_minutes_at_most(
    connection: Connection,
) -> None:
    migrations.run(connection, [Migration(1, "0001_looks.sql", f"CREATE TABLE limits AS {LIMITS}")])
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
            assert not table_exists(migrating, "more")
        assert migrations.run(migrating, [FIRST, alters]) == [alters.name]


def test_a_migration_that_takes_too_long_is_given_up_and_leaves_nothing(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "STATEMENT_TIMEOUT", 0.2)
    slow = Migration(2, "0002_slow.sql", "INSERT INTO steps VALUES (2); SELECT pg_sleep(60)")
    with pytest.raises(MigrationError, match=r"0002_slow\.sql was given up.*statement timeout"):
        migrations.run(connection, [FIRST, slow])
    assert applied(connection) == [FIRST.name]
    assert steps(connection) == [1]


def test_new_connections_have_a_statement_timeout_and_the_one_that_migrated_has_its_old_one(
    empty_url: str,
) -> None:
    with connect(empty_url) as connection:
        before = connection.execute(LIMITS).fetchone()
        migrations.run(connection)
        assert connection.execute(LIMITS).fetchone() == before
    with connect(empty_url) as connection:
        assert connection.execute(LIMITS).fetchone() == {"statement": "3500ms", "lock": "0"}


def test_a_database_that_is_gone_is_raised_to_the_one_who_deploys(monkeypatch: pytest.MonkeyPatch) -> None:
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

Deploy = Callable[..., dict[str, object]]
ADMIN = ("root@example.com", "a fine password")


@pytest.fixture
def deploy(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deploy]:
    """Invoke the function, with these settings for the admin."""
    monkeypatch.setenv("DATABASE_URL", empty_url)
    database.close()

    def invoke(email: str = "", password: str = "") -> dict[str, object]:
        monkeypatch.setenv("ADMIN_EMAIL", email)
        monkeypatch.setenv("ADMIN_PASSWORD", password)
        return handler.lambda_handler(sample("run_migrations"), None)

    yield invoke
    database.close()


def admins(connection: Connection) -> list[tuple[str, str]]:
    rows = connection.execute("SELECT email, password_hash FROM clients WHERE role = 'admin'")
    return [(row["email"], row["password_hash"]) for row in rows]


def insert(connection: Connection, email: str, role: str) -> None:
    connection.execute(
        """
        INSERT INTO clients (name, email, email_key, password_hash, role)
        VALUES ('Eva', %(email)s, %(email)s, 'hers', %(role)s)
        """,
        {"email": email, "role": role},
    )


def test_the_first_admin_is_created_once_and_never_overwritten(
    deploy: Deploy, connection: Connection
) -> None:
    names = [migration.name for migration in migrations.load()]
    assert deploy(*ADMIN) == {"applied": names, "admin_created": True}
    [(email, password_hash)] = admins(connection)
    assert email == "root@example.com"
    assert passwords.is_password("a fine password", password_hash)
    assert deploy(*ADMIN) == {"applied": [], "admin_created": False}
    assert deploy("ROOT@example.com", "another password")["admin_created"] is False
    assert admins(connection) == [(email, password_hash)]


@pytest.mark.parametrize(
    ("change", "others"),
    [
        ("UPDATE clients SET email = 'new@example.com', email_key = 'new@example.com'", 0),
        ("UPDATE clients SET role = 'client' WHERE email = 'root@example.com'", 1),
        ("DELETE FROM clients WHERE email = 'root@example.com'", 1),
    ],
)
def test_the_first_admin_does_not_come_back_while_there_is_another(
    deploy: Deploy, connection: Connection, change: str, others: int
) -> None:
    deploy(*ADMIN)
    if others:
        insert(connection, "eva@example.com", "admin")
    connection.execute(change.encode())
    before = admins(connection)
    assert deploy(*ADMIN)["admin_created"] is False
    assert admins(connection) == before


def test_where_no_admin_is_left_a_deploy_creates_the_first_one_again(
    deploy: Deploy, connection: Connection
) -> None:
    deploy(*ADMIN)
    connection.execute("DELETE FROM clients")
    assert deploy(*ADMIN)["admin_created"] is True


def test_a_client_with_the_admins_e_mail_does_not_become_admin(
    deploy: Deploy, connection: Connection
) -> None:
    assert deploy()["admin_created"] is False  # without settings there is none
    insert(connection, "root@example.com", "client")
    assert deploy(*ADMIN)["admin_created"] is False
    assert admins(connection) == []


@pytest.mark.parametrize("admin", [("root@example.com", "password"), ("root", "a fine password")])
def test_an_admin_whom_the_api_would_refuse_is_refused_at_the_deploy(
    deploy: Deploy, connection: Connection, admin: tuple[str, str]
) -> None:
    with pytest.raises(ValueError, match=r"common passwords|@-sign"):
        deploy(*admin)
    assert admins(connection) == []
