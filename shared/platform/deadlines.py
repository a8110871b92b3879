"""How long the work at hand may still take. A request has one deadline, and every wait in it asks here.

A socket's timeout begins anew with every byte, so a server that sends one byte now and then can hold its
caller without end; and a name look-up has no timeout. So every wait takes the time that is left in all
(`left`). A call that takes no timeout runs in a thread, which is left behind when the time is over (`call`).
"""

from __future__ import annotations

import threading
import time
from contextvars import ContextVar
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

# Seconds for a request. No answer takes more than 5: the rest is for a cold start before the deadline, and
# for putting the answer together after it.
REQUEST = 4.0

# Seconds for which networks keep a connection that nobody uses. A NAT gateway or load balancer of AWS forgets
# it after 350, without a word to either side.
KEPT_BY_NETWORKS = 300.0

Result = TypeVar("Result")

_ends: ContextVar[float] = ContextVar("ends", default=float("inf"))  # by time.monotonic()


class within:  # noqa: N801 — reads as a block; a generator for it would take as long as reading a key
    """Whatever waits in the block has so many seconds for all of it, or less where less is left already."""

    __slots__ = ("_ends", "_token")

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    def __enter__(self) -> None:
        self._token = _ends.set(min(_ends.get(), self._ends))

    def __exit__(self, *_: object) -> None:
        _ends.reset(self._token)


def left(at_most: float) -> float:
    """Seconds that a wait may take: `at_most`, but never beyond the deadline; 0 when that has passed."""
    return max(0.0, min(at_most, _ends.get() - time.monotonic()))


def overdue() -> float:
    """Seconds since the deadline passed; 0 before that."""
    return max(0.0, time.monotonic() - _ends.get())


def of_function(context: Any, *, spare: float) -> float:
    """Seconds that a Lambda function may work, until `spare` seconds before Lambda stops it.

    Endless for a call by hand, which has no context.
    """
    if context is None:
        return float("inf")
    return float(context.get_remaining_time_in_millis()) / 1000 - spare


def call(
    work: Callable[[], Result], seconds: float, *, discard: Callable[[Result], object] | None = None
) -> Result:
    """What `work` returns or raises, or TimeoutError after so many seconds.

    It runs in a thread, which sees no deadline of its own. What it returns too late goes to `discard`.
    """
    if seconds <= 0:
        raise TimeoutError("out of time")
    outcome: SimpleQueue[tuple[Result, None] | tuple[None, BaseException]] = SimpleQueue()
    given_up = threading.Event()
    deciding = threading.Lock()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 — handed to the caller, whatever it is
            outcome.put((None, error))
            return
        with deciding:
            if not given_up.is_set():
                outcome.put((result, None))
                return
        if discard:
            discard(result)

    threading.Thread(target=run, daemon=True).start()
    try:
        found = outcome.get(timeout=seconds)
    except Empty:
        with deciding:
            given_up.set()
            if outcome.empty():
                raise TimeoutError(f"no answer in {seconds:.1f} seconds") from None
        found = outcome.get()
    if found[1] is not None:
        raise found[1]
    return found[0]
