"""Takes the catalog's events from their queue, a batch at a time."""

from typing import Any

from shared.formats import json_items
from shared.platform import deadlines, logs
from shared.products import push

Event = dict[str, Any]

SPARE = 3.0  # seconds before Lambda's own end


def lambda_handler(event: Event, context: Any) -> dict[str, list[dict[str, str]]]:
    """Which records failed (a partial batch response): they alone are delivered again.

    Those that there is no time for have failed: of a function that Lambda ends, all would be delivered again.
    """
    with deadlines.within(deadlines.of_function(context, spare=SPARE)):
        failed = [record["messageId"] for record in event["Records"] if not _take(record)]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _take(record: Event) -> bool:
    """Whether one event was taken; what fails is logged with its reason, until the queue gives up."""
    try:
        push.take(json_items.loads(record["body"].encode()))
    except Exception as error:  # noqa: BLE001 — whatever it is, the other events of the batch go on
        reason = f"{type(error).__name__}: {error}"[:500]
        logs.logger().error("event failed", message_id=record["messageId"], reason=reason)
        return False
    return True
