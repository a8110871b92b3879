"""Products in Valkey: ready response bodies with their ETag and times, and leases on refreshing them.

Only commands on a single key, so that it works on a cluster. A hit is one GET; nothing of it is parsed but
the one line in front of the body. This module loads on every product request: it imports nothing heavy.

    product:{id}           one product's entry
    products               a hash: `generation` and `synced_at` of the list (see ListState)
    products:{generation}:{page}   one list page's body
    lease:{name}           who refreshes `name` just now
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from shared.platform import settings, valkey

HARD_TTL = 24 * 60 * 60  # seconds for which a stale body may still be served
UNKNOWN_TTL = 60  # seconds for which a product stays unknown
# A removal outlives every function that might still write what was before it: Lambda's limit is 15 minutes.
REMOVED_TTL = 15 * 60  # seconds
BACK_OFF = 2  # seconds in which nobody asks again after the catalog failed

_FAILED = b"failed"


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
    def seconds_fresh(self) -> int:
        """Whole seconds for which it may still be served without asking the catalog."""
        return max(0, int((settings.product_cache_ttl() if self.status == 200 else UNKNOWN_TTL) - self.age))

    @property
    def is_fresh(self) -> bool:
        """Whether it may be served without asking the catalog."""
        return self.age < (settings.product_cache_ttl() if self.status == 200 else UNKNOWN_TTL)


@dataclass(frozen=True, slots=True)
class ListState:
    """What all list pages have in common: the content they show, and when the catalog confirmed it.

    `generation` is the copy's own (product_copy.generation): pages of one generation show the same content,
    whatever was lost or written late here.
    """

    generation: int
    synced_at: float

    @property
    def age(self) -> float:
        """Seconds since the whole catalog was last read; infinite when it never was."""
        return max(0.0, time.time() - self.synced_at)

    @property
    def is_fresh(self) -> bool:
        """Whether pages may be made and served without asking the catalog."""
        return self.age < settings.product_cache_ttl()


# ── Entries ───────────────────────────────────────────────────────────────────────────────────────────────

# Newer wins, whoever writes last: compared and written in one step on the server. Versions are milliseconds
# since the epoch, which a Lua number holds exactly.
_PUT_IF_NEWER = """
local held = redis.call('GET', KEYS[1])
if held then
  local version, fetched = string.match(held, '^%d+ (%d+) ([%d.]+) ')
  version, fetched = tonumber(version), tonumber(fetched)
  local new_version, new_fetched = tonumber(ARGV[2]), tonumber(ARGV[3])
  if version > new_version or (version == new_version and fetched > new_fetched) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[4])
return 1
"""


def get(product_id: str) -> Entry | None:
    """The product's entry, fresh or stale; None where there is none. Raises CacheDown."""
    value = valkey.command(lambda server: server.get(f"product:{product_id}"))
    if value is None:
        return None
    try:
        header, body = _text(value).split("\n", 1)
        status, version, fetched_at, etag = header.split(" ")
        return Entry(int(status), int(version), float(fetched_at), body, etag)
    except ValueError:  # not of this version's making
        return None


def put(product_id: str, entry: Entry) -> bool:
    """Keep the entry, unless a newer one is there already: then False. Raises CacheDown."""
    arguments = _put_arguments(product_id, entry)
    return bool(valkey.command(lambda server: server.eval(_PUT_IF_NEWER, 1, *arguments)))


def put_all(entries: Mapping[str, Entry]) -> None:
    """Keep the entries as `put` does, in one round trip for a hundred of them. Raises CacheDown."""

    waiting = iter(entries.items())
    while chunk := list(islice(waiting, 100)):
        puts = [("EVAL", _PUT_IF_NEWER, 1, *_put_arguments(product_id, entry)) for product_id, entry in chunk]
        valkey.command(lambda server: server.do_all(puts))  # noqa: B023 — it runs at once


