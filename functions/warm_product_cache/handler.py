"""Keeps the product cache hot, on a schedule."""

from typing import Any

from shared.platform import logs
from shared.products import poll


def lambda_handler(_event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """What the poll did. Raises what went wrong, so that the schedule's failures are counted."""
    done = poll.run()
    logs.logger().info("catalog polled", **done)
    return done
