"""Products in Valkey: ready response bodies with their ETag and times, and leases on refreshing them.

Only commands on a single key, so that it works on a cluster. A hit is one GET; nothing of it is parsed but
the one line in front of the body. This module loads on every product request: it imports nothing heavy.

    product:{id}                   the entry of a product that the copy has
    unknown:{place}                one of the ids that nobody has; there are UNKNOWN_PLACES
    products                       a hash: `generation` and `synced_at` of the list (see ListState)
    products:{sort}:{limit}        the first page in that order, of up to `limit` products
    products:category:{place}      the first page of a category; there are CATEGORY_PLACES
    lease:{name}                   who refreshes `name` just now

However many pages and ids are asked for, there are never more keys than products, these places, and the
leases of the calls that are under way or failed a moment ago.
"""

from __future__ import annotations

import hashlib
import secrets
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.formats.etags import etag_of
from shared.platform import settings, valkey

HARD_TTL = 24 * 60 * 60  # seconds for which a stale body may still be served
UNKNOWN_TTL = 60  # seconds for which a product stays unknown
# A removal outlives every function that might still write what was before it: Lambda's limit is 15 minutes.
REMOVED_TTL = 15 * 60  # seconds
BACK_OFF = 2  # seconds in which nobody asks again after the catalog failed
# What has no place of its own shares one with others, and the last one has it.
UNKNOWN_PLACES = 1_024
CATEGORY_PLACES = 512

# Entries of a round trip, which has valkey.TIMEOUT: so many, or the last one that begins within so much.
AT_ONCE, AT_ONCE_CHARACTERS = 100, 250_000

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
    def lifetime(self) -> int:
        """Seconds after the catalog confirmed it for which it may be served without asking."""
        return settings.product_cache_ttl() if self.status == 200 else UNKNOWN_TTL

    @property
    def is_fresh(self) -> bool:
        """Whether it may be served without asking the catalog."""
        return self.age < self.lifetime


@dataclass(frozen=True, slots=True)
class Joined(Entry):
    """Several products in one body: as old as the oldest of them, and fresh for as long as all of them.

    Unless it `is_confirmed`, a product that it calls missing may be there: nobody should keep it.
    """

    seconds: float = 0.0
    is_confirmed: bool = True

    @property
    def lifetime(self) -> int:
        """Seconds after `fetched_at` for which all of them may be served without asking."""
        return int(self.seconds)


@dataclass(frozen=True, slots=True)
class ListState:
    """What all list pages have in common: the content they show, and when the catalog confirmed it.

    `generation` is the copy's own (product_copy.Listing): pages of one generation show the same content,
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
  -- What is not of this version's making is nothing, here as for who reads it.
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
    return [_entry(value) for value in valkey.ask(*[("GET", f"product:{each}") for each in product_ids])]


def join(parts: Mapping[str, Entry]) -> Joined:
    """The body for several products: those that there are, and the ids of those that are missing."""
    items = ",".join([entry.body for entry in parts.values() if entry.status == 200])
    missing = ",".join([f'"{product_id}"' for product_id, entry in parts.items() if entry.status != 200])
    body = f'{{"items":[{items}],"missing":[{missing}]}}'
    lifetime = settings.product_cache_ttl()
    oldest = min([entry.fetched_at for entry in parts.values()])
    ends = min(
        [entry.fetched_at + (lifetime if entry.status == 200 else UNKNOWN_TTL) for entry in parts.values()]
    )
    return Joined(200, 0, oldest, body, etag_of(body), seconds=ends - oldest)


def _entry(value: bytes | None) -> Entry | None:
    if value is None:
        return None
    try:
        header, body = value.decode().split("\n", 1)
        status, version, fetched_at, etag = header.split(" ")
        return Entry(int(status), int(version), float(fetched_at), body, etag)
    except ValueError:  # not of this version's making
        return None


def put(product_id: str, entry: Entry) -> bool:
    """Keep the entry, unless a newer one is there already: then False. Raises CacheDown."""
    (is_kept,) = valkey.ask(_put(product_id, entry))
    return bool(is_kept)


def put_all(entries: Mapping[str, Entry]) -> None:
    """Keep the entries as `put` does, many in one round trip. Raises CacheDown."""
    chunk: list[list[str]] = []
    size = 0
    for product_id, entry in entries.items():
        if len(chunk) == AT_ONCE or size > AT_ONCE_CHARACTERS:
            valkey.ask(*chunk)
            chunk.clear()
            size = 0
        chunk.append(_put(product_id, entry))
        size += len(entry.body)
    if chunk:
        valkey.ask(*chunk)


def get_unknown(product_id: str) -> Entry | None:
    """The entry that says nobody has the product, fresh or stale. Raises CacheDown."""
    (value,) = valkey.ask(("GET", _unknown_key(product_id)))
    try:
        since, held = (value or b"").decode().split(" ")
        return unknown(float(since)) if held == product_id else None
    except ValueError:  # nothing, or not of this version's making
        return None


def put_unknown(product_id: str, entry: Entry) -> None:
    """Keep the entry that says nobody has the product, in the place of another such. Raises CacheDown."""
    value = f"{entry.fetched_at:.3f} {product_id}"
    valkey.ask(("SET", _unknown_key(product_id), value, "EX", str(REMOVED_TTL)))


def unknown(since: float) -> Entry:
    """What says that nobody had the product at `since` (seconds since the epoch)."""
    return Entry(404, int(since * 1000), since, "", "-")


def _unknown_key(product_id: str) -> str:
    return f"unknown:{zlib.crc32(product_id.encode()) % UNKNOWN_PLACES}"


def _put(product_id: str, entry: Entry) -> list[str]:
    """The command that keeps the entry, unless a newer one is there."""
    fetched_at = f"{entry.fetched_at:.3f}"
    value = f"{entry.status} {entry.version} {fetched_at} {entry.etag}\n{entry.body}"
    ttl = HARD_TTL if entry.status == 200 else REMOVED_TTL
    return valkey.script(_PUT_IF_NEWER, f"product:{product_id}", value, entry.version, fetched_at, ttl)


# ── List pages ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page is kept, and the `name` by which it is told from others that had the place before."""

    key: str
    name: str


