"""Brings the schema and the functions' roles up to date and creates the first admin.

On every deploy, never over HTTP.
"""

import time
from typing import Any

from functions.run_migrations import custom_resource, first_poll, migrations
from shared.errors import DatabaseUnavailable
from shared.platform import database, deadlines, settings

WAIT = 60  # seconds for a paused database to wake up
SPARE = 15.0  # seconds for the answer to CloudFormation


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return which migrations were applied, and whether the first admin was created.

    For an event of CloudFormation (with a ResponseURL), the copy of the products is filled too, and the
    result is sent there. Other callers get errors as exceptions.
    """
    with deadlines.within(deadlines.of_function(context, spare=SPARE)):
        if "ResponseURL" in event:
            return custom_resource.answer(event, _migrate, first_poll.fill_copy)
        return _migrate()


def _migrate() -> dict[str, Any]:
    role_passwords = settings.role_passwords()
    connection = _connection()
    connection.longest = migrations.STATEMENT_TIMEOUT + database.ANSWER_TIMEOUT
    applied = migrations.run(connection, role_passwords=role_passwords)
    admin = settings.first_admin()
    created = admin is not None and migrations.create_first_admin(connection, *admin)
    return {"applied": applied, "admin_created": created}


def _connection() -> database.BoundedConnection:
    deadline = time.monotonic() + WAIT
    while True:
        try:
            return database.connection()
        except DatabaseUnavailable:
            if time.monotonic() >= deadline:
                raise
            time.sleep(1)
