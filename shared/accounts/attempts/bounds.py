"""Bounds of one network over all accounts: taken e-mails that it may find, and failed log-ins.

Each bound is one key in Valkey for a network: the time at which the whole allowance is restored (GCRA); the
key expires then. An attempt is counted before it is made, so that many at once get no more than one after the
other, and uncounted if it turns out harmless. While Valkey is down, only API Gateway's limits remain.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from shared.accounts.attempts.networks import network_of
from shared.errors import DomainError, TooManyAttempts
from shared.platform import valkey
from shared.platform.valkey import CacheDown


@dataclass(frozen=True, slots=True)
class Bound:
    """`at_once` attempts, and after that one in each `interval` (seconds)."""

    key: str
    at_once: int
    interval: float
    detail: str


# Registrations and changes of the e-mail that are answered 409.
TAKEN_EMAILS = Bound("taken", 100, 1, "Too many e-mails that are taken.")
# Against a few common passwords tried at many accounts. Accounts at which the network is known do not count.
FAILED_LOG_INS = Bound("failures", 50, 10, "Too many failed attempts.")
# The links of shared lists have 128 random bits, so no guess succeeds; this only stops those who try.
UNKNOWN_SHARES = Bound("shares", 30, 10, "Too many links that lead to no list.")

# ARGV: at_once, interval, and 1 to count or -1 to uncount. Returns the seconds to wait, 0 if it was counted.
_GCRA = """
local at_once, interval, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = redis.call('TIME')
now = tonumber(now[1]) + tonumber(now[2]) / 1e6
local restored = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now) + count * interval
local wait = restored - now - at_once * interval
if count > 0 and wait > 0 then return tostring(wait) end
if restored <= now then redis.call('DEL', KEYS[1]) return '0' end
redis.call('SET', KEYS[1], string.format('%.6f', restored), 'EX', math.ceil(restored - now))
return '0'
"""


@contextmanager
def counted(bound: Bound, source_ip: str, *, if_raised: type[DomainError]) -> Iterator[None]:
    """Count the block only if it raises `if_raised`. Raises TooManyAttempts where the bound is used up."""
    take(bound, source_ip)
    try:
        yield
    except if_raised:
        raise
    except BaseException:
        give_back(bound, source_ip)
        raise
    give_back(bound, source_ip)


def take(bound: Bound, source_ip: str) -> None:
    """Count an attempt. Raises TooManyAttempts where the bound is used up."""
    wait = _execute(bound, source_ip, 1)
    if wait > 0:
        raise TooManyAttempts(bound.detail, retry_after=math.ceil(wait))


def give_back(bound: Bound, source_ip: str) -> None:
    """Uncount an attempt."""
    _execute(bound, source_ip, -1)


def _execute(bound: Bound, source_ip: str, count: int) -> float:
    """The seconds to wait; 0 if the attempt was counted, or Valkey is down."""
    key = f"{bound.key}:{network_of(source_ip)}"
    with suppress(CacheDown):
        command = valkey.script(_GCRA, key, bound.at_once, bound.interval, count)
        # The slow timeout: an attempt that is not counted because a new environment connects would be free.
        (answer,) = valkey.pipeline(command, seconds=valkey.SLOW_TIMEOUT)
        return float(answer)
    return 0
