"""The local event bus: what goes where, and what a queue makes of failures."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from local.aws.event_bus import EventBus, matches
from local.aws.event_queue import EventQueue
from local.aws.execution_environment import FunctionFailed
from local.aws.template import Queue, Rule

CATALOG_RULE = Rule({"source": ["catalog"], "detail-type": ["ProductChanged"]}, ("Letters",))
LETTERS: dict[str, Any] = {"batch": 3, "receives": 5, "reports_failures": True, "consumers": 1}
HOUR = 3600.0  # seconds that no test waits


class Function:
    """Takes batches; `fails` tells which bodies it cannot, `breaks` makes it raise."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.records: list[dict[str, Any]] = []
        self.fails: Callable[[str], bool] = lambda _: False
        self.breaks = False
        self.entered, self.go_on, self.answered = (threading.Event() for _ in range(3))
        self.go_on.set()

    def __call__(self, name: str, event: Mapping[str, Any]) -> Any:
        assert name == "ReadFunction"
        records = event["Records"]
        self.records += records
        self.batches.append([record["body"] for record in records])
        self.entered.set()
        self.go_on.wait(5)
        self.answered.set()
        if self.breaks:
            raise FunctionFailed("ValueError", "no")
        failed = [record["messageId"] for record in records if self.fails(record["body"])]
        return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}

    @property
    def bodies(self) -> list[str]:
        return [record["body"] for record in self.records]

    def received(self, *bodies: str) -> list[int]:
        return [self.bodies.count(body) for body in bodies]


@pytest.fixture
def function() -> Function:
    return Function()


@pytest.fixture
def lines() -> list[str]:
    return []


Deliver = Callable[..., EventQueue]


@pytest.fixture
def queue(function: Function, lines: list[str]) -> Iterator[Deliver]:
    """Make a queue, send the messages, and wait until it is empty."""
    made: list[EventQueue] = []

    def deliver(
        *bodies: str, invoke: Any = function, duplicates: float = 0, visibility: float = 0.01, **changes: Any
    ) -> EventQueue:
        letters = Queue("Letters", "ReadFunction", **LETTERS | changes)
        queue = EventQueue(letters, invoke, lines.append, visibility=visibility, duplicates=duplicates)
        made.append(queue)
        for body in bodies:
            queue.send(body)
        assert not bodies or not function.go_on.is_set() or queue.wait_until_empty(5)
        return queue

    yield deliver
    for each in made:
        each.stop()


def test_a_message_arrives_as_a_record_of_sqs(queue: Deliver, function: Function) -> None:
    queue('{"a": 1}')
    (record,) = function.records
    assert record["body"] == '{"a": 1}'
    assert record["md5OfBody"] == "42b7b4f2921788ea14dac5566e6f06d0"
    assert record["eventSource"] == "aws:sqs"
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert record["eventSourceARN"].endswith(":Letters")


def test_a_batch_is_no_longer_than_the_queue_says(queue: Deliver, function: Function) -> None:
    function.go_on.clear()
    full = queue("0")
    assert function.entered.wait(5)
    for number in range(1, 6):
        full.send(str(number))
    function.go_on.set()
    assert full.wait_until_empty(5)
    assert [len(batch) for batch in function.batches] == [1, 3, 2]
    assert sorted(function.bodies) == ["0", "1", "2", "3", "4", "5"]


def test_a_poison_message_ends_as_a_dead_letter_and_delays_no_other(
    queue: Deliver, function: Function, lines: list[str]
) -> None:
    function.fails = lambda body: body == "poison"
    queue("before", "poison", "after")
    assert function.received("before", "poison", "after") == [1, 5, 1]
    assert lines == ["dead letter | Letters, 5 receives: poison"]


def test_a_message_that_fails_once_is_taken_the_second_time(
    queue: Deliver, function: Function, lines: list[str]
) -> None:
    function.fails = lambda body: function.received(body) == [1]
    queue("again")
    counts = [record["attributes"]["ApproximateReceiveCount"] for record in function.records]
    assert counts == ["1", "2"]
    assert lines == []


