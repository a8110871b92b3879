"""Leases: one caller at a time refreshes a product or the list."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from shared.platform import valkey

BACKOFF = 2  # seconds without another attempt after the catalog failed

_FAILED = b"failed"

_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], 'failed', 'PX', ARGV[2])
return 1
"""


_RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to refresh `name`, until it is released or its time is over."""

    name: str
    token: str

    def renew(self, seconds: float) -> None:
        """Hold it for so many seconds from now, if it is still held. Raises CacheDown."""
        milliseconds = int(seconds * 1000)
        valkey.pipeline(valkey.script(_RENEW, f"lease:{self.name}", self.token, milliseconds))

    def release(self) -> None:
        """Let the next one have it, if it is still held. Raises CacheDown."""
        self._end(0)

    def release_with_backoff(self, back_off: int = BACKOFF) -> None:
        """Give it up and keep everybody from trying again for so many seconds. Raises CacheDown."""
        self._end(back_off * 1000)

    def _end(self, back_off: int) -> None:
        valkey.pipeline(valkey.script(_RELEASE, f"lease:{self.name}", self.token, back_off))


@dataclass(frozen=True, slots=True)
class LeaseHeld:
    """Somebody else holds the lease, or held it and `failed` a moment ago."""

    failed: bool


def acquire_lease(name: str, seconds: float) -> Lease | LeaseHeld:
    """The lease on refreshing `name`, or the news that it is taken. Raises CacheDown."""
    token = secrets.token_hex(8)
    milliseconds = str(int(seconds * 1000))
    (holder,) = valkey.pipeline(("SET", f"lease:{name}", token, "NX", "PX", milliseconds, "GET"))
    is_ours = holder in (None, token.encode())  # the second where the first answer was lost
    return Lease(name, token) if is_ours else LeaseHeld(failed=holder == _FAILED)


def is_leased(name: str) -> bool:
    """Whether somebody refreshes `name` just now, or failed to a moment ago. Raises CacheDown."""
    (count,) = valkey.pipeline(("EXISTS", f"lease:{name}"))
    return bool(count)
