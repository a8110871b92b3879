"""Cached products: ready response bodies with their ETag and times; ids known to be missing."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from shared.formats.etags import etag_of
from shared.platform import settings, valkey

HARD_TTL = 24 * 60 * 60  # seconds for which a stale body may still be served
NEGATIVE_TTL = 60  # seconds for which a product stays in the negative cache
# A removal outlives every function that might still write older data: Lambda's limit is 15 minutes.
REMOVED_TTL = 15 * 60  # seconds
# Missing ids share a fixed number of slots; the last writer wins.
NEGATIVE_SLOTS = 1_024

# What a round trip writes, as it has valkey.TIMEOUT: so many commands, or fewer where bodies are so long.
AT_ONCE, AT_ONCE_CHARACTERS = 250, 250_000

CacheState = Literal["hit", "stale", "miss"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A product as the cache holds it.

    `fetched_at` (seconds since the epoch) is when the catalog last confirmed it; `version` (milliseconds
    since the epoch) orders contents; a 404 has an empty body. Of a list page, `next_cursor` leads on.
    """

    status: int
    version: int
    fetched_at: float
    body: str
    etag: str
    next_cursor: str | None = None

    @property
    def age(self) -> float:
        """Seconds since the catalog confirmed it."""
        return max(0.0, time.time() - self.fetched_at)

    @property
    def lifetime(self) -> int:
        """Seconds after the catalog confirmed it for which it is fresh."""
        return settings.product_cache_ttl() if self.status == 200 else NEGATIVE_TTL

    @property
    def is_fresh(self) -> bool:
        """Whether it may be served without a call of the catalog."""
        return self.age < self.lifetime


@dataclass(frozen=True, slots=True)
class MissingEntry(Entry):
    """An id that neither the copy nor the catalog has: kept in the negative cache."""

    @classmethod
    def since(cls, moment: float) -> MissingEntry:
        """The entry of an id that the catalog did not have at that moment (seconds since the epoch)."""
        return cls(404, int(moment * 1000), moment, "", "-")


@dataclass(frozen=True, slots=True)
class CombinedEntry(Entry):
    """Several products in one body: as old as the oldest of them, and fresh for as long as all of them.

    Unless it `is_complete`, a product in `missing` may exist, and clients should not keep the answer.
    """

    seconds: float = 0.0
    is_complete: bool = True

    @property
    def lifetime(self) -> int:
        """Seconds after `fetched_at` for which all of them are fresh."""
        return int(self.seconds)


@dataclass(frozen=True, slots=True)
class Answer:
    """A body to send, and how the cache took part in it (the X-Cache header)."""

    entry: Entry
    state: CacheState


# The newer entry wins, also over one that is written later: compared and written in one step on the server.
# Versions are milliseconds since the epoch, which a Lua number holds exactly.
_PUT_IF_NEWER = """
local held = redis.call('GET', KEYS[1])
if held then
  local version, fetched = string.match(held, '^%d+ (%d+) ([%d.]+) ')
  version, fetched = tonumber(version), tonumber(fetched)
  local new_version, new_fetched = tonumber(ARGV[2]), tonumber(ARGV[3])
  -- An entry in an unknown format is overwritten.
  if version and fetched
     and (version > new_version or (version == new_version and fetched > new_fetched)) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[4])
return 1
"""


def get(product_id: str) -> Entry | None:
    """The product's entry, fresh or stale; None where there is none. Raises CacheDown."""
    return get_all([product_id])[0]


def get_all(product_ids: Sequence[str]) -> list[Entry | None]:
    """As `get` for each of them, in one round trip. Raises CacheDown."""
    return [_entry(value) for value in valkey.pipeline(*[("GET", f"product:{each}") for each in product_ids])]


def find(product_id: str) -> Entry | None:
    """The product's entry, or else that of the negative cache, fresh or stale. Raises CacheDown."""
    return find_all([product_id])[0]


