"""Whether a history of answers can be explained by one thing happening after the other.

A history is linearizable if each operation can be given a moment between its request and its answer, so that
in the order of these moments each answer is the right one (Herlihy and Wing, 1990). It is looked at register
by register, which is enough: a history is linearizable if those of all its registers are.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Final

State = Hashable


class _Impossible:
    """What a register cannot have been."""


IMPOSSIBLE: Final = _Impossible()

Meaning = Callable[[State], State | _Impossible]
"""What an answer says: the state after it for the state before it, or that this state was impossible."""


@dataclass(frozen=True, eq=False)
class Operation:
    """A request to a register that was sent at `called` and answered at `returned` (one clock's seconds)."""

    what: str
    called: float
    returned: float
    meaning: Meaning


def unexplained(operations: Iterable[Operation], initial: State) -> Operation | None:
    """The first operation, in the order of the answers, that no order of moments explains; None if all are.

    This is Lowe's "just-in-time linearization": after each answer, all states the register may be in are
    kept, each with those operations still under way that must have happened for it.
    """
    calls = [(operation.called, 0, operation) for operation in operations]
    returns = [(operation.returned, 1, operation) for _, _, operation in calls]
    possible: set[tuple[State, frozenset[Operation]]] = {(initial, frozenset())}
    under_way: set[Operation] = set()
    # Of a call and a return at the same moment the call is first: they may have overlapped.
    for _, is_return, operation in sorted(calls + returns, key=lambda event: event[:2]):
        if not is_return:
            under_way.add(operation)
            continue
        possible = {
            (state, happened - {operation})
            for state, happened in _all_reached(possible, under_way)
            if operation in happened
        }
        under_way.remove(operation)
        if not possible:
            return operation
    return None


def _all_reached(
    possible: set[tuple[State, frozenset[Operation]]], under_way: set[Operation]
) -> set[tuple[State, frozenset[Operation]]]:
    """The possible states, and those that some of the operations under way may have led to."""
    reached = set(possible)
    new = list(possible)
    while new:
        state, happened = new.pop()
        for operation in under_way - happened:
            after = operation.meaning(state)
            if not isinstance(after, _Impossible):
                following = (after, happened | {operation})
                if following not in reached:
                    reached.add(following)
                    new.append(following)
    return reached


def change(before: Callable[[State], bool], after: State) -> Meaning:
    """An answer that says the state fulfilled `before` and then became `after`."""
    return lambda state: after if before(state) else IMPOSSIBLE


def observe(seen: Callable[[State], bool]) -> Meaning:
    """An answer that says the state fulfilled `seen`, and changed nothing."""
    return lambda state: state if seen(state) else IMPOSSIBLE
