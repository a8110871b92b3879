"""Small histories whose verdict is known."""

import pytest

from tests.model.linearizability import Operation, change, observe, unexplained


def write(value: str, called: float, returned: float) -> Operation:
    return Operation(f"write {value}", called, returned, change(lambda _: True, value))


def take(value: str, called: float, returned: float) -> Operation:
    """Write if it was empty."""
    return Operation(f"take {value}", called, returned, change(lambda state: state is None, value))


def read(value: str | None, called: float, returned: float) -> Operation:
    return Operation(f"read {value}", called, returned, observe(lambda state: state == value))


@pytest.mark.parametrize(
    "history",
    [
        [],
        [read(None, 0, 1)],
        [write("a", 0, 1), read("a", 2, 3)],
        [write("a", 0, 3), read(None, 1, 2)],  # read while it is written: before
        [write("a", 0, 3), read("a", 1, 2)],  # or after
        [write("a", 0, 9), write("b", 0, 9), read("b", 1, 2), read("a", 3, 4)],
        [take("a", 0, 1), read("a", 1, 2)],
        [write("a", 0, 9), read(None, 1, 2), read(None, 3, 4), read("a", 5, 6)],
    ],
)
def test_a_history_that_some_order_explains(history: list[Operation]) -> None:
    assert unexplained(history, initial=None) is None


@pytest.mark.parametrize(
    "history",
    [
        [read("a", 0, 1)],
        [write("a", 0, 1), read(None, 2, 3)],  # lost
        [write("a", 0, 1), write("b", 2, 3), read("a", 4, 5)],  # stale
        [write("a", 0, 9), read("a", 1, 2), read(None, 3, 4)],  # there, and then not yet
        [write("a", 0, 9), write("b", 0, 9), read("b", 1, 2), read("a", 3, 4), read("b", 5, 6)],
        [take("a", 0, 9), take("b", 0, 9)],  # both were the first
    ],
)
def test_a_history_that_no_order_explains(history: list[Operation]) -> None:
    assert unexplained(history, initial=None) is not None