def _put_arguments(product_id: str, entry: Entry) -> tuple[str, str, int, str, int]:
    header = f"{entry.status} {entry.version} {entry.fetched_at:.3f} {entry.etag}\n"
    ttl = HARD_TTL if entry.status == 200 else REMOVED_TTL
    return (f"product:{product_id}", header + entry.body, entry.version, f"{entry.fetched_at:.3f}", ttl)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


# ── List pages ────────────────────────────────────────────────────────────────────────────────────────────


def page_name(*, limit: int | str, cursor: str | None, category: str | None, sort: str | None) -> str:
    """The same name for the same page of the same list, short and safe whatever the values are."""
    parts = "\0".join("" if part is None else f"={part}" for part in (limit, cursor, category, sort))
    return hashlib.blake2b(parts.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def list_state() -> ListState | None:
    """The list's generation and time; None when the cache does not know both. Raises CacheDown."""
    fields = ["generation", "synced_at"]
    generation, synced_at = valkey.command(lambda server: server.hmget("products", fields))
    if generation is None or synced_at is None:
        return None
    return ListState(int(generation), float(synced_at))


def confirm_list(synced_at: float) -> None:
    """Keep when the whole catalog was last read. Raises CacheDown."""
    valkey.command(lambda server: server.hset("products", "synced_at", f"{synced_at:.3f}"))


_ADVANCE = """
local held = tonumber(redis.call('HGET', KEYS[1], 'generation'))
if not held or held < tonumber(ARGV[1]) then redis.call('HSET', KEYS[1], 'generation', ARGV[1]) end
"""


def advance_generation(generation: int) -> None:
    """Make the pages of all earlier generations unreachable. Raises CacheDown."""
    valkey.command(lambda server: server.eval(_ADVANCE, 1, "products", generation))


def get_page(state: ListState, name: str) -> Entry | None:
    """The page as the list's state says it is now; None where nobody made it yet. Raises CacheDown."""
    value = valkey.command(lambda server: server.get(f"products:{state.generation}:{name}"))
    if value is None:
        return None
    header, _, body = _text(value).partition("\n")
    etag, _, next_cursor = header.partition(" ")
    return Entry(200, 0, state.synced_at, body, etag, next_cursor or None)


def put_page(state: ListState, name: str, entry: Entry) -> None:
    """Keep the page for as long as it could be served. Raises CacheDown."""
    value = f"{entry.etag} {entry.next_cursor or ''}\n{entry.body}"
    valkey.command(lambda server: server.set(f"products:{state.generation}:{name}", value, ex=HARD_TTL))


# ── Leases ────────────────────────────────────────────────────────────────────────────────────────────────

_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], 'failed', 'PX', ARGV[2])
return 1
"""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to refresh `name`, until it is released or its time is over."""

    name: str
    token: bytes

    def release(self) -> None:
        """Let the next one have it, if it is still held. Raises CacheDown."""
        self._end(0)

    def release_failed(self) -> None:
        """Give it up and keep everybody from trying again for `BACK_OFF` seconds. Raises CacheDown."""
        self._end(BACK_OFF * 1000)

    def _end(self, back_off: int) -> None:
        valkey.command(lambda server: server.eval(_RELEASE, 1, f"lease:{self.name}", self.token, back_off))


@dataclass(frozen=True, slots=True)
class Taken:
    """Somebody else holds the lease, or held it and `failed` a moment ago."""

    failed: bool


def acquire_lease(name: str, seconds: float) -> Lease | Taken:
    """The lease on refreshing `name`, or the news that it is taken. Raises CacheDown."""
    token = secrets.token_hex(8).encode()
    holder = valkey.command(
        lambda server: server.set(f"lease:{name}", token, nx=True, px=int(seconds * 1000), get=True)
    )
    return Lease(name, token) if holder is None else Taken(failed=holder == _FAILED)


def is_leased(name: str) -> bool:
    """Whether somebody refreshes `name` just now, or failed to a moment ago. Raises CacheDown."""
    return bool(valkey.command(lambda server: server.exists(f"lease:{name}")))
