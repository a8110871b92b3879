"""Relays the outbox to the event bus, and removes expired sessions and dead letters, on a schedule."""

from shared.platform import lean_imports

lean_imports.start()

from dataclasses import asdict
from typing import Any

from shared.accounts.sessions.expired import purge_expired_sessions
from shared.events import dead_letters, event_bridge, outbox_relay
from shared.platform import logs
from shared.web import entry

SPARE = 3.0  # seconds before Lambda's own end


def publish_events(_event: dict[str, Any], _context: Any) -> dict[str, int]:
    """Return how many events were sent, deferred, made dead letters, and are left."""
    # In this function because its role is the only one of a schedule that may delete sessions. First, because
    # it takes milliseconds, and a bus that is down must not prevent it.
    purged = purge_expired_sessions()
    dead_letters.forget_expired()
    relayed = outbox_relay.relay(event_bridge.sender())
    if any(asdict(relayed).values()):
        logs.logger().info("outbox relayed", **asdict(relayed))
    if purged:
        logs.logger().info("expired sessions purged", sessions=purged)
    return asdict(relayed)


lambda_handler = entry.background(publish_events, spare=SPARE)
