"""Keeps the product cache hot, on a schedule."""

from shared.platform import lean_imports

lean_imports.start()

from typing import Any

from shared.errors import CatalogUnavailable
from shared.platform import logs
from shared.products import poll
from shared.web import entry

SCHEDULER = "aws.scheduler"  # the source of what EventBridge Scheduler sends
SPARE = 5.0  # seconds before Lambda's own end


def warm_product_cache(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """What the poll did; `failed` and why when the catalog did not give a list, as it will sometimes.

    That is no error of this function: it is in the metrics, and so are the polls that did well
    (CatalogPolls). Raises what else went wrong.
    """
    try:
        done = poll.run(is_scheduled=event.get("source") == SCHEDULER)
    except CatalogUnavailable as error:
        return {"failed": str(error)}
    logs.logger().info("catalog polled", **done)
    return done


lambda_handler = entry.background(warm_product_cache, spare=SPARE)
