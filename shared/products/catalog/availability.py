"""Whether the catalog may be asked now, and what it means when it gives nothing usable."""

from __future__ import annotations

import time
from typing import NoReturn

from shared.errors import CatalogUnavailable
from shared.platform import logs, metrics

FAILURES_TO_OPEN = 5  # in a row
# With the timeout of a call, for a request that hung until an outage was over, less than 5 s: then all is as
# before.
OPEN_SECONDS = 2.5
MAX_RETRY_AFTER = 10 * 60  # seconds for which a catalog that throttles is left alone, at most


class AnswerTooLong(CatalogUnavailable):
    """The catalog is healthy; this answer exceeds this caller's limit."""


class BreakerOpen(CatalogUnavailable):
    """The catalog failed repeatedly, or asked for a pause, and was not called this time."""


class CircuitBreaker:
    """Open for `OPEN_SECONDS` after `FAILURES_TO_OPEN` failures in a row, and after each that follows them.

    Between that, every caller tries again: the calls of one bulk request run in parallel and delay no others.
    A pause that the catalog itself asked for (Retry-After) is kept by every caller, polls too.
    """

    def __init__(self) -> None:
        self.failures = 0
        self.open_until = 0.0
        self.throttled_until = 0.0

    def check(self, *, heed_failures: bool = True) -> None:
        """Raise BreakerOpen where the catalog is not to be called now."""
        until = max(self.throttled_until, self.open_until if heed_failures else 0.0)
        left = until - time.monotonic()
        if left > 0:
            raise BreakerOpen.silent(retry_after=int(left) + 1)

    def failed(self) -> None:
        """Count a call that failed."""
        self.failures += 1
        if self.failures >= FAILURES_TO_OPEN:
            self.open_until = time.monotonic() + OPEN_SECONDS

    def throttled(self, seconds: float) -> None:
        """Keep the pause that the catalog asked for, up to `MAX_RETRY_AFTER`."""
        self.throttled_until = time.monotonic() + min(seconds, MAX_RETRY_AFTER)

    def succeeded(self) -> None:
        """Start counting anew."""
        self.failures = 0

    def reset(self) -> None:
        """Forget failures and pauses."""
        self.__init__()  # type: ignore[misc]


breaker = CircuitBreaker()


def refuse(
    reason: str,
    kind: type[CatalogUnavailable] = CatalogUnavailable,
    cause: Exception | None = None,
    *,
    retry_after: int = 5,
) -> NoReturn:
    """Log and count an answer that cannot be used. No answer and an invalid answer are handled alike."""
    logs.logger().warning("catalog unavailable", reason=reason[:300])
    metrics.count("CatalogFailures")
    raise kind.silent(retry_after=retry_after, reason=reason[:300]) from cause
