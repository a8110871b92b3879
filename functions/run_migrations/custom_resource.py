"""The migrations as a custom resource of CloudFormation: a deploy waits for them, and fails with them.

CloudFormation invokes the function for a stack that is made, changed or removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from functions.run_migrations import migrations
from shared.platform import cloudformation, logs

if TYPE_CHECKING:
    from collections.abc import Callable


def answer(
    event: dict[str, Any], migrate: Callable[[], dict[str, Any]], fill_copy: Callable[[], str]
) -> dict[str, Any]:
    """What CloudFormation was told: SUCCESS or FAILED, why, and as data the schema's version and products.

    Removing the stack migrates nothing. A database that is newer than this code is what a deploy that is
    taken back finds: every migration has to let the release before it go on working, so that is a success.
    Raises OSError when CloudFormation cannot be told.
    """
    failure, version, products = None, "", "not looked at"
    try:
        version = migrations.load()[-1].name.partition("_")[0]
        if event["RequestType"] != "Delete":
            logs.logger().info("migrated", **migrate())
            products = fill_copy()
    except migrations.DatabaseIsNewer as error:
        logs.logger().warning("taken back", reason=str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, who deploys waits for an answer
        logs.logger().error("migrations failed", exc_info=error)
        failure = error
    return cloudformation.respond(event, "schema", failure, {"SchemaVersion": version, "Products": products})
