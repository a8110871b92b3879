"""EventBridge and a queue behind it: what arrives is as its schema says."""

import json
import re
import time
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import boto3
import jsonschema
import psycopg
import pytest
import simplejson
from moto import mock_aws

from functions.publish_events.handler import lambda_handler
from shared.accounts import removal
from shared.events import event_bridge, outbox_relay
from shared.favorites import alert_jobs, alerts, items
from shared.favorites.models import Alert, FavoriteUpdate
from shared.formats.etags import NO_PRECONDITIONS
from tests.integration import accounts, recorder
from tests.integration.outbox.bus import BUS, ROOT, Entry, T, change, left, named, put, remove

pytestmark = pytest.mark.usefixtures("environment")


class Queue:
    """A queue behind the bus: what a service that listens would get."""

    def __init__(self) -> None:
        self._sqs = boto3.client("sqs")
        self._url = self._sqs.create_queue(QueueName="listener")["QueueUrl"]
        asked = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        events, pattern = boto3.client("events"), json.dumps({"source": ["favorites"]})
        events.create_event_bus(Name=BUS)
        events.put_rule(Name="ours", EventBusName=BUS, EventPattern=pattern, State="ENABLED")
        target = {"Id": "1", "Arn": asked["Attributes"]["QueueArn"]}
        events.put_targets(Rule="ours", EventBusName=BUS, Targets=[target])

    def received(self) -> list[dict[str, Any]]:
        """All that arrived, in EventBridge's envelope."""
        found: list[dict[str, Any]] = []
        while True:
            answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10)
            if not (messages := answer.get("Messages")):
                return found
            for message in messages:
                found.append(simplejson.loads(message["Body"], use_decimal=True))
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])


@pytest.fixture
def queue(environment: pytest.MonkeyPatch) -> Iterator[Queue]:
    """EventBridge and SQS by moto, the bus with a rule to a queue."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        environment.setenv(name, "testing")
    event_bridge._client.cache_clear()  # one that an earlier test made has no credentials
    with mock_aws():
        yield Queue()
    event_bridge._client.cache_clear()


def _all_that_can_happen() -> None:
    change(T)
    caller = accounts.new_caller()
    items.add(caller, "7")
    alerts.update(caller, "7", FavoriteUpdate(alert=Alert(percent_off=10)), NO_PRECONDITIONS)
    change(T + 1, price=Decimal("19.90"))
    assert alert_jobs.send().events == 1
    change(T + 2, price=Decimal("119.90"))
    remove(T + 3)
    change(T + 4, price=Decimal("119.90"))
    items.remove(caller, "7")
    removal.remove(caller, "me")


def test_every_event_is_as_its_schema_says(queue: Queue) -> None:
    _all_that_can_happen()
    assert lambda_handler({}, None) == {"sent": 9, "refused": 0, "dead_letters": 0, "left": 0}
    events = queue.received()
    schemas = {path.stem: path for path in (ROOT / "events" / "schemas").glob("favorites.*.json")}
    assert {f"favorites.{event['detail-type']}" for event in events} == {*schemas}
    validator = jsonschema.Draft202012Validator
    for event in events:
        schema = json.loads(schemas[f"favorites.{event['detail-type']}"].read_text())
        validator(schema, format_checker=validator.FORMAT_CHECKER).validate(event["detail"])
        assert event["source"] == "favorites"
        assert abs(datetime.fromisoformat(event["time"]).timestamp() - time.time()) < 600
    assert len({event["detail"]["event_id"] for event in events}) == len(events) == 9
    raised = next(event for event in events if event["detail-type"].endswith("PriceRaised"))
    assert raised["detail"]["old_price"] == Decimal("19.90")


def test_a_refusal_of_eventbridge_is_logged_with_its_reason(
    db: psycopg.Connection, environment: pytest.MonkeyPatch
) -> None:
    class Refusing:
        def put_events(self, *, Entries: list[Entry]) -> dict[str, Any]:  # noqa: N803 — named so by AWS
            refused = {"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"}
            return {
                "FailedEntryCount": 1,
                "Entries": [refused if named(entry) == ("a", 1) else {"EventId": "1"} for entry in Entries],
            }

    lines = recorder.log(environment)
    environment.setattr(event_bridge, "_client", Refusing)
    put(db, ("a", 1), ("b", 1))
    assert lambda_handler({}, None) == {"sent": 1, "refused": 1, "dead_letters": 0, "left": 1}
    assert left(db) == [("a", 1)]
    refusals = [line for line in lines if line.message == "event refused"]
    assert len(refusals) == outbox_relay.MAX_ATTEMPTS
    assert refusals[0].more == {"code": "ThrottlingException", "reason": "Rate exceeded"}


def test_a_cold_environment_makes_one_client_for_all_its_calls(
    db: psycopg.Connection, environment: pytest.MonkeyPatch
) -> None:
    class Taking:
        def put_events(self, *, Entries: list[Entry]) -> dict[str, Any]:  # noqa: N803 — named so by AWS
            return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in Entries]}

    made: list[str] = []

    def make(service: str, **_: Any) -> Taking:
        made.append(service)
        time.sleep(0.1)
        return Taking()

    environment.setattr(boto3, "client", make)
    event_bridge._client.cache_clear()
    put(db, *((f"s{number}", 0) for number in range(outbox_relay.BATCH_SIZE)))
    assert lambda_handler({}, None)["sent"] == outbox_relay.BATCH_SIZE
    event_bridge._client.cache_clear()
    assert made == ["events"]


def test_no_other_module_imports_the_aws_sdk() -> None:
    importing = [
        str(path.relative_to(ROOT))
        for folder in ("shared", "functions")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if re.search(r"^\s*(?:import|from) (?:boto3|botocore)\b", path.read_text(), re.MULTILINE)
    ]
    assert importing == [
        "shared/accounts/key_rotation.py",
        "shared/events/event_bridge.py",
        "shared/platform/invocations.py",
        "functions/close_default_group/handler.py",
        "functions/try_new_version/handler.py",
    ]
    for path in importing:
        text = (ROOT / path).read_text()
        assert not re.search(r"^(?:import|from) boto", text, re.MULTILINE)  # and only where it is needed
