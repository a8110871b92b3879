"""Sends the outbox to the event bus and forgets what has expired, on a schedule."""

from dataclasses import asdict
from typing import Any

from shared.accounts import expired_sessions
from shared.events import outbox
from shared.platform import deadlines, logs

SPARE = 3.0  # seconds before Lambda's own end


def lambda_handler(_event: dict[str, Any], context: Any) -> dict[str, int]:
    """How many events were sent, refused for now and set aside for good, and how many are left."""
    with deadlines.within(deadlines.of_function(context, spare=SPARE)):
        # Here because it is the only schedule whose role may. First, because it takes some milliseconds, and
        # a bus that is down does not keep it from being done.
        purged = expired_sessions.purge()
        outbox.forget_set_aside()
        published = outbox.publish(outbox.event_bridge())
    if any(asdict(published).values()):
        logs.logger().info("outbox published", **asdict(published))
    if purged:
        logs.logger().info("expired sessions purged", sessions=purged)
    return asdict(published)