def find_all(product_ids: Sequence[str]) -> list[Entry | None]:
    """As `find` for each of them, in one round trip. Raises CacheDown."""
    return found(product_ids, valkey.pipeline(*find_commands(product_ids)))


def find_commands(product_ids: Sequence[str]) -> list[tuple[str, str]]:
    """The commands of `find_all`, to send with others."""
    keys = [f"product:{product_id}" for product_id in product_ids]
    return [("GET", key) for key in keys + [_missing_key(product_id) for product_id in product_ids]]


def found(product_ids: Sequence[str], replies: Sequence[Any]) -> list[Entry | None]:
    """What `find_commands` were replied."""
    return [
        _entry(value) or _missing_entry(product_id, missing)
        for product_id, value, missing in zip(
            product_ids, replies[: len(product_ids)], replies[len(product_ids) :], strict=True
        )
    ]


def join(parts: Mapping[str, Entry]) -> CombinedEntry:
    """The body for several products: those that there are, and the ids of those that are missing."""
    items = ",".join([entry.body for entry in parts.values() if entry.status == 200])
    missing = ",".join([f'"{product_id}"' for product_id, entry in parts.items() if entry.status != 200])
    body = f'{{"items":[{items}],"missing":[{missing}]}}'
    lifetime = settings.product_cache_ttl()
    oldest = min([entry.fetched_at for entry in parts.values()])
    ends = min(
        [entry.fetched_at + (lifetime if entry.status == 200 else NEGATIVE_TTL) for entry in parts.values()]
    )
    return CombinedEntry(200, 0, oldest, body, etag_of(body), seconds=ends - oldest)


def _entry(value: bytes | None) -> Entry | None:
    if value is None:
        return None
    try:
        header, body = value.decode().split("\n", 1)
        status, version, fetched_at, etag = header.split(" ")
        return Entry(int(status), int(version), float(fetched_at), body, etag)
    except ValueError:  # an unknown format
        return None


def _missing_entry(product_id: str, value: bytes | None) -> MissingEntry | None:
    try:
        since, held = (value or b"").decode().split(" ")
        return MissingEntry.since(float(since)) if held == product_id else None
    except ValueError:  # nothing, or an unknown format
        return None


def put(product_id: str, entry: Entry) -> bool:
    """Keep the entry, unless a newer one is there already: then False. Raises CacheDown."""
    (is_kept,) = valkey.pipeline(_put(product_id, entry))
    return bool(is_kept)


def put_all(
    entries: Mapping[str, Entry], then: Iterable[Sequence[str]] = (), *, seconds: float = math.inf
) -> None:
    """Keep the entries as `put` does, then run the commands: many in one round trip. Raises CacheDown.

    Entries that there is no time for in so many `seconds` are not kept.
    """
    ends = time.monotonic() + seconds
    chunk: list[Sequence[str]] = []
    size = 0
    for product_id, entry in entries.items():
        if len(chunk) == AT_ONCE or size > AT_ONCE_CHARACTERS:
            valkey.pipeline(*chunk)
            chunk.clear()
            size = 0
            if time.monotonic() > ends:
                break
        chunk.append(_put(product_id, entry))
        size += len(entry.body)
    if last := [*chunk, *then]:
        valkey.pipeline(*last)


def _missing_key(product_id: str) -> str:
    """The key of the slot for the id in the negative cache."""
    return f"unknown:{zlib.crc32(product_id.encode()) % NEGATIVE_SLOTS}"


def _put(product_id: str, entry: Entry) -> list[str]:
    """The command that keeps the entry."""
    fetched_at = f"{entry.fetched_at:.3f}"
    if isinstance(entry, MissingEntry):
        return ["SET", _missing_key(product_id), f"{fetched_at} {product_id}", "EX", str(REMOVED_TTL)]
    value = f"{entry.status} {entry.version} {fetched_at} {entry.etag}\n{entry.body}"
    ttl = HARD_TTL if entry.status == 200 else REMOVED_TTL
    return valkey.script(_PUT_IF_NEWER, f"product:{product_id}", value, entry.version, fetched_at, ttl)
