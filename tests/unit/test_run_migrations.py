import hashlib
import re
from pathlib import Path

import psycopg
import pytest

from functions.run_migrations import handler, migrations
from functions.run_migrations.handler import lambda_handler
from functions.run_migrations.migrations import Migration, MigrationError
from shared.accounts import passwords
from shared.errors import DatabaseUnavailable
from tests.calls import sample
from tests.unit import fakes
from tests.unit.fakes import Backends, FakePostgres, Row

backends = pytest.fixture(fakes.backends)

FILES = sorted((Path(__file__).parents[2] / "functions" / "run_migrations" / "sql").glob("*.sql"))
FIRST = Migration(1, "0001_one.sql", "CREATE TABLE one ()")
SECOND = Migration(2, "0002_two.sql", "CREATE TABLE two ()")
ADMIN_PASSWORD = "an admin's password"


def recorded(*migrations: Migration) -> list[Row]:
    """What the database has written down of them."""
    return [
        {"number": migration.number, "name": migration.name, "checksum": migration.checksum}
        for migration in migrations
    ]


@pytest.fixture
def postgres(backends: Backends, monkeypatch: pytest.MonkeyPatch) -> FakePostgres:
    """A database without anything; no admin is asked for."""
    monkeypatch.delenv("ADMIN_EMAIL", raising=False)
    monkeypatch.delenv("ADMIN_PASSWORD", raising=False)
    backends.postgres.on("", 0)  # statements that find nothing
    return backends.postgres


def run(postgres: FakePostgres, *some: Migration) -> list[str]:
    """The runner on these migrations."""
    return migrations.run(postgres.connection(), some)


# ── The function ──────────────────────────────────────────────────────────────────────────────────────────


def test_an_empty_database_gets_every_file_in_order(postgres: FakePostgres) -> None:
    result = lambda_handler(sample("run_migrations"), None)
    assert result == {"applied": [file.name for file in FILES], "admin_created": False}
    assert len(postgres.asked_for("INSERT INTO schema_migrations")) == len(FILES)


def test_a_database_that_is_up_to_date_is_left_alone(postgres: FakePostgres) -> None:
    postgres.on("FROM schema_migrations", recorded(*migrations.load()))
    assert lambda_handler({}, None) == {"applied": [], "admin_created": False}
    assert "BEGIN" not in postgres.statements


