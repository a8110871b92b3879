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


class Running:
    """Schedules of functions that answer with what `answer` returns; what they invoked, and their lines."""

    def __init__(self, answer: Callable[[str], Any], *declared: Schedule, seconds: float = 60) -> None:
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self.lines: list[str] = []
        self._answer = answer
        self.schedules = Schedules(declared, cast("Functions", self), seconds, self.lines.append)

    def label(self, name: str) -> str:
        return name.lower()

    def invoke(self, name: str, event: Mapping[str, Any]) -> Any:
        self.events.append((name, event))
        return self._answer(name)

    def count(self, name: str) -> int:
        return [invoked for invoked, _ in self.events].count(name)

    def run(self, **at_least: int) -> list[str]:
        """Start, let each function run so often, and stop; what had not ended well by the start."""
        late = self.schedules.start(wait=5)
        assert wait_until(lambda: all(self.count(name) >= n for name, n in at_least.items()), timeout=5)
        self.schedules.stop()
        return late


def test_the_first_runs_are_done_when_it_has_started_and_each_is_one_line() -> None:
    runs = Running(lambda name: {"done": name}, Schedule("Warm", 240), Schedule("Publish", 60))
    assert runs.run() == []
    assert sorted(runs.lines) == ["schedule | publish: Publish done", "schedule | warm: Warm done"]
    assert runs.events[0][1]["source"] == "aws.scheduler"


def test_it_runs_again_at_the_shorter_of_its_rate_and_the_limit_until_it_is_stopped() -> None:
    declared = [Schedule("Often", 0.02), Schedule("Rare", 3600), Schedule("Nightly", None)]
    runs = Running(lambda _: None, *declared, seconds=0.08)
    runs.run(Rare=3, Nightly=3)
    assert runs.count("Often") > runs.count("Rare") * 2
    count = len(runs.events)
    time.sleep(0.1)
    assert len(runs.events) == count


def test_a_run_that_fails_is_one_line_and_the_next_one_follows() -> None:
    def fail(_: str) -> None:
        raise FunctionFailed("CatalogUnavailable", "The catalog is not answering.")

    runs = Running(fail, Schedule("Warm", 0.02))
    runs.run(Warm=2)
    assert runs.lines == ["schedule | warm: failed: CatalogUnavailable: The catalog is not answering."]


def test_a_failure_that_lasts_is_one_line_until_it_is_another_or_over() -> None:
    answers = iter([{"failed": "down"}] * 3 + [{"failed": "slow"}, {"products": 66}, {"failed": "slow"}])
    runs = Running(lambda _: next(answers, None), Schedule("Warm", 0.02))
    assert runs.run(Warm=7) == ["warm"]
    shown = [line.removeprefix("schedule | warm: ") for line in runs.lines]
    assert shown[:5] == ["failed: down", "failed: slow", "66 products", "failed: slow", "done"]


def test_runs_that_did_nothing_are_silent_after_the_first() -> None:
    idle = {"products": 66, "changed": 0, "seconds": 0.1}
    answers = iter([idle, idle, idle | {"changed": 1}, *[idle] * 3])
    runs = Running(lambda _: next(answers, idle), Schedule("Warm", 0.02))
    runs.run(Warm=6)
    assert [line.split(", ")[1] for line in runs.lines] == ["0 changed", "1 changed"]


def test_runs_of_one_schedule_never_overlap_and_others_do_not_wait_for_them() -> None:
    at_once, most, go_on = 0, 0, threading.Event()

    def answer(name: str) -> None:
        nonlocal at_once, most
        if name == "Slow":
            at_once += 1
            most = max(most, at_once)
            go_on.wait(5)
            at_once -= 1

    runs = Running(answer, Schedule("Slow", 0.01), Schedule("Quick", 0.01))
    assert runs.schedules.start(wait=0.05) == ["slow"]  # a first run that takes too long is told
    assert wait_until(lambda: runs.count("Quick") >= 5, timeout=5)
    assert runs.count("Slow") == 1
    go_on.set()
    assert wait_until(lambda: runs.count("Slow") >= 3, timeout=5)
    runs.schedules.stop()
    assert most == 1


def test_stopping_waits_for_a_run_under_way_and_shows_no_line_of_it() -> None:
    entered, ended = threading.Event(), threading.Event()

    def answer(_: str) -> None:
        entered.set()
        time.sleep(0.1)
        ended.set()

    runs = Running(answer, Schedule("Slow", 60))
    runs.schedules.start(wait=0)
    assert entered.wait(5)
    runs.schedules.stop()
    assert ended.is_set()
    assert runs.lines == []


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
def test_a_summary_has_the_numbers_and_their_names(result: Any, text: str) -> None:
    assert summary(result) == text
