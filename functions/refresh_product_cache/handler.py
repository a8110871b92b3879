"""Takes the catalog's events from their queue, a batch at a time."""

from shared.platform import lean_imports

lean_imports.start()

import time
from typing import Any

from shared.formats import json_items
from shared.platform import deadlines, logs, valkey
from shared.products import push
from shared.web import entry

Event = dict[str, Any]

SPARE = 3.0  # seconds before Lambda's own end
# Events for which the cache did not answer are tried again here: the queue delivers them only after 180 s.
ATTEMPTS = 5
PAUSE = valkey.COOLDOWN  # seconds between two attempts: before that, nobody uses a cache that failed


def refresh_product_cache(event: Event, _context: Any) -> dict[str, list[dict[str, str]]]:
    """Which records failed (a partial batch response): they alone are delivered again.

    Those that there is no time for have failed: of a function that Lambda ends, all would be delivered again.
    """
    errors = {record["messageId"]: _take(record) for record in event["Records"]}
    for _ in range(ATTEMPTS - 1):
        again = [
            record for record in event["Records"] if isinstance(errors[record["messageId"]], valkey.CacheDown)
        ]
        if not again or deadlines.left(2 * PAUSE) < 2 * PAUSE:
            break
        time.sleep(PAUSE)
        errors |= {record["messageId"]: _take(record) for record in again}
    failed = {message_id: error for message_id, error in errors.items() if error is not None}
    for message_id, error in failed.items():
        reason = f"{type(error).__name__}: {error}"[:500]
        logs.logger().error("event failed", message_id=message_id, reason=reason)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _take(record: Event) -> Exception | None:
    """Take one event; return why that failed, or None."""
    try:
        push.take(json_items.loads(record["body"].encode()))
    except Exception as error:  # noqa: BLE001 — whatever it is, the other events of the batch go on
        return error
    return None


lambda_handler = entry.background(refresh_product_cache, spare=SPARE)
