import json
from typing import Any

import pytest

from shared.events import outbox


class Bus:
    """EventBridge with an answer for each call."""

    def __init__(self, *results: dict[str, str]) -> None:
        self.results = results

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 — boto3's name
        return {"FailedEntryCount": 1, "Entries": list(self.results[: len(Entries)])}


def test_what_became_of_each_entry_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    malformed = {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
    throttled = {"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"}
    wordless = {"ErrorCode": "MalformedDetail"}
    monkeypatch.setattr(outbox, "_client", lambda: Bus({"EventId": "1"}, malformed, throttled, wordless))
    entries = [{"Detail": json.dumps({"number": number})} for number in range(4)]
    assert outbox.event_bridge()(entries) == [
        True,
        "the bus refused it: MalformedDetail Detail is malformed.",
        False,
        "the bus refused it: MalformedDetail ",
    ]
