"""Takes the catalog's events from their queue, a batch at a time."""

from shared.platform import lean_imports

lean_imports.start()

from typing import Any

from shared.products import push_batch
from shared.web import entry

SPARE = 3.0  # seconds before Lambda's own end


def refresh_product_cache(event: dict[str, Any], _context: Any) -> dict[str, list[dict[str, str]]]:
    """Return the records that failed (a partial batch response): only they are delivered again."""
    failed = push_batch.take_all({record["messageId"]: record["body"] for record in event["Records"]})
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


lambda_handler = entry.background(refresh_product_cache, spare=SPARE)
