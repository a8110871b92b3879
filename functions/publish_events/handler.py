"""Sends the outbox to the event bus, on a schedule."""

from typing import Any

from shared.accounts import expired_sessions
from shared.events import outbox
from shared.platform import logs


def lambda_handler(_event: dict[str, Any], _context: Any) -> dict[str, int]:
    """How many events were sent, and how many the bus refused."""
    published = outbox.publish(outbox.put_events)
    if published.sent or published.refused:
        logs.logger().info("outbox published", sent=published.sent, refused=published.refused)
    # Here because it is the only schedule whose role may: what has expired goes, whoever comes back or not.
    purged = expired_sessions.purge()
    if purged:
        logs.logger().info("expired sessions purged", sessions=purged)
    return {"sent": published.sent, "refused": published.refused}