def place_of(*, limit: int | str, cursor: str | None, category: str | None, sort: str | None) -> Place | None:
    """Where that page of the list is kept; None for what follows a cursor, which is not."""
    if cursor is not None:
        return None
    parts = "\0".join("" if part is None else f"={part}" for part in (limit, category, sort))
    name = hashlib.blake2b(parts.encode(errors="surrogatepass"), digest_size=16).hexdigest()
    if category is None:
        return Place(f"products:{sort or 'catalog'}:{limit}", name)
    return Place(f"products:category:{int(name, 16) % CATEGORY_PLACES}", name)


def list_state() -> ListState | None:
    """The list's generation and time; None when the cache does not know both. Raises CacheDown."""
    return _list_state(*valkey.ask(_LIST_STATE))


def list_page(place: Place) -> tuple[ListState | None, Entry | None]:
    """`list_state` and `get_page`, in one round trip. Raises CacheDown."""
    fields, value = valkey.ask(_LIST_STATE, ("GET", place.key))
    state = _list_state(fields)
    return state, None if state is None else _page(value, state, place)


_LIST_STATE = ("HMGET", "products", "generation", "synced_at")


def _list_state(fields: list[bytes | None]) -> ListState | None:
    generation, synced_at = fields
    if generation is None or synced_at is None:
        return None
    try:
        return ListState(int(generation), float(synced_at))
    except ValueError:  # not of this version's making
        return None


# Each of the fields only rises, whoever comes late.
_KEEP_LIST = """
for field = 1, #ARGV, 2 do
  local held = tonumber(redis.call('HGET', KEYS[1], ARGV[field]))
  if not held or held < tonumber(ARGV[field + 1]) then
    redis.call('HSET', KEYS[1], ARGV[field], ARGV[field + 1])
  end
end
"""


def keep_list(state: ListState) -> None:
    """Make this the list's state, unless a newer one is known. Raises CacheDown."""
    arguments = ("generation", state.generation, "synced_at", f"{state.synced_at:.3f}")
    valkey.ask(valkey.script(_KEEP_LIST, "products", *arguments))


def advance_generation(generation: int) -> None:
    """Let no page of an earlier generation be served. Raises CacheDown."""
    valkey.ask(valkey.script(_KEEP_LIST, "products", "generation", generation))


def get_page(state: ListState, place: Place) -> Entry | None:
    """The page as the list's state says it is now; None where nobody made it yet. Raises CacheDown."""
    (value,) = valkey.ask(("GET", place.key))
    return _page(value, state, place)


def _page(value: bytes | None, state: ListState, place: Place) -> Entry | None:
    if value is None:
        return None
    try:
        header, body = value.decode().split("\n", 1)
        name, generation, etag, next_cursor = header.split(" ")
    except ValueError:  # not of this version's making
        return None
    if (name, generation) != (place.name, str(state.generation)):
        return None
    return Entry(200, 0, state.synced_at, body, etag, next_cursor or None)


def put_page(state: ListState, place: Place, entry: Entry) -> None:
    """Keep the page in its place, for as long as it could be served. Raises CacheDown."""
    value = f"{place.name} {state.generation} {entry.etag} {entry.next_cursor or ''}\n{entry.body}"
    valkey.ask(("SET", place.key, value, "EX", str(HARD_TTL)))


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
    token: str

    def release(self) -> None:
        """Let the next one have it, if it is still held. Raises CacheDown."""
        self._end(0)

    def release_failed(self, back_off: int = BACK_OFF) -> None:
        """Give it up and keep everybody from trying again for so many seconds. Raises CacheDown."""
        self._end(back_off * 1000)

    def _end(self, back_off: int) -> None:
        valkey.ask(valkey.script(_RELEASE, f"lease:{self.name}", self.token, back_off))


@dataclass(frozen=True, slots=True)
class Taken:
    """Somebody else holds the lease, or held it and `failed` a moment ago."""

    failed: bool


def acquire_lease(name: str, seconds: float) -> Lease | Taken:
    """The lease on refreshing `name`, or the news that it is taken. Raises CacheDown."""
    token = secrets.token_hex(8)
    milliseconds = str(int(seconds * 1000))
    (holder,) = valkey.ask(("SET", f"lease:{name}", token, "NX", "PX", milliseconds, "GET"))
    is_ours = holder in (None, token.encode())  # the second where the first answer was lost
    return Lease(name, token) if is_ours else Taken(failed=holder == _FAILED)


def is_leased(name: str) -> bool:
    """Whether somebody refreshes `name` just now, or failed to a moment ago. Raises CacheDown."""
    (count,) = valkey.ask(("EXISTS", f"lease:{name}"))
    return bool(count)
