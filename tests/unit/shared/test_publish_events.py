import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from shared.events import event_bridge, outbox_relay


class Bus:
    def __init__(self, *results: dict[str, str]) -> None:
        self.results = results

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 — boto3's name
        return {"FailedEntryCount": 1, "Entries": list(self.results[: len(Entries)])}


def test_what_became_of_each_entry_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    malformed = {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
    throttled = {"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"}
    wordless = {"ErrorCode": "MalformedDetail"}
    monkeypatch.setattr(
        event_bridge, "_client", lambda: Bus({"EventId": "1"}, malformed, throttled, wordless)
    )
    entries = [{"Detail": json.dumps({"number": number})} for number in range(4)]
    assert event_bridge.sender()(entries) == [
        True,
        "the bus refused it: MalformedDetail Detail is malformed.",
        False,
        "the bus refused it: MalformedDetail ",
    ]


def test_only_what_was_sent_alone_for_its_size_is_refused_for_good_with_its_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Refusing:
        def put_events(self, **_: object) -> None:
            raise ClientError({"Error": {"Code": min(event_bridge.TOO_LARGE)}}, "PutEvents")

    monkeypatch.setattr(event_bridge, "_client", Refusing)
    send = event_bridge.sender()
    largest = event_bridge.CALL_BYTES - 1_024  # of those that may share a call
    for entries in ([{"Detail": "x" * (largest + 1)}] * 2, [{"Detail": "x" * largest}]):
        with pytest.raises(ClientError):
            send(entries)
    assert len(send([{"Detail": "x" * (largest + 1)}])) == 1


def test_the_client_of_the_bus_gives_up_before_the_batch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("DEFAULT_REGION", "us-east-1"), ("ACCESS_KEY_ID", "-"), ("SECRET_ACCESS_KEY", "-")):
        monkeypatch.setenv(f"AWS_{name}", value)
    event_bridge._client.cache_clear()
    config = event_bridge._client().meta.config
    event_bridge._client.cache_clear()
    assert config.retries["total_max_attempts"] == 1  # the relay tries again, and waits for no single call
    assert config.connect_timeout + config.read_timeout < outbox_relay.SEND_TIMEOUT
    assert config.max_pool_connections == event_bridge.PARALLEL_CALLS
