"""Sends the outbox to the event bus, and removes the sessions that have expired, on a schedule."""

from dataclasses import asdict
from typing import Any

from shared.accounts import expired_sessions
from shared.events import outbox
from shared.platform import deadlines, logs

SPARE = 3.0  # seconds before Lambda's own end


def lambda_handler(_event: dict[str, Any], context: Any) -> dict[str, int]:
    """How many events were sent, refused for now and set aside for good, and how many are left."""
    with deadlines.within(deadlines.of_function(context, spare=SPARE)):
        published = outbox.publish(outbox.put_events)
    if any(asdict(published).values()):
        logs.logger().info("outbox published", **asdict(published))
    # Here because it is the only schedule whose role may: what has expired goes, whoever comes back or not.
    with deadlines.within(SPARE / 2):  # the next run goes on
        purged = expired_sessions.purge()
    if purged:
        logs.logger().info("expired sessions purged", sessions=purged)
    return asdict(published)
