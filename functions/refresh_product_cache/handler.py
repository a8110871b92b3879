"""Takes the catalog's events from their queue, a batch at a time."""

from shared.platform import lean_imports

lean_imports.start()

import time
from typing import Any

from shared.formats import json_items
from shared.platform import deadlines, invocations, logs, settings, valkey
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
    results = {record["messageId"]: _take(record) for record in event["Records"]}
    for _ in range(ATTEMPTS - 1):
        again = [
            record
            for record in event["Records"]
            if isinstance(results[record["messageId"]], valkey.CacheDown)
        ]
        if not again or deadlines.left(2 * PAUSE) < 2 * PAUSE:
            break
        time.sleep(PAUSE)
        results |= {record["messageId"]: _take(record) for record in again}
    failed = {message_id: error for message_id, error in results.items() if isinstance(error, Exception)}
    for message_id, error in failed.items():
        reason = f"{type(error).__name__}: {error}"[:500]
        logs.logger().error("event failed", message_id=message_id, reason=reason)
    # Whatever the cache did, the copy has the change.
    send_alerts = settings.send_alerts_function()
    if send_alerts and any(
        result is True or isinstance(result, valkey.CacheDown) for result in results.values()
    ):
        invocations.invoke_quietly(send_alerts)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _take(record: Event) -> Exception | bool:
    """Take one event; return whether it changed the copy, or why it failed."""
    try:
        return push.take(json_items.loads(record["body"].encode()))
    except Exception as error:  # noqa: BLE001 — whatever it is, the other events of the batch go on
        return error


lambda_handler = entry.background(refresh_product_cache, spare=SPARE)
