"""Leases: one caller at a time refreshes a product or the list."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from shared.platform import valkey
from shared.products.product_cache import entries
from shared.products.product_cache.entries import Entry

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

    def release(self, backoff: float = 0) -> None:
        """Give it up, if it is still held. Raises CacheDown.

        After a failure, with a `backoff`, it stays taken for so many seconds.
        """
        valkey.pipeline(self.release_command(backoff))

    def release_command(self, backoff: float = 0) -> list[str]:
        """The command of `release`, to send with others."""
        return valkey.script(_RELEASE, f"lease:{self.name}", self.token, int(backoff * 1000))


@dataclass(frozen=True, slots=True)
class LeaseHeld:
    """Another caller holds the lease, or held it and `failed` a moment ago."""

    failed: bool


def acquire_lease(name: str, seconds: float) -> Lease | LeaseHeld:
    """The lease on refreshing `name`, or who has it. Raises CacheDown."""
    lease = _new_lease(name)
    return _acquired(lease, *valkey.pipeline(_acquire_command(lease, seconds)))


def lease_products(
    product_ids: Sequence[str], seconds: float
) -> list[tuple[Lease | LeaseHeld, Entry | None]]:
    """For each product its lease or who has it, and after that its entry, as `find_all`.

    All of it in one round trip. Raises CacheDown.
    """
    leases = [_new_lease(f"product:{product_id}") for product_id in product_ids]
    replies = valkey.pipeline(
        *[_acquire_command(lease, seconds) for lease in leases], *entries.find_commands(product_ids)
    )
    acquired = [_acquired(lease, holder) for lease, holder in zip(leases, replies, strict=False)]
    return list(zip(acquired, entries.found(product_ids, replies[len(leases) :]), strict=True))


def _new_lease(name: str) -> Lease:
    return Lease(name, secrets.token_hex(8))


def _acquire_command(lease: Lease, seconds: float) -> list[str]:
    return ["SET", f"lease:{lease.name}", lease.token, "NX", "PX", str(int(seconds * 1000)), "GET"]


def _acquired(lease: Lease, holder: bytes | None) -> Lease | LeaseHeld:
    is_ours = holder in (None, lease.token.encode())  # the second where the first reply was lost
    return lease if is_ours else LeaseHeld(failed=holder == _FAILED)


def is_leased(name: str) -> bool:
    """Whether a caller refreshes `name` just now, or failed to a moment ago. Raises CacheDown."""
    (count,) = valkey.pipeline(("EXISTS", f"lease:{name}"))
    return bool(count)
