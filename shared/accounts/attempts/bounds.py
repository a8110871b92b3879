"""How often one network may learn that an e-mail is taken, and fail at the passwords of any accounts.

Each bound is one key in Valkey for a network: the time at which the network has its whole allowance again
(GCRA). The key expires then. An attempt is counted before anything is looked at, so that many at once get no
more than one after the other, and is given back if it was none. While Valkey is down, API Gateway's limits of
the routes are the only bounds.
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


# A registration, or a change of the e-mail, that answers 409 tells that the e-mail is taken.
TAKEN_EMAILS = Bound("taken", 100, 1, "Too many e-mails that are taken.")
# A few common passwords, tried at many accounts. An account at which the network is known does not count.
FAILED_LOG_INS = Bound("failures", 50, 10, "Too many failed attempts.")
# The links of shared lists have 128 random bits: this bounds the load of guessing, not its success.
UNKNOWN_SHARES = Bound("shares", 30, 10, "Too many links that lead to no list.")

# ARGV: at_once, interval, and 1 to take or -1 to give back. Returns the seconds to wait, 0 if it was taken.
_GCRA = """
local at_once, interval, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = redis.call('TIME')
now = tonumber(now[1]) + tonumber(now[2]) / 1e6
local whole_again = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now) + count * interval
local wait = whole_again - now - at_once * interval
if count > 0 and wait > 0 then return tostring(wait) end
if whole_again <= now then redis.call('DEL', KEYS[1]) return '0' end
redis.call('SET', KEYS[1], string.format('%.6f', whole_again), 'EX', math.ceil(whole_again - now))
return '0'
"""


@contextmanager
def counted(bound: Bound, source_ip: str, *, if_raised: type[DomainError]) -> Iterator[None]:
    """Count an attempt that ends in the error `if_raised`, and no other.

    Raises TooManyAttempts where the network has used up the bound.
    """
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
    """Count an attempt. Raises TooManyAttempts where the network has used up the bound."""
    wait = _ask(bound, source_ip, 1)
    if wait > 0:
        raise TooManyAttempts(bound.detail, retry_after=math.ceil(wait))


def give_back(bound: Bound, source_ip: str) -> None:
    """Uncount an attempt."""
    _ask(bound, source_ip, -1)


def _ask(bound: Bound, source_ip: str, count: int) -> float:
    """The seconds to wait, 0 where the attempt was counted or Valkey is down."""
    key = f"{bound.key}:{network_of(source_ip)}"
    with suppress(CacheDown):
        command = valkey.script(_GCRA, key, bound.at_once, bound.interval, count)
        # An attempt that is not counted because a new environment connects would be a gift.
        (answer,) = valkey.pipeline(command, seconds=valkey.SLOW_TIMEOUT)
        return float(answer)
    return 0