def test_a_failed_message_stays_invisible_for_its_time(queue: Deliver, function: Function) -> None:
    function.fails = lambda _: True
    function.go_on.clear()
    hidden = queue("again", visibility=HOUR)
    function.go_on.set()
    assert not hidden.wait_until_empty(0.1)
    assert function.received("again") == [1]


def test_a_function_that_raises_failed_with_all_of_the_batch(
    queue: Deliver, function: Function, lines: list[str]
) -> None:
    function.breaks = True
    queue("a", "b")
    assert function.received("a", "b") == [5, 5]
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("answer", "dead_letters"),
    [
        *(({"batchItemFailures": [{"itemIdentifier": "nobody's"}]}, 1), ({"batchItemFailures": [{}]}, 1)),
        *(([1], 1), (None, 0), ({}, 0), ({"batchItemFailures": None}, 0), ({"batchItemFailures": []}, 0)),
    ],
)
def test_an_answer_that_names_no_message_of_the_batch_fails_all_of_it(
    queue: Deliver, answer: Any, dead_letters: int, lines: list[str]
) -> None:
    queue("a", invoke=lambda _name, _event: answer)
    assert len(lines) == dead_letters


def test_failures_count_only_where_the_queue_asks_for_them(queue: Deliver, function: Function) -> None:
    function.fails = lambda _: True
    queue("a", reports_failures=False)
    assert function.received("a") == [1]


def test_several_consumers_work_at_the_same_time(queue: Deliver, lines: list[str]) -> None:
    together = threading.Barrier(3, timeout=5)
    queue(*"abc", invoke=lambda *_: together.wait() and None, batch=1, receives=1, consumers=3)
    assert lines == []


def test_messages_come_in_any_order_and_some_of_them_twice(queue: Deliver, function: Function) -> None:
    bodies = [str(number) for number in range(100)]
    function.go_on.clear()
    full = queue(*bodies, duplicates=0.2)
    function.go_on.set()
    assert full.wait_until_empty(5)
    assert list(dict.fromkeys(function.bodies)) != bodies
    assert set(function.received(*bodies)) == {1, 2}


def test_a_queue_that_is_stopped_delivers_no_more(queue: Deliver, function: Function) -> None:
    stopped = queue()
    stopped.stop()
    stopped.send("late")
    assert not stopped.wait_until_empty(0.05)
    assert function.batches == []


# ── The bus ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def bus(function: Function, lines: list[str]) -> Iterator[EventBus]:
    letters = Queue("Letters", "ReadFunction", **LETTERS)
    bus = EventBus([CATALOG_RULE], [letters], function, lines.append, duplicates=0)
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


def test_an_event_is_one_short_line_and_goes_nowhere_without_a_rule(
    bus: EventBus, function: Function, lines: list[str]
) -> None:
    bus.put("favorites", "FavoriteAdded", '{\n "product_id": "7"}')
    bus.put("catalog", "Other", "{}")
    bus.put("favorites", "FavoriteAdded", json.dumps({"text": "x" * 10_000}))
    bus.wait_until_delivered(5)
    assert function.batches == []
    assert lines[:2] == [
        'event | favorites FavoriteAdded { "product_id": "7"}',
        "event (no rule takes it) | catalog Other {}",
    ]
    assert len(lines[2]) == 500


@pytest.mark.parametrize("detail", ["", "[]", "nonsense", '"text"'])
def test_a_detail_that_is_no_object_is_refused(bus: EventBus, lines: list[str], detail: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        bus.put("catalog", "ProductChanged", detail)
    assert lines == []


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({}, True),
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


def test_waiting_for_deliveries_ends_when_its_time_is_over(bus: EventBus, function: Function) -> None:
    function.go_on.clear()
    bus.put("catalog", "ProductChanged", "{}")
    bus.wait_until_delivered(0.05)
    assert not function.answered.is_set()
    function.go_on.set()
