"""The roles that the functions log in as: each may do what its file in `grants/` says, and owns nothing.

A role has the name of its file. Every run revokes all and grants the file anew, in one transaction, so nobody
ever sees a role without its rights and no right outlives its line. As with a migration, the release before
has to go on working: a line goes one release after the last statement that needs it.

The owner needs CREATEROLE for this, and need not be a superuser; RDS's master is none.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.platform.database import Connection


class UnknownRole(Exception):
    """The settings name a role for which there are no grants."""


def make_sure(connection: Connection, passwords: Mapping[str, str]) -> None:
    """Let the roles be there with these passwords, by name, and with what their files grant, and no more.

    For whoever holds the lock of the migrations. What fails leaves all as it was. Raises UnknownRole, and
    psycopg.Error for what PostgreSQL refuses.
    """
    if not passwords:
        return
    with connection.transaction():
        database = sql.Identifier(connection.info.dbname)
        # Everybody may make temporary tables, if nothing else is said.
        connection.execute(sql.SQL("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC").format(database))
        for name, password in passwords.items():
            grants = _grants(name)
            role = sql.Identifier(name)
            _let_log_in(connection, name, password)
            connection.execute(
                sql.SQL("REVOKE ALL ON {} FROM {}").format(sql.SQL(", ").join(_tables(connection)), role)
            )
            connection.execute(
                sql.SQL(
                    """
                    REVOKE ALL ON DATABASE {database} FROM {role};
                    REVOKE ALL ON SCHEMA public FROM {role};
                    GRANT CONNECT ON DATABASE {database} TO {role};
                    GRANT USAGE ON SCHEMA public TO {role}
                    """
                ).format(database=database, role=role)
            )
            connection.execute(grants)


def _grants(name: str) -> str:
    file = files("functions.run_migrations") / "grants" / f"{name}.sql"
    if not (name.isidentifier() and file.is_file()):
        raise UnknownRole(f"there are no grants for a role {name!r}")
    return file.read_text(encoding="utf-8")


def _let_log_in(connection: Connection, name: str, password: str) -> None:
    # What PostgreSQL would make of the password, made here: a server may log slow and failed statements.
    verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
    is_there = connection.execute("SELECT FROM pg_roles WHERE rolname = %(name)s", {"name": name}).rowcount
    connection.execute(
        sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
            sql.SQL("ALTER" if is_there else "CREATE"), sql.Identifier(name), sql.Literal(verifier.decode())
        )
    )


def _tables(connection: Connection) -> list[sql.Identifier]:
    """The owner's tables, views and sequences; an extension's are not the owner's to grant or revoke."""
    rows = connection.execute(
        """
        SELECT relname
          FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')
           AND pg_get_userbyid(relowner) = current_user
        """
    ).fetchall()
    return [sql.Identifier("public", row["relname"]) for row in rows]
