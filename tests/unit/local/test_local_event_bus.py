"""The local event bus: what goes where, and what a queue makes of failures."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from local.aws.event_bus import EventBus, matches
from local.aws.event_queue import EventQueue
from local.aws.execution_environment import FunctionFailed
from local.aws.template import Queue, Rule

Bodies = list[str]
CATALOG_RULE = Rule({"source": ["catalog"], "detail-type": ["ProductChanged"]}, ("Letters",))


class Function:
    """Takes batches; `fails` tells which bodies it cannot, `breaks` makes it raise."""

    def __init__(self) -> None:
        self.batches: list[Bodies] = []
        self.records: list[dict[str, Any]] = []
        self.fails: Callable[[str], bool] = lambda _: False
        self.breaks = False

    def __call__(self, name: str, event: Mapping[str, Any]) -> Any:
        assert name == "ReadFunction"
        records = event["Records"]
        self.records += records
        self.batches.append([record["body"] for record in records])
        if self.breaks:
            raise FunctionFailed("ValueError", "no")
        failed = [record["messageId"] for record in records if self.fails(record["body"])]
        return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}

    @property
    def bodies(self) -> Bodies:
        return [record["body"] for record in self.records]

    def received(self, body: str) -> int:
        return sum(batch.count(body) for batch in self.batches)


@pytest.fixture
def function() -> Function:
    return Function()


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def queue(function: Function, lines: list[str]) -> Iterator[EventQueue]:
    queue = EventQueue(letters(), function, lines.append, visibility=0.01, duplicates=0)
    yield queue
    queue.stop()


def letters(*, reports_failures: bool = True) -> Queue:
    return Queue(
        "Letters", "ReadFunction", batch=3, receives=5, reports_failures=reports_failures, consumers=1
    )


def test_a_message_arrives_as_a_record_of_sqs(queue: EventQueue, function: Function) -> None:
    queue.send('{"a": 1}')
    assert queue.wait_until_empty(5)
    (record,) = function.records
    assert record["body"] == '{"a": 1}'
    assert record["md5OfBody"] == "42b7b4f2921788ea14dac5566e6f06d0"
    assert record["eventSource"] == "aws:sqs"
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert record["eventSourceARN"].endswith(":Letters")


def test_a_batch_is_no_longer_than_the_queue_says(function: Function, lines: list[str]) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def invoke(name: str, event: Mapping[str, Any]) -> Any:
        answer = function(name, event)
        entered.set()
        go_on.wait(5)
        return answer

    queue = EventQueue(letters(), invoke, lines.append, duplicates=0)
    queue.send("0")
    assert entered.wait(5)
    for number in range(1, 6):
        queue.send(str(number))
    go_on.set()
    assert queue.wait_until_empty(5)
    queue.stop()
    assert [len(batch) for batch in function.batches] == [1, 3, 2]
    assert sorted(function.bodies) == ["0", "1", "2", "3", "4", "5"]


def test_a_poison_message_ends_as_a_dead_letter_and_holds_nobody_back(
    queue: EventQueue, function: Function, lines: list[str]
) -> None:
    function.fails = lambda body: body == "poison"
    for body in ("before", "poison", "after"):
        queue.send(body)
    assert queue.wait_until_empty(5)
    assert [function.received(body) for body in ("before", "poison", "after")] == [1, 5, 1]
    assert lines == ["dead letter | Letters, 5 receives: poison"]


def test_what_fails_only_once_comes_again_and_is_taken(
    queue: EventQueue, function: Function, lines: list[str]
) -> None:
    function.fails = lambda body: function.received(body) == 1
    queue.send("again")
    assert queue.wait_until_empty(5)
    counts = [record["attributes"]["ApproximateReceiveCount"] for record in function.records]
    assert counts == ["1", "2"]
    assert lines == []


def test_a_function_that_raises_failed_with_all_of_the_batch(
    queue: EventQueue, function: Function, lines: list[str]
) -> None:
    function.breaks = True
    queue.send("a")
    queue.send("b")
    assert queue.wait_until_empty(5)
    assert (function.received("a"), function.received("b")) == (5, 5)
    assert len(lines) == 2


@pytest.mark.parametrize(
    "answer", [{"batchItemFailures": [{"itemIdentifier": "nobody's"}]}, {"batchItemFailures": [{}]}, [1]]
)
def test_an_answer_that_names_no_message_of_the_batch_fails_all_of_it(answer: Any, lines: list[str]) -> None:
    queue = EventQueue(letters(), lambda _name, _event: answer, lines.append, visibility=0)
    queue.send("a")
    assert queue.wait_until_empty(5)
    queue.stop()
    assert len(lines) == 1


@pytest.mark.parametrize("answer", [None, {}, {"batchItemFailures": None}, {"batchItemFailures": []}])
def test_an_answer_without_failures_takes_the_batch(answer: Any, lines: list[str]) -> None:
    queue = EventQueue(letters(), lambda _name, _event: answer, lines.append, duplicates=0)
    queue.send("a")
    assert queue.wait_until_empty(5)
    queue.stop()
    assert lines == []


def test_failures_count_only_where_the_queue_asks_for_them(function: Function, lines: list[str]) -> None:
    function.fails = lambda _: True
    queue = EventQueue(letters(reports_failures=False), function, lines.append, duplicates=0)
    queue.send("a")
    assert queue.wait_until_empty(5)
    queue.stop()
    assert function.received("a") == 1


def test_several_consumers_work_at_the_same_time(lines: list[str]) -> None:
    together = threading.Barrier(3, timeout=5)
    queue = EventQueue(
        Queue("Letters", "ReadFunction", batch=1, receives=1, reports_failures=True, consumers=3),
        lambda *_: together.wait() and None,
        lines.append,
        duplicates=0,
    )
    for body in "abc":
        queue.send(body)
    assert queue.wait_until_empty(5)
    queue.stop()
    assert lines == []


def test_messages_come_in_any_order_and_some_of_them_twice(function: Function, lines: list[str]) -> None:
    go_on = threading.Event()

    def invoke(name: str, event: Mapping[str, Any]) -> Any:
        go_on.wait(5)
        return function(name, event)

    queue = EventQueue(letters(), invoke, lines.append, duplicates=0.2)
    bodies = [str(number) for number in range(100)]
    for body in bodies:
        queue.send(body)
    go_on.set()
    assert queue.wait_until_empty(5)
    queue.stop()
    arrived = function.bodies
    assert list(dict.fromkeys(arrived)) != bodies
    assert sorted(set(arrived)) == sorted(bodies)
    assert 100 < len(arrived) <= 200
    assert all(arrived.count(body) <= 2 for body in bodies)


def test_a_message_that_failed_stays_invisible_for_its_time(function: Function, lines: list[str]) -> None:
    queue = EventQueue(letters(), function, lines.append, visibility=0.3, duplicates=0)
    function.fails = lambda body: function.received(body) == 1
    started = time.monotonic()
    queue.send("again")
    assert queue.wait_until_empty(5)
    assert time.monotonic() - started >= 0.3
    queue.stop()


def test_a_queue_that_is_stopped_delivers_no_more(queue: EventQueue, function: Function) -> None:
    queue.stop()
    queue.send("late")
    assert not queue.wait_until_empty(0.05)
    assert function.batches == []


# ── The bus ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def bus(function: Function, lines: list[str]) -> Iterator[EventBus]:
    bus = EventBus([CATALOG_RULE], [letters()], function, lines.append, duplicates=0)
    yield bus
    bus.stop()


def test_an_event_that_matches_goes_to_the_queue_in_eventbridges_envelope(
    bus: EventBus, function: Function
) -> None:
    event_id = bus.put("catalog", "ProductChanged", '{"price": 9.90}')
    bus.wait_until_delivered(5)
    (body,) = function.batches[0]
    event = json.loads(body)
    assert event | {"id": event_id, "source": "catalog", "detail-type": "ProductChanged"} == event
    assert event.keys() >= {"version", "account", "time", "region", "resources"}
    assert '"detail": {"price": 9.90}' in body


def test_an_event_that_no_rule_takes_is_shown_as_such_and_goes_nowhere(
    bus: EventBus, function: Function, lines: list[str]
) -> None:
    bus.put("favorites", "FavoriteAdded", '{\n "product_id": "7"}')
    bus.put("catalog", "Other", "{}")
    bus.wait_until_delivered(5)
    assert function.batches == []
    assert lines == [
        'event | favorites FavoriteAdded { "product_id": "7"}',
        "event (no rule takes it) | catalog Other {}",
    ]


def test_a_long_event_is_one_short_line(bus: EventBus, lines: list[str]) -> None:
    bus.put("favorites", "FavoriteAdded", json.dumps({"text": "x" * 10_000}))
    assert len(lines[0]) == 500
    assert lines[0].endswith("…")


@pytest.mark.parametrize("detail", ["", "[]", "nonsense", '"text"'])
def test_a_detail_that_is_no_object_is_refused(bus: EventBus, lines: list[str], detail: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        bus.put("catalog", "ProductChanged", detail)
    assert lines == []


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({}, True),
        ({"source": ["catalog"]}, True),
        ({"source": ["other", "catalog"]}, True),
        ({"source": ["other"]}, False),
        ({"source": ["catalog"], "account": ["1"]}, False),
        ({"detail": {"kind": ["a"]}}, True),
        ({"detail": {"kind": ["b"]}}, False),
        ({"detail": {"kind": {"deeper": ["a"]}}}, False),
    ],
)
def test_a_pattern_matches_by_the_values_it_lists(pattern: dict[str, Any], *, expected: bool) -> None:
    assert matches(pattern, {"source": "catalog", "detail": {"kind": "a"}}) is expected


def test_waiting_for_deliveries_ends_when_its_time_is_over(lines: list[str]) -> None:
    go_on = threading.Event()
    bus = EventBus([CATALOG_RULE], [letters()], lambda *_: go_on.wait(5) and None, lines.append)
    bus.put("catalog", "ProductChanged", "{}")
    started = time.monotonic()
    bus.wait_until_delivered(0.05)
    assert 0.04 < time.monotonic() - started < 2
    go_on.set()
    bus.stop()
