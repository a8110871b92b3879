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

    def __init__(self, number: int, behave: Callable[[bytes], None]) -> None:
        self.number = number
        self.behave = behave
        self.alive = True

    @property
    def is_alive(self) -> bool:
        return self.alive

    def invoke(self, payload: bytes) -> bytes:
        self.behave(payload)
        return str(self.number).encode()

    def stop(self) -> None:
        self.alive = False


class Factory:
    """Starts fakes and remembers them."""

    def __init__(self, behave: Callable[[bytes], None] = lambda _: None) -> None:
        self.behave = behave
        self.started: list[FakeEnvironment] = []

    def __call__(self) -> FakeEnvironment:
        self.started.append(FakeEnvironment(len(self.started), self.behave))
        return self.started[-1]

    def alive(self) -> list[int]:
        return [environment.number for environment in self.started if environment.alive]


def pool_of(factory: Factory, concurrency: int = 4) -> Pool:
    return Pool(factory, concurrency, log=lambda _: None)


class Gate:
    """Holds invocations until they are let through; tells when one has come."""

    def __init__(self) -> None:
        self.arrived = threading.Semaphore(0)
        self.open = threading.Semaphore(0)
        self.order: list[bytes] = []

    def __call__(self, payload: bytes) -> None:
        self.order.append(payload)
        self.arrived.release()
        assert self.open.acquire(timeout=WAIT_SECONDS)

    def wait_for(self, arrivals: int) -> None:
        for _ in range(arrivals):
            assert self.arrived.acquire(timeout=WAIT_SECONDS)


def wait_for_callers_in_line(pool: Pool, count: int) -> None:
    in_line = pool._slots._cond._waiters  # type: ignore[attr-defined]
    assert wait_until(lambda: len(in_line) == count, timeout=WAIT_SECONDS)


def test_an_idle_environment_is_used_again() -> None:
    factory = Factory()
    pool = pool_of(factory)
    assert [pool.invoke(b""), pool.invoke(b""), pool.invoke(b"")] == [b"0", b"0", b"0"]
    assert len(factory.started) == 1


def test_the_environment_used_last_is_used_first() -> None:
    gate = Gate()
    factory = Factory(gate)
    pool = pool_of(factory)
    with ThreadPoolExecutor() as callers:
        first = callers.submit(pool.invoke, b"a")
        gate.wait_for(1)
        second = callers.submit(pool.invoke, b"b")
        gate.wait_for(1)
        gate.open.release(2)
        assert {first.result(), second.result()} == {b"0", b"1"}
    gate.open.release(3)
    assert len({pool.invoke(b""), pool.invoke(b""), pool.invoke(b"")}) == 1


def test_callers_over_the_limit_wait_in_the_order_they_came() -> None:
    gate = Gate()
    factory = Factory(gate)
    pool = pool_of(factory, concurrency=2)
    with ThreadPoolExecutor() as callers:
        for payload in (b"a", b"b"):
            callers.submit(pool.invoke, payload)
            gate.wait_for(1)
        for position, payload in enumerate((b"c", b"d", b"e"), start=1):
            callers.submit(pool.invoke, payload)
            wait_for_callers_in_line(pool, position)
        assert len(factory.started) == 2
        for _ in range(3):
            gate.open.release()
            gate.wait_for(1)
        gate.open.release(2)
    assert gate.order == [b"a", b"b", b"c", b"d", b"e"]
    assert len(factory.started) == 2


def test_a_lost_environment_is_replaced_and_its_caller_told() -> None:
    def crash_once(payload: bytes) -> None:
        if payload == b"crash":
            raise EnvironmentLost("Runtime.ExitError", "exit status 3")

    factory = Factory(crash_once)
    pool = pool_of(factory, concurrency=1)
    with pytest.raises(EnvironmentLost, match="exit status 3"):
        pool.invoke(b"crash")
    assert pool.invoke(b"") == b"1"
    assert factory.alive() == [1]


def test_an_environment_that_died_while_idle_is_replaced_unseen() -> None:
    factory = Factory()
    pool = pool_of(factory)
    pool.invoke(b"")
    factory.started[0].alive = False
    assert pool.invoke(b"") == b"1"


def test_an_error_of_the_handler_keeps_the_environment() -> None:
    def fail(_: bytes) -> None:
        raise FunctionFailed("ValueError", "no")

    factory = Factory(fail)
    pool = pool_of(factory)
    for _ in range(2):
        with pytest.raises(FunctionFailed, match="ValueError: no"):
            pool.invoke(b"")
    assert factory.alive() == [0]


def test_an_environment_that_cannot_start_frees_its_place() -> None:
    def start() -> ExecutionEnvironment:
        raise OSError("no emulator")

    pool = Pool(start, 1, log=lambda _: None)
    for _ in range(2):
        with pytest.raises(EnvironmentLost, match="no emulator"):
            pool.invoke(b"")


def test_after_a_change_of_the_code_idle_environments_stop_at_once_and_busy_ones_when_done() -> None:
    gate = Gate()
    factory = Factory(lambda payload: gate(payload) if payload == b"slow" else None)
    pool = pool_of(factory)
    with ThreadPoolExecutor() as callers:
        busy = callers.submit(pool.invoke, b"slow")
        gate.wait_for(1)
        assert pool.invoke(b"") == b"1"
        pool.refresh()
        assert factory.alive() == [0]
        gate.open.release()
        assert busy.result() == b"0"
    assert factory.alive() == []
    assert pool.invoke(b"") == b"2"


def test_stopping_ends_every_environment_and_tells_those_in_line() -> None:
    gate = Gate()
    factory = Factory(gate)
    pool = pool_of(factory, concurrency=1)
    with ThreadPoolExecutor() as callers:
        callers.submit(pool.invoke, b"")
        gate.wait_for(1)
        in_line = callers.submit(pool.invoke, b"")
        wait_for_callers_in_line(pool, 1)
        pool.stop()
        gate.open.release()
        with pytest.raises(EnvironmentLost, match="being stopped"):
            in_line.result()
    assert factory.alive() == []
    with pytest.raises(EnvironmentLost, match="being stopped"):
        pool.invoke(b"")
