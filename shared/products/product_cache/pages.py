"""Cached list pages, and the state of the list that decides which of them may be served."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from shared.platform import settings, valkey
from shared.products.product_cache.entries import HARD_TTL, Entry

CATEGORY_SLOTS = 512  # pages of categories share them; the last writer wins
# Seconds between two versions of the list that readers see. However many products change, every page is made
# once in this time; a change is seen at once after a quiet time, and otherwise this much later at most.
INTERVAL = 2.0


@dataclass(frozen=True, slots=True)
class ListState:
    """What all list pages have in common: the content they show, and when the catalog confirmed it.

    `list_version` is one of the copy's (product_copy.Listing), the newest that readers may see by now.
    """

    list_version: int
    synced_at: float

    @property
    def age(self) -> float:
        """Seconds since the whole catalog was last read; infinite when it never was."""
        return max(0.0, time.time() - self.synced_at)

    @property
    def is_fresh(self) -> bool:
        """Whether pages may be made and served without asking the catalog."""
        return self.age < settings.product_cache_ttl()


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a page is kept; `name` distinguishes it from other pages that share the key."""

    key: str
    name: str


def slot_for(*, limit: int | str, cursor: str | None, category: str | None, sort: str | None) -> Slot | None:
    """The slot of that page of the list; None for a page behind a cursor, which is not cached."""
    if cursor is not None:
        return None
    parts = "\0".join("" if part is None else f"={part}" for part in (limit, category, sort))
    name = hashlib.blake2b(parts.encode(errors="surrogatepass"), digest_size=16).hexdigest()
    if category is None:
        return Slot(f"products:{sort or 'catalog'}:{limit}", name)
    return Slot(f"products:category:{int(name, 16) % CATEGORY_SLOTS}", name)


def list_state() -> ListState | None:
    """The list's version and time; None when the cache does not know both. Raises CacheDown."""
    return _list_state(*valkey.pipeline(_LIST_STATE))


def list_page(slot: Slot) -> tuple[ListState | None, Entry | None]:
    """`list_state` and `get_page`, in one round trip. Raises CacheDown."""
    fields, value = valkey.pipeline(_LIST_STATE, ("GET", slot.key))
    state = _list_state(fields)
    return state, None if state is None else _page(value, state, slot)


_LIST_STATE = ("HMGET", "products", "list_version", "next_version", "next_at", "synced_at")


def _list_state(fields: list[bytes | None]) -> ListState | None:
    if None in fields:
        return None
    list_version, next_version, next_at, synced_at = cast("list[bytes]", fields)
    try:
        is_early = 0 < float(next_at) - time.time() <= INTERVAL
        return ListState(int(list_version if is_early else next_version), float(synced_at))
    except ValueError:  # written by another release
        return None


# `list_version` is what readers see until `next_at`, and `next_version` from then on. Versions only rise,
# also when writers come late. Times are by the caller's clock, as readers have no other; one that is further
# ahead than the interval comes from a wrong clock and does not count.
_KEEP_LIST = """
local version, now, interval, synced_at = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local held = redis.call('HMGET', KEYS[1], 'list_version', 'next_version', 'next_at', 'synced_at')
local visible, following, next_at = tonumber(held[1]), tonumber(held[2]), tonumber(held[3])
if next_at and next_at > now + interval then next_at = 0 end
if not (visible and following and next_at) then
  visible, following, next_at = version, version, 0
elseif following < version then
  if visible < following and next_at <= now then visible, next_at = following, next_at + interval end
  following = version
  if next_at <= now then visible, next_at = version, now + interval end
end
redis.call('HSET', KEYS[1], 'list_version', visible, 'next_version', following, 'next_at',
           string.format('%.3f', next_at))
if synced_at and (tonumber(held[4]) or 0) < tonumber(synced_at) then
  redis.call('HSET', KEYS[1], 'synced_at', synced_at)
end
"""


def keep_list(state: ListState) -> None:
    """Make this the list's state, unless a newer one is known. Raises CacheDown."""
    valkey.pipeline(advance_command(state.list_version, f"{state.synced_at:.3f}"))


def advance_list_version(list_version: int) -> None:
    """Let no page of an earlier version be served, `INTERVAL` from now at the latest. Raises CacheDown."""
    valkey.pipeline(advance_command(list_version))


def advance_command(list_version: int, *synced_at: str) -> list[str]:
    """The command of `advance_list_version`, to send with others."""
    now = f"{time.time():.3f}"
    return valkey.script(_KEEP_LIST, "products", list_version, now, INTERVAL, *synced_at)


def are_current(slots: Sequence[Slot]) -> list[bool]:
    """Whether each slot has the page as the list is now, in one round trip. Raises CacheDown."""
    fields, *starts = valkey.pipeline(_LIST_STATE, *[("GETRANGE", slot.key, "0", "63") for slot in slots])
    state = _list_state(fields)
    return [
        state is not None and start.startswith(f"{slot.name} {state.list_version} ".encode())
        for slot, start in zip(slots, starts, strict=True)
    ]


def note_refused() -> None:
    """Remember that a poll could not use the catalog's list. Raises CacheDown."""
    valkey.pipeline(("HSET", "products", "refused_at", f"{time.time():.3f}"))


def refused_at() -> float:
    """When a poll last could not use the catalog's list (seconds since the epoch), or 0. Raises CacheDown."""
    (found,) = valkey.pipeline(("HGET", "products", "refused_at"))
    return float(found or 0)


def get_page(state: ListState, slot: Slot) -> Entry | None:
    """The page as the list's state says it is now; None where nobody made it yet. Raises CacheDown."""
    (value,) = valkey.pipeline(("GET", slot.key))
    return _page(value, state, slot)


def _page(value: bytes | None, state: ListState, slot: Slot) -> Entry | None:
    if value is None:
        return None
    try:
        header, body = value.decode().split("\n", 1)
        name, list_version, etag, next_cursor = header.split(" ")
    except ValueError:  # written by another release
        return None
    if (name, list_version) != (slot.name, str(state.list_version)):
        return None
    return Entry(200, 0, state.synced_at, body, etag, next_cursor or None)


def put_page(state: ListState, slot: Slot, entry: Entry) -> None:
    """Keep the page in its slot, for as long as it could be served. Raises CacheDown."""
    value = f"{slot.name} {state.list_version} {entry.etag} {entry.next_cursor or ''}\n{entry.body}"
    valkey.pipeline(("SET", slot.key, value, "EX", str(HARD_TTL)))
