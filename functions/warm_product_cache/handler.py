"""Keeps the product cache hot, on a schedule."""

from typing import Any

from shared.errors import CatalogUnavailable
from shared.platform import deadlines, logs
from shared.products import poll

SCHEDULER = "aws.scheduler"  # the source of what EventBridge Scheduler sends


SPARE = 5.0  # seconds before Lambda's own end


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """What the poll did; `failed` and why when the catalog did not give a list, as it will sometimes.

    That is no error of this function: it is in the metrics, and so are the polls that did well
    (CatalogPolls). Raises what else went wrong.
    """
    try:
        with deadlines.within(deadlines.of_function(context, spare=SPARE)):
            done = poll.run(is_scheduled=event.get("source") == SCHEDULER)
    except CatalogUnavailable as error:
        return {"failed": str(error)}
    logs.logger().info("catalog polled", **done)
    return done
