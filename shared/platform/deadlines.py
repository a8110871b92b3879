"""How long the work at hand may still take: every wait in a request takes what is left of one deadline.

A socket's timeout begins anew with every byte, so a server that sends a byte now and then could hold its
caller without end, and a name look-up has no timeout. So every wait takes the time that is left (`left`), and
a call without a timeout runs in a thread that is abandoned when the time is over (`call`).
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
# for rendering the answer after it.
REQUEST = 4.0

# Seconds without use after which a connection is not trusted: AWS's NAT gateways and load balancers drop it
# after 350 without telling either side.
KEPT_BY_NETWORKS = 300.0

Result = TypeVar("Result")

_ends: ContextVar[float] = ContextVar("ends", default=float("inf"))  # by time.monotonic()


class within:  # noqa: N801 — a context manager; a generator would take as long as reading a key
    """All waits in the block together have so many seconds, or less where less is left already."""

    __slots__ = ("_ends", "_token")

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    def __enter__(self) -> None:
        self._token = _ends.set(min(_ends.get(), self._ends))

    def __exit__(self, *_: object) -> None:
        _ends.reset(self._token)


def left(at_most: float) -> float:
    """Seconds until the deadline, at most `at_most` and at least 0."""
    return max(0.0, min(at_most, _ends.get() - time.monotonic()))


def overdue() -> float:
    """Seconds since the deadline passed; 0 before that."""
    return max(0.0, time.monotonic() - _ends.get())


def of_function(context: Any, *, spare: float) -> float:
    """Seconds until `spare` seconds before Lambda stops the function; endless without a context."""
    if context is None:
        return float("inf")
    return float(context.get_remaining_time_in_millis()) / 1000 - spare


def call(
    work: Callable[[], Result], seconds: float, *, discard: Callable[[Result], object] | None = None
) -> Result:
    """What `work` returns or raises, or TimeoutError after so many seconds.

    It runs in a thread without a deadline. `discard` gets a result that comes too late.
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
