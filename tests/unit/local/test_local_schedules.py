"""The local scheduler: when it runs what, and what it tells of it."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest

from local.aws.execution_environment import FunctionFailed
from local.aws.functions import Functions
from local.aws.schedules import Schedules, summary
from local.aws.template import Schedule
from local.servers.services import wait_until


class FakeFunctions:
    """Counts the invocations of each function, and answers with what `answer` returns."""

    def __init__(self, answer: Callable[[str], Any]) -> None:
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self._answer = answer

    def label(self, name: str) -> str:
        return name.lower()

    def invoke(self, name: str, event: Mapping[str, Any]) -> Any:
        self.events.append((name, event))
        return self._answer(name)

    def count(self, name: str) -> int:
        return [invoked for invoked, _ in self.events].count(name)


def schedules(
    functions: FakeFunctions, lines: list[str], *declared: Schedule, seconds: float = 60
) -> Schedules:
    return Schedules(declared, cast("Functions", functions), seconds, lines.append)


def test_the_first_runs_are_done_when_it_has_started_and_each_is_one_line() -> None:
    functions, lines = FakeFunctions(lambda name: {"done": name}), list[str]()
    runs = schedules(functions, lines, Schedule("Warm", 240), Schedule("Publish", 60))
    assert runs.start(wait=5) == []
    assert sorted(lines) == ["schedule | publish: Publish done", "schedule | warm: Warm done"]
    runs.stop()
    assert functions.events[0][1]["source"] == "aws.scheduler"


def test_it_runs_again_at_the_shorter_of_its_rate_and_the_limit() -> None:
    functions, lines = FakeFunctions(lambda _: None), list[str]()
    declared = [Schedule("Often", 0.05), Schedule("Rare", 3600), Schedule("Nightly", None)]
    runs = schedules(functions, lines, *declared, seconds=0.2)
    runs.start(wait=5)
    assert wait_until(lambda: functions.count("Rare") >= 3 and functions.count("Nightly") >= 3, timeout=5)
    assert functions.count("Often") > functions.count("Rare") * 2
    runs.stop()
    count = len(functions.events)
    time.sleep(0.25)
    assert len(functions.events) == count


def test_a_run_that_fails_is_one_line_and_the_next_one_follows() -> None:
    def fail(_: str) -> None:
        raise FunctionFailed("CatalogUnavailable", "The catalog is not answering.")

    functions, lines = FakeFunctions(fail), list[str]()
    runs = schedules(functions, lines, Schedule("Warm", 0.02))
    runs.start(wait=5)
    assert wait_until(lambda: functions.count("Warm") >= 2, timeout=5)
    runs.stop()
    assert lines == ["schedule | warm: failed: CatalogUnavailable: The catalog is not answering."]


def test_a_failure_that_lasts_is_one_line_until_it_is_another_or_over() -> None:
    answers = iter([{"failed": "down"}] * 3 + [{"failed": "slow"}, {"products": 66}, {"failed": "slow"}])
    functions, lines = FakeFunctions(lambda _: next(answers, None)), list[str]()
    runs = schedules(functions, lines, Schedule("Warm", 0.02))
    assert runs.start(wait=5) == ["warm"]
    assert wait_until(lambda: functions.count("Warm") >= 7, timeout=5)
    runs.stop()
    said = [line.removeprefix("schedule | warm: ") for line in lines]
    assert said[:5] == ["failed: down", "failed: slow", "66 products", "failed: slow", "done"]


def test_runs_that_did_nothing_are_silent_after_the_first() -> None:
    idle = {"products": 66, "changed": 0, "seconds": 0.1}
    answers = iter([idle, idle, idle | {"changed": 1}, *[idle] * 3])
    functions, lines = FakeFunctions(lambda _: next(answers, idle)), list[str]()
    runs = schedules(functions, lines, Schedule("Warm", 0.02))
    runs.start(wait=5)
    assert wait_until(lambda: functions.count("Warm") >= 6, timeout=5)
    runs.stop()
    assert [line.split(", ")[1] for line in lines] == ["0 changed", "1 changed"]


def test_a_first_run_that_takes_too_long_is_told() -> None:
    functions, lines = FakeFunctions(lambda _: time.sleep(0.3)), list[str]()
    runs = schedules(functions, lines, Schedule("Warm", 60))
    assert runs.start(wait=0.05) == ["warm"]
    runs.stop()


def test_runs_of_one_schedule_never_overlap_and_others_do_not_wait_for_them() -> None:
    at_once, most, lock = 0, 0, threading.Lock()
    go_on = threading.Event()

    def answer(name: str) -> None:
        nonlocal at_once, most
        if name == "Slow":
            with lock:
                at_once += 1
                most = max(most, at_once)
            go_on.wait(5)
            with lock:
                at_once -= 1

    functions, lines = FakeFunctions(answer), list[str]()
    runs = schedules(functions, lines, Schedule("Slow", 0.01), Schedule("Quick", 0.01))
    runs.start(wait=0.05)
    assert wait_until(lambda: functions.count("Quick") >= 5, timeout=5)
    assert functions.count("Slow") == 1
    go_on.set()
    assert wait_until(lambda: functions.count("Slow") >= 3, timeout=5)
    runs.stop()
    assert most == 1


def test_stopping_waits_for_a_run_under_way_and_tells_nothing_of_it() -> None:
    entered = threading.Event()

    def answer(_: str) -> None:
        entered.set()
        time.sleep(0.2)

    functions, lines = FakeFunctions(answer), list[str]()
    runs = schedules(functions, lines, Schedule("Slow", 60))
    runs.start(wait=0)
    assert entered.wait(5)
    started = time.monotonic()
    runs.stop()
    assert 0.1 < time.monotonic() - started < 1.5
    assert lines == []


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"products": 66, "changed": 1, "seconds": 0.05}, "66 products, 1 changed, 0.05 s"),
        ({"sent": 0, "dead_letters": 0}, "0 sent, 0 dead letters"),
        ({"skipped": True}, "skipped"),
        (None, "done"),
        ({}, "done"),
    ],
)
def test_what_a_run_did_is_told_in_a_few_words(result: Any, text: str) -> None:
    assert summary(result) == text
