"""Sends the outbox to the event bus, on a schedule."""

from dataclasses import asdict
from typing import Any

from shared.events import outbox
from shared.platform import deadlines, logs

SPARE = 3.0  # seconds before Lambda's own end


def lambda_handler(_event: dict[str, Any], context: Any) -> dict[str, int]:
    """How many events were sent, refused for now and set aside for good, and how many are left."""
    with deadlines.within(deadlines.of_function(context, spare=SPARE)):
        published = outbox.publish(outbox.put_events)
    if any(asdict(published).values()):
        logs.logger().info("outbox published", **asdict(published))
    return asdict(published)
