import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from functions.publish_events.handler import lambda_handler
from shared.errors import DatabaseUnavailable
from shared.events import outbox
from tests.unit import fakes
from tests.unit.calls import sample
from tests.unit.fakes import NOON, Backends, Row

backends = pytest.fixture(fakes.backends)

_READ = "FROM outbox"
_FORGET = "DELETE FROM outbox"


class FakeBus:
    """EventBridge: what came in, and what it refuses."""

    def __init__(self) -> None:
        self.calls: list[list[dict[str, Any]]] = []
        self.refuses: set[str] = set()  # events with these details, every time
        self.is_down = False

    @property
    def details(self) -> list[str]:
        """The details of all that was taken, in order."""
        return [
            entry["Detail"]
            for entries in self.calls
            for entry in entries
            if entry["Detail"] not in self.refuses
        ]

    def put_events(self, *, Entries: Sequence[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 — boto3's name
        if self.is_down:
            raise ConnectionError("no answer")
        self.calls.append(list(Entries))
        return {
            "Entries": [
                {"ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"}
                if entry["Detail"] in self.refuses
                else {"EventId": "1"}
                for entry in Entries
            ]
        }


@pytest.fixture
def bus(backends: Backends, monkeypatch: pytest.MonkeyPatch) -> FakeBus:
    """The event bus; the outbox can be locked and read."""
    fake = FakeBus()
    monkeypatch.setattr(outbox, "_client", lambda: fake)
    monkeypatch.setenv("EVENT_BUS_NAME", "favorites-events")
    backends.postgres.on(_READ, [])
    backends.postgres.on(_FORGET, 0)
    backends.postgres.on("pg_try_advisory_xact_lock", [{"ours": True}])
    return fake


def waiting(number: int, stream: str = "client:1", at: datetime = NOON) -> Row:
    """An event in the outbox."""
    return {
        "outbox_id": number,
        "stream": stream,
        "detail_type": "FavoriteAdded",
        "created_at": at,
        "detail": str(number),
        "age": 1.5,
    }


def hold(backends: Backends, *rounds: list[Row]) -> None:
    """Let the outbox be read like this, one transaction after the other."""
    backends.postgres.on(_READ, *rounds, [])
    backends.postgres.on(_FORGET, 0)


def forgotten(backends: Backends) -> list[int]:
    """The events that were removed from the outbox."""
    return [number for asked in backends.postgres.asked_for(_FORGET) for number in asked["sent"]]


def test_what_waits_is_sent_and_forgotten(backends: Backends, bus: FakeBus) -> None:
    hold(backends, [waiting(1), waiting(2, "client:2")])
    assert lambda_handler(sample("publish_events"), None) == {"sent": 2, "refused": 0}
    assert bus.details == ["1", "2"]
    assert forgotten(backends) == [1, 2]
    assert backends.postgres.statements[0] == "BEGIN"


def test_an_event_says_where_it_comes_from_and_when_it_happened(backends: Backends, bus: FakeBus) -> None:
    hold(backends, [waiting(1)])
    lambda_handler({}, None)
    ((entry,),) = bus.calls
    assert entry == {
        "Time": NOON,
        "Source": "favorites",
        "DetailType": "FavoriteAdded",
        "Detail": "1",
        "EventBusName": "favorites-events",
    }


def test_an_empty_outbox_is_left_alone(bus: FakeBus) -> None:
    assert lambda_handler({}, None) == {"sent": 0, "refused": 0}
    assert bus.calls == []


def test_while_another_publishes_there_is_nothing_to_do(backends: Backends, bus: FakeBus) -> None:
    hold(backends, [waiting(1)])
    backends.postgres.on("pg_try_advisory_xact_lock", [{"ours": False}])
    assert lambda_handler({}, None) == {"sent": 0, "refused": 0}
    assert bus.calls == []


def test_the_bus_gets_no_more_than_ten_at_once(backends: Backends, bus: FakeBus) -> None:
    hold(backends, [waiting(number, f"client:{number}") for number in range(25)])
    assert lambda_handler({}, None)["sent"] == 25
    assert [len(entries) for entries in bus.calls] == [10, 10, 5]


def test_events_of_one_stream_are_never_sent_together(backends: Backends, bus: FakeBus) -> None:
    hold(backends, [waiting(1), waiting(2), waiting(3, "client:2"), waiting(4)])
    lambda_handler({}, None)
    assert [[entry["Detail"] for entry in entries] for entries in bus.calls] == [["1", "3"], ["2"], ["4"]]


def test_a_refused_event_is_tried_three_times_and_stays(backends: Backends, bus: FakeBus) -> None:
    bus.refuses = {"1"}
    hold(backends, [waiting(1)])
    assert lambda_handler({}, None) == {"sent": 0, "refused": 1}
    assert len(bus.calls) == 3
    assert forgotten(backends) == []


def test_a_refused_event_holds_back_its_own_stream_only(backends: Backends, bus: FakeBus) -> None:
    bus.refuses = {"1"}
    hold(backends, [waiting(1), waiting(2), waiting(3, "client:2"), waiting(4, "client:2")])
    assert lambda_handler({}, None) == {"sent": 2, "refused": 1}
    assert bus.details == ["3", "4"]
    assert forgotten(backends) == [3, 4]


def test_a_full_read_is_followed_by_another_that_skips_what_is_held_back(
    backends: Backends, bus: FakeBus
) -> None:
    bus.refuses = {"0"}
    full = [waiting(number, f"client:{number}") for number in range(outbox.READ)]
    hold(backends, full, [waiting(900, "client:900")])
    assert lambda_handler({}, None) == {"sent": outbox.READ, "refused": 1}
    assert [asked["blocked"] for asked in backends.postgres.asked_for("SELECT outbox_id")] == [
        [],
        ["client:0"],
    ]


def test_when_the_bus_is_down_nothing_is_forgotten(backends: Backends, bus: FakeBus) -> None:
    bus.is_down = True
    hold(backends, [waiting(1)])
    with pytest.raises(ConnectionError):
        lambda_handler({}, None)
    assert backends.postgres.asked_for(_FORGET) == []
    assert backends.postgres.statements[-1] == "ROLLBACK"


@pytest.mark.usefixtures("bus")
def test_without_the_database_it_is_an_error(backends: Backends) -> None:
    backends.postgres.is_down = True
    with pytest.raises(DatabaseUnavailable):
        lambda_handler({}, None)


def test_the_oldest_events_age_is_a_metric(
    backends: Backends, bus: FakeBus, capsys: pytest.CaptureFixture[str]
) -> None:
    hold(backends, [waiting(1)])
    lambda_handler({}, None)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert [line["OutboxLag"] for line in lines if "OutboxLag" in line] == [1.5]
    assert bus.details == ["1"]
