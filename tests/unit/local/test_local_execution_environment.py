"""The pool of execution environments; those themselves are in tests/integration."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.aws.execution_environment import EnvironmentLost, ExecutionEnvironment, FunctionFailed, Pool
from local.servers.services import wait_until

WAIT_SECONDS = 5


class FakeEnvironment(ExecutionEnvironment):
    """Answers with its own number, as `behave` tells it."""

    is_alive = True

    def __init__(self, number: int, behave: Callable[[bytes], object]) -> None:
        self.number, self.behave = number, behave

    def invoke(self, payload: bytes) -> bytes:
        self.behave(payload)
        return str(self.number).encode()

    def stop(self) -> None:
        self.is_alive = False


class Fakes:
    def __init__(self, behave: Callable[[bytes], object] = bytes, concurrency: int = 4) -> None:
        self.behave = behave
        self.started: list[FakeEnvironment] = []
        self.pool = Pool(self.start, concurrency, log=lambda _: None)
        self.invoke = self.pool.invoke

    def start(self) -> FakeEnvironment:
        self.started.append(FakeEnvironment(len(self.started), self.behave))
        return self.started[-1]

    def alive(self) -> list[int]:
        return [environment.number for environment in self.started if environment.is_alive]

    def wait_for_callers_in_line(self, count: int) -> None:
        in_line = self.pool._slots._cond._waiters  # type: ignore[attr-defined]
        assert wait_until(lambda: len(in_line) == count, timeout=WAIT_SECONDS)


class Gate:
    """Holds invocations until they are let through; tells when one has come."""

    def __init__(self) -> None:
        self.arrived, self.open = threading.Semaphore(0), threading.Semaphore(0)
        self.order: list[bytes] = []

    def __call__(self, payload: bytes) -> None:
        self.order.append(payload)
        self.arrived.release()
        assert self.open.acquire(timeout=WAIT_SECONDS)

    def wait_for_one(self) -> None:
        assert self.arrived.acquire(timeout=WAIT_SECONDS)


def test_an_idle_environment_is_used_again() -> None:
    fakes = Fakes()
    assert [fakes.invoke(b"") for _ in range(3)] == [b"0"] * 3
    assert len(fakes.started) == 1


def test_the_environment_used_last_is_used_first() -> None:
    gate = Gate()
    fakes = Fakes(gate)
    with ThreadPoolExecutor() as callers:
        answers = []
        for _ in range(2):
            answers.append(callers.submit(fakes.invoke, b""))
            gate.wait_for_one()
        gate.open.release(2)
        assert {answer.result() for answer in answers} == {b"0", b"1"}
    gate.open.release(3)
    assert len({fakes.invoke(b"") for _ in range(3)}) == 1


def test_callers_over_the_limit_wait_in_the_order_they_came() -> None:
    gate = Gate()
    fakes = Fakes(gate, concurrency=2)
    with ThreadPoolExecutor() as callers:
        for payload in (b"a", b"b"):
            callers.submit(fakes.invoke, payload)
            gate.wait_for_one()
        for position, payload in enumerate((b"c", b"d", b"e"), start=1):
            callers.submit(fakes.invoke, payload)
            fakes.wait_for_callers_in_line(position)
        for _ in range(3):
            gate.open.release()
            gate.wait_for_one()
        gate.open.release(2)
    assert gate.order == [b"a", b"b", b"c", b"d", b"e"]
    assert len(fakes.started) == 2


def test_a_lost_environment_is_replaced_and_its_caller_is_told() -> None:
    def crash(payload: bytes) -> None:
        if payload == b"crash":
            raise EnvironmentLost("Runtime.ExitError", "exit status 3")

    fakes = Fakes(crash, concurrency=1)
    with pytest.raises(EnvironmentLost, match="exit status 3"):
        fakes.invoke(b"crash")
    assert fakes.invoke(b"") == b"1"
    assert fakes.alive() == [1]
    fakes.started[1].is_alive = False  # while idle
    assert fakes.invoke(b"") == b"2"


def test_an_error_of_the_handler_keeps_the_environment() -> None:
    def fail(_: bytes) -> None:
        raise FunctionFailed("ValueError", "no")

    fakes = Fakes(fail)
    for _ in range(2):
        with pytest.raises(FunctionFailed, match="ValueError: no"):
            fakes.invoke(b"")
    assert fakes.alive() == [0]


def test_an_environment_that_cannot_start_frees_its_place() -> None:
    def start() -> ExecutionEnvironment:
        raise OSError("no emulator")

    pool = Pool(start, 1, log=lambda _: None)
    for _ in range(2):
        with pytest.raises(EnvironmentLost, match="no emulator"):
            pool.invoke(b"")


def test_after_a_change_of_the_code_idle_environments_stop_at_once_and_busy_ones_when_done() -> None:
    gate = Gate()
    fakes = Fakes(lambda payload: gate(payload) if payload == b"slow" else None)
    with ThreadPoolExecutor() as callers:
        busy = callers.submit(fakes.invoke, b"slow")
        gate.wait_for_one()
        assert fakes.invoke(b"") == b"1"
        fakes.pool.refresh()
        assert fakes.alive() == [0]
        gate.open.release()
        assert busy.result() == b"0"
    assert fakes.alive() == []
    assert fakes.invoke(b"") == b"2"


def test_stopping_ends_every_environment_and_tells_those_in_line() -> None:
    gate = Gate()
    fakes = Fakes(gate, concurrency=1)
    with ThreadPoolExecutor() as callers:
        callers.submit(fakes.invoke, b"")
        gate.wait_for_one()
        in_line = callers.submit(fakes.invoke, b"")
        fakes.wait_for_callers_in_line(1)
        fakes.pool.stop()
        gate.open.release()
        with pytest.raises(EnvironmentLost, match="being stopped"):
            in_line.result()
    assert fakes.alive() == []
    with pytest.raises(EnvironmentLost, match="being stopped"):
        fakes.invoke(b"")
