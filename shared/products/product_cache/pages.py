"""Cached list pages, and the state of the list that decides which of them may be served."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

from shared.platform import settings, valkey
from shared.products.product_cache.entries import HARD_TTL, Entry

CATEGORY_SLOTS = 512  # pages of categories share them; the last writer wins


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


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a page is kept, and the `name` by which it is told from others that had the place before."""

    key: str
    name: str


def slot_for(*, limit: int | str, cursor: str | None, category: str | None, sort: str | None) -> Slot | None:
    """Where that page of the list is kept; None for what follows a cursor, which is not."""
    if cursor is not None:
        return None
    parts = "\0".join("" if part is None else f"={part}" for part in (limit, category, sort))
    name = hashlib.blake2b(parts.encode(errors="surrogatepass"), digest_size=16).hexdigest()
    if category is None:
        return Slot(f"products:{sort or 'catalog'}:{limit}", name)
    return Slot(f"products:category:{int(name, 16) % CATEGORY_SLOTS}", name)


def list_state() -> ListState | None:
    """The list's generation and time; None when the cache does not know both. Raises CacheDown."""
    return _list_state(*valkey.pipeline(_LIST_STATE))


def list_page(place: Slot) -> tuple[ListState | None, Entry | None]:
    """`list_state` and `get_page`, in one round trip. Raises CacheDown."""
    fields, value = valkey.pipeline(_LIST_STATE, ("GET", place.key))
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
    valkey.pipeline(valkey.script(_KEEP_LIST, "products", *arguments))


def advance_generation(generation: int) -> None:
    """Let no page of an earlier generation be served. Raises CacheDown."""
    valkey.pipeline(valkey.script(_KEEP_LIST, "products", "generation", generation))


def get_page(state: ListState, place: Slot) -> Entry | None:
    """The page as the list's state says it is now; None where nobody made it yet. Raises CacheDown."""
    (value,) = valkey.pipeline(("GET", place.key))
    return _page(value, state, place)


def _page(value: bytes | None, state: ListState, place: Slot) -> Entry | None:
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


def put_page(state: ListState, place: Slot, entry: Entry) -> None:
    """Keep the page in its place, for as long as it could be served. Raises CacheDown."""
    value = f"{place.name} {state.generation} {entry.etag} {entry.next_cursor or ''}\n{entry.body}"
    valkey.pipeline(("SET", place.key, value, "EX", str(HARD_TTL)))
