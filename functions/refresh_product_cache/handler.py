"""Takes the catalog's events from their queue, a batch at a time."""

from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from shared.formats import json_items
from shared.platform import logs
from shared.products import push

processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


def take(record: SQSRecord) -> None:
    """Take one event; what fails is logged with its reason, and delivered again until the queue gives up."""
    try:
        push.take(json_items.loads(record.body.encode()))
    except Exception as error:
        logs.logger().error("event failed", message_id=record.message_id, reason=str(error)[:500])
        raise


def lambda_handler(event: dict[str, Any], context: Any) -> Any:
    """Which records failed (a partial batch response): they alone are delivered again."""
    return process_partial_response(event, take, processor, context)
