"""Brings the schema up to date and creates the first admin; invoked on every deploy, never over HTTP."""

from typing import Any

from functions.run_migrations import migrations
from shared import database, settings


def lambda_handler(_event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Which migrations were applied now, and whether the first admin was created now.

    Raises what went wrong, so that whoever deploys sees it and stops.
    """
    connection = database.connection()
    applied = migrations.run(connection)
    admin = settings.first_admin()
    created = admin is not None and migrations.create_first_admin(connection, *admin)
    return {"applied": applied, "admin_created": created}
