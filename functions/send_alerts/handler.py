"""Sends the alerts that changes of products have left, on a schedule and after each push."""

from shared.platform import lean_imports

lean_imports.start()

from dataclasses import asdict
from typing import Any

from shared.favorites import alert_jobs
from shared.platform import logs
from shared.web import entry

SPARE = 3.0  # seconds before Lambda's own end


def send_alerts(_event: dict[str, Any], _context: Any) -> dict[str, int]:
    """How many events were written, and to how many recipients."""
    sent = alert_jobs.send()
    if sent.events:
        logs.logger().info("alerts sent", **asdict(sent))
    return asdict(sent)


lambda_handler = entry.background(send_alerts, spare=SPARE)
