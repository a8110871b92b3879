"""The connection to Valkey (Redis protocol): one per execution environment, and quick to do without.

Everything kept there can be had elsewhere, so a Valkey that is down or slow costs a request at most
`TIMEOUT`, and only one request in `HOLD_OFF` finds out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from redis.backoff import NoBackoff
from redis.client import Redis
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import RedisError
from redis.retry import Retry

from shared.platform import logs, settings

TIMEOUT = 0.1  # seconds for connecting, and for each answer
HOLD_OFF = 1.0  # seconds without a try after a failure

Result = TypeVar("Result")

_client: Redis | None = None
_not_before = 0.0


class CacheDown(Exception):
    """Valkey did not answer, or not in time; go on without it."""


def command(run: Callable[[Redis], Result]) -> Result:
    """What `run` gets from Valkey. Raises CacheDown."""
    global _not_before
    if time.monotonic() < _not_before:
        raise CacheDown
    try:
        return run(_connected())
    except RedisError as error:  # refused, too slow, still loading, out of memory: all the same to us
        _not_before = time.monotonic() + HOLD_OFF
        logs.logger().warning("cache down", reason=str(error))
        raise CacheDown from error


def close() -> None:
    """Forget the connection and that it ever failed; the next use opens another."""
    global _client, _not_before
    if _client is not None:
        _client.close()
    _client, _not_before = None, 0.0


def _connected() -> Redis:
    global _client
    if _client is None:
        _client = Redis.from_url(
            settings.redis_url(),
            max_connections=1_000,  # a request uses one; whoever calls from threads needs more
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            # A connection that the server closed while this environment slept is opened again, once; a
            # server that is slow is not asked twice.
            retry=Retry(NoBackoff(), 1, supported_errors=(Disconnected,)),
            # Two round trips less at every cold start: no HELLO, no CLIENT SETINFO.
            protocol=2,
            driver_info=None,
        )
    return _client
