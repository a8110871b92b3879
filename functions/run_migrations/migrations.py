"""Numbered SQL files, each applied once, in order, in a transaction of its own.

What was applied is recorded with a checksum: a file that changed afterwards would never reach the databases
that have it already, so that is an error. An advisory lock lets two runs at once take turns.

A statement may take 240 s, the ceiling of a migration: the function is stopped after 300 s, and PostgreSQL
would not hear of that. It may wait 5 s for another's lock: whoever reads the table meanwhile waits behind it.
What takes longer is given up and leaves nothing.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from psycopg.errors import LockNotAvailable, QueryCanceled

from functions.run_migrations import roles
from shared.accounts import passwords
from shared.accounts.models import NewClient
from shared.formats.emails import email_key
from shared.platform import logs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shared.platform.database import Connection

STATEMENT_TIMEOUT = 240  # seconds for a statement, or for another run
LOCK_TIMEOUT = 5  # seconds for a lock of a table

_LOCK = 4_242_001  # any number, as long as nobody else in this database locks it
_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


class MigrationError(Exception):
    """The files and what the database recorded of them do not go together."""


class DatabaseIsNewer(MigrationError):
    """The database has migrations that come after the last of these files."""


@dataclass(frozen=True, slots=True)
class Migration:
    """A SQL file; `number` orders it."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load() -> list[Migration]:
    """The files beside this module, in their order. Raises MigrationError where a number or name is off."""
    migrations = []
    for file in files("functions.run_migrations").joinpath("sql").iterdir():
        if not file.name.endswith(".sql"):
            continue
        match = _NAME.fullmatch(file.name)
        if match is None:
            raise MigrationError(f"{file.name} is not named like 0001_what_it_does.sql")
        migrations.append(Migration(int(match[1]), file.name, file.read_text(encoding="utf-8")))
    migrations.sort(key=lambda migration: migration.number)
    if [migration.number for migration in migrations] != list(range(1, len(migrations) + 1)):
        raise MigrationError("the migrations are not numbered 0001, 0002, … without gaps")
    return migrations


def run(
    connection: Connection,
    migrations: Sequence[Migration] | None = None,
    *,
    role_passwords: Mapping[str, str] | None = None,
) -> list[str]:
    """Apply what the database does not have yet; the names of what was applied now.

    Then see to the functions' roles, by name (`roles`). A migration that fails leaves nothing of itself, and
    those before it stay. Raises MigrationError, UnknownRole, and psycopg.Error for what PostgreSQL refuses.
    """
    migrations = load() if migrations is None else migrations
    # The functions' limit is for requests; it comes back with the reset below.
    connection.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT}s'")
    connection.execute("SELECT pg_advisory_lock(%(lock)s)", {"lock": _LOCK})
    try:
        # Only now: it would cut the wait for another run too.
        connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}s'")
        connection.execute(
            """
            CREATE TABLE IF NOT EXISTS schema_migrations (
                number     integer PRIMARY KEY,
                name       text NOT NULL,
                checksum   text NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT now()
            )
            """
        )
        recorded = connection.execute(
            "SELECT number, name, checksum FROM schema_migrations ORDER BY number"
        ).fetchall()
        _check(migrations, [Migration(row["number"], row["name"], "") for row in recorded])
        for migration, row in zip(migrations, recorded, strict=False):
            if migration.checksum != row["checksum"]:
                raise MigrationError(
                    f"{migration.name} was changed after it was applied; put it back and add a new file"
                )
        pending = migrations[len(recorded) :]
        for migration in pending:
            _apply(connection, migration)
        roles.make_sure(connection, role_passwords or {})
        return [migration.name for migration in pending]
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%(lock)s)", {"lock": _LOCK})
            connection.execute("RESET lock_timeout")
            connection.execute("RESET statement_timeout")


def create_first_admin(connection: Connection, email: str, password: str) -> bool:
    """Create the admin while there is no admin at all; whether it was created now.

    One who was renamed or removed since does not come back with the first password at the next deploy. And
    who has that e-mail stays as they are: their password is theirs, and their role is for admins to change.
    Raises ValueError for an e-mail or password that no client could have.
    """
    admin = NewClient(name="Admin", email=email, password=password)
    created = connection.execute(
        """
        INSERT INTO clients (name, email, email_key, password_hash, role)
        SELECT %(name)s, %(email)s, %(email_key)s, %(password_hash)s, 'admin'
         WHERE NOT EXISTS (SELECT FROM clients WHERE role = 'admin')
            ON CONFLICT (email_key) DO NOTHING
        """,
        {
            "name": admin.name,
            "email": admin.email,
            "email_key": email_key(admin.email),
            "password_hash": passwords.hash_password(admin.password),
        },
    ).rowcount
    return bool(created)


def _check(migrations: Sequence[Migration], recorded: Sequence[Migration]) -> None:
    for applied in recorded:
        unknown = f"the database has {applied.name}, which is not here: is this code older than the database?"
        if applied.number > len(migrations):
            raise DatabaseIsNewer(unknown)
        if migrations[applied.number - 1].name != applied.name:
            raise MigrationError(unknown)


def _apply(connection: Connection, migration: Migration) -> None:
    try:
        _apply_and_record(connection, migration)
    except LockNotAvailable as error:
        raise MigrationError(
            f"{migration.name} waited {LOCK_TIMEOUT} s for a lock that other work in the database held: "
            "nothing of it was kept; try again when that is over"
        ) from error
    except QueryCanceled as error:
        raise MigrationError(f"{migration.name} was given up, nothing of it was kept: {error}") from error
    logs.logger().info("migration applied", migration=migration.name)


def _apply_and_record(connection: Connection, migration: Migration) -> None:
    with connection.transaction():
        connection.execute(migration.sql)
        connection.execute(
            """
            INSERT INTO schema_migrations (number, name, checksum)
            VALUES (%(number)s, %(name)s, %(checksum)s)
            """,
            {"number": migration.number, "name": migration.name, "checksum": migration.checksum},
        )