def test_the_first_admin_is_created_from_the_settings(
    postgres: FakePostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADMIN_EMAIL", "Admin@EXAMPLE.com")
    monkeypatch.setenv("ADMIN_PASSWORD", ADMIN_PASSWORD)
    postgres.on("INSERT INTO clients", 1)
    assert lambda_handler({}, None)["admin_created"] is True
    (created,) = postgres.asked_for("INSERT INTO clients")
    assert (created["email"], created["email_key"]) == ("Admin@example.com", "admin@example.com")
    assert passwords.is_password(ADMIN_PASSWORD, created["password_hash"])


def test_an_admin_who_is_there_stays_as_they_are(
    postgres: FakePostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADMIN_EMAIL", "admin@example.com")
    monkeypatch.setenv("ADMIN_PASSWORD", ADMIN_PASSWORD)
    postgres.on("INSERT INTO clients", 0)
    assert lambda_handler({}, None)["admin_created"] is False


@pytest.mark.parametrize(
    ("email", "password"), [("admin@example.com", "password"), ("nonsense", ADMIN_PASSWORD)]
)
def test_an_admin_whom_no_client_could_be_is_an_error(
    postgres: FakePostgres, monkeypatch: pytest.MonkeyPatch, email: str, password: str
) -> None:
    monkeypatch.setenv("ADMIN_EMAIL", email)
    monkeypatch.setenv("ADMIN_PASSWORD", password)
    with pytest.raises(ValueError):  # noqa: PT011 — whichever rule it breaks
        lambda_handler({}, None)
    assert postgres.asked_for("INSERT INTO clients") == []


def test_whoever_deploys_sees_that_the_database_is_gone(
    postgres: FakePostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "WAIT", 0)
    postgres.is_down = True
    with pytest.raises(DatabaseUnavailable):
        lambda_handler({}, None)


# ── The runner ────────────────────────────────────────────────────────────────────────────────────────────


def test_only_what_is_missing_is_applied(postgres: FakePostgres) -> None:
    postgres.on("FROM schema_migrations", recorded(FIRST))
    assert run(postgres, FIRST, SECOND) == ["0002_two.sql"]
    assert FIRST.sql not in postgres.statements
    assert SECOND.sql in postgres.statements


def test_each_is_applied_and_recorded_in_a_transaction_of_its_own(postgres: FakePostgres) -> None:
    run(postgres, FIRST, SECOND)
    begin = postgres.statements.index("BEGIN")
    steps = [re.split(r" \(", statement)[0] for statement in postgres.statements[begin : begin + 8]]
    assert steps == [
        *("BEGIN", "CREATE TABLE one", "INSERT INTO schema_migrations", "COMMIT"),
        *("BEGIN", "CREATE TABLE two", "INSERT INTO schema_migrations", "COMMIT"),
    ]
    assert postgres.asked_for("INSERT INTO schema_migrations")[0]["checksum"] == FIRST.checksum


def test_one_that_fails_leaves_nothing_and_keeps_the_next_from_running(postgres: FakePostgres) -> None:
    postgres.on(FIRST.sql, psycopg.errors.SyntaxError("no"))
    with pytest.raises(psycopg.errors.SyntaxError):
        run(postgres, FIRST, SECOND)
    assert "ROLLBACK" in postgres.statements
    assert postgres.asked_for("INSERT INTO schema_migrations") == []
    assert SECOND.sql not in postgres.statements


@pytest.mark.parametrize("fails", [False, True])
def test_two_at_once_take_turns(postgres: FakePostgres, fails: bool) -> None:
    if fails:
        postgres.on(FIRST.sql, psycopg.errors.SyntaxError("no"))
        with pytest.raises(psycopg.errors.SyntaxError):
            run(postgres, FIRST)
    else:
        run(postgres, FIRST)
    lock = postgres.statements.index("SELECT pg_advisory_lock(%(lock)s)")
    unlock = postgres.statements.index("SELECT pg_advisory_unlock(%(lock)s)")
    assert lock < postgres.statements.index(FIRST.sql) < unlock
    assert postgres.asked_for("pg_advisory_lock") == postgres.asked_for("pg_advisory_unlock")


def test_a_file_that_changed_after_it_was_applied_is_an_error_that_names_it(postgres: FakePostgres) -> None:
    postgres.on("FROM schema_migrations", recorded(FIRST))
    with pytest.raises(MigrationError, match=r"0001_one\.sql was changed after it was applied"):
        run(postgres, Migration(1, "0001_one.sql", "CREATE TABLE another ()"), SECOND)
    assert "BEGIN" not in postgres.statements


@pytest.mark.parametrize("here", [(FIRST,), (FIRST, Migration(2, "0002_other.sql", SECOND.sql)), ()])
def test_a_database_that_is_ahead_of_the_code_is_an_error(
    postgres: FakePostgres, here: tuple[Migration, ...]
) -> None:
    postgres.on("FROM schema_migrations", recorded(FIRST, SECOND))
    with pytest.raises(MigrationError, match="is this code older than the database"):
        run(postgres, *here)
    assert "BEGIN" not in postgres.statements


def test_the_checksum_is_sha_256_of_the_text() -> None:
    assert FIRST.checksum == hashlib.sha256(FIRST.sql.encode()).hexdigest()


# ── The files ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of SQL files of the test's own."""
    monkeypatch.setattr(migrations, "files", lambda _: tmp_path)
    (tmp_path / "sql").mkdir()
    return tmp_path / "sql"


def test_files_are_read_in_the_order_of_their_numbers(folder: Path) -> None:
    for name in ("0002_b.sql", "0010_j.sql", "0001_z.sql", *(f"000{n}_x.sql" for n in range(3, 10))):
        (folder / name).write_text("SELECT 1")
    (folder / "notes.md").write_text("not a migration")
    assert [migration.number for migration in migrations.load()] == list(range(1, 11))


@pytest.mark.parametrize("name", ["1_a.sql", "0001-a.sql", "0001_A.sql", "a.sql", "00001_a.sql"])
def test_a_file_with_a_name_of_another_shape_is_an_error_that_names_it(folder: Path, name: str) -> None:
    (folder / name).write_text("SELECT 1")
    with pytest.raises(MigrationError, match=re.escape(name)):
        migrations.load()


@pytest.mark.parametrize(
    "names", [("0002_b.sql",), ("0001_a.sql", "0003_c.sql"), ("0001_a.sql", "0001_b.sql")]
)
def test_numbers_that_leave_a_gap_or_come_twice_are_an_error(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (folder / name).write_text("SELECT 1")
    with pytest.raises(MigrationError, match="without gaps"):
        migrations.load()
