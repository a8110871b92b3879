"""A batch of the catalog's events, as the queue delivers it."""

from __future__ import annotations

import time
from collections.abc import Mapping

from shared.formats import json_items
from shared.platform import deadlines, invocations, logs, settings, valkey
from shared.products import push

# Events for which the cache did not answer are retried here: the queue delivers them again only after 180 s.
ATTEMPTS = 5
PAUSE = valkey.COOLDOWN  # seconds between two attempts: before that, a cache that failed is not called


def take_all(bodies: Mapping[str, str]) -> list[str]:
    """Take the events, given by their message ids; return the ids of those that failed, which are logged.

    Without time left, events count as failed: if Lambda ended the function, all would be delivered again.
    """
    results = {message_id: _take(body) for message_id, body in bodies.items()}
    for _ in range(ATTEMPTS - 1):
        again = [message_id for message_id, result in results.items() if isinstance(result, valkey.CacheDown)]
        if not again or deadlines.left(2 * PAUSE) < 2 * PAUSE:
            break
        time.sleep(PAUSE)
        results |= {message_id: _take(bodies[message_id]) for message_id in again}
    # Without the cache, too, the copy has the change.
    is_changed = any(result is True or isinstance(result, valkey.CacheDown) for result in results.values())
    # Without time for it, the alerts wait for their schedule.
    has_time = deadlines.left(invocations.SECONDS) >= invocations.SECONDS
    if (send_alerts := settings.send_alerts_function()) and is_changed and has_time:
        invocations.invoke_quietly(send_alerts)
    failed = {message_id: error for message_id, error in results.items() if isinstance(error, Exception)}
    for message_id, error in failed.items():
        reason = f"{type(error).__name__}: {error}"[:500]
        logs.logger().error("event failed", message_id=message_id, reason=reason)
    return list(failed)


def _take(body: str) -> Exception | bool:
    """Take one event; return whether it changed the copy, or the error."""
    try:
        return push.take(json_items.loads(body.encode()))
    except Exception as error:  # noqa: BLE001 — whatever it is, the other events of the batch go on
        return error
