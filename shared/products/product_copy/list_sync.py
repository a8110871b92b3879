"""Making the copy what the catalog's whole list says."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, cast

from shared.platform import database, logs, settings
from shared.products.product_copy.rows import UNLISTED, CopiedProduct
from shared.products.product_copy.writes import Source, remove, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from shared.products.catalog.whole_list import CatalogList

CHUNK = 1_000  # products a statement
POSITIONS = 50_000  # positions that are read by a statement
# Products that one list may remove; the next list removes more. A poll ends in time, whatever vanished.
MAX_REMOVALS = 20_000
# How long after its last run the schedule counts as stopped: twice the longest interval it may have.
SCHEDULE_SILENCE = "2 hours"
_GAP = 1_024  # between the positions of a list's neighbors, so that others can come between them


class ShrunkCatalog(Exception):
    """The catalog's list lacks more than half of what lists have shown: it is not used."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The copy as a list.

    `list_version` rises with every change of what lists show. `synced_at` is when the copy was last what the
    catalog's list said, None when it never was. `is_scheduled`: the schedule reads the list, or tries to.
    """

    list_version: int
    synced_at: datetime | None
    is_scheduled: bool


def listing() -> Listing:
    """The state of the list. Raises DatabaseUnavailable."""
    found = database.fetch_one(
        Listing,
        """
        SELECT generation AS list_version, synced_at,
               coalesce(scheduled_at > now() - %(silence)s::interval, false) AS is_scheduled
          FROM product_list
        """,
        {"silence": SCHEDULE_SILENCE},
        idempotent=True,
    )
    assert found is not None  # noqa: S101 — the one row, which the migrations made and nobody may delete
    return found


def note_schedule() -> None:
    """Remember that the schedule reads the list, whatever comes of it now. Raises DatabaseUnavailable."""
    database.execute("UPDATE product_list SET scheduled_at = now()", {}, idempotent=True)


def note_sync(synced_at: float) -> int:
    """Remember that the copy is the list of `synced_at` (seconds since the epoch); the list's version.

    Raises DatabaseUnavailable.
    """
    row = database.run(
        lambda current: current.execute(
            """
            UPDATE product_list
               SET synced_at = greatest(synced_at, to_timestamp(%(synced_at)s))
            RETURNING generation
            """,
            {"synced_at": synced_at},
        ).fetchone(),
        idempotent=True,
    )
    assert row is not None  # noqa: S101 — the one row, which the migrations made and nobody may delete
    return int(row["generation"])


def sync(listed: CatalogList) -> Iterator[list[CopiedProduct]]:
    """Make the copy what the list says, a chunk at a time; what it holds of each chunk afterwards.

    A chunk is one statement and writes only what differs. Products that this list does not have, and the one
    before did not have either, become tombstones at the end, and come as the last chunks; a list that may
    lack some removes nothing. Raises ShrunkCatalog, before anything is written, and DatabaseUnavailable.
    """
    known = _positions()
    vanished = _vanished(known, listed)
    positions = in_order(array("i", [known.get(product_id, UNLISTED) for product_id in listed.ids]))
    del known
    start = 0
    for chunk in listed.chunks(CHUNK):
        of_chunk = positions[start : start + len(chunk)]
        start += len(chunk)
        yield write(chunk, listed.version, Source.LIST, of_chunk)
    yield from _remove_vanished(vanished, listed.version)


def _vanished(known: Mapping[str, int], listed: CatalogList) -> list[str]:
    """The known products that the list does not have. Raises ShrunkCatalog."""
    if not listed.is_whole:
        return []
    vanished = [
        product_id
        for product_id in known
        if product_id not in listed.ids and product_id not in listed.refused
    ]
    # Products never seen in a list do not count as missing from it.
    shown = sum(position != UNLISTED for position in known.values())
    lost = sum(known[product_id] != UNLISTED for product_id in vanished)
    if 2 * lost > shown and not settings.allow_mass_removal():
        raise ShrunkCatalog(f"{lost} of the {shown} known products are missing")
    return sorted(vanished)


def _remove_vanished(vanished: Sequence[str], version: int) -> Iterator[list[CopiedProduct]]:
    removed = 0
    for start in range(0, len(vanished), CHUNK):
        chunk_of_ids = vanished[start : start + CHUNK]
        missed_again = _missed_before(chunk_of_ids, version)
        _note_missed(chunk_of_ids, version)
        if removed + len(missed_again) > MAX_REMOVALS:
            logs.logger().warning("removals put off", removed=removed, missing=len(vanished))
            return
        removed += len(missed_again)
        yield remove(missed_again, version, Source.LIST)


def _missed_before(product_ids: Sequence[str], version: int) -> list[str]:
    """Those that an older list did not have, nor any since."""
    found = database.fetch_tuples(
        """
        SELECT product_id
          FROM products_missed
         WHERE product_id = ANY (%(product_ids)s) AND version < %(version)s
        """,
        {"product_ids": list(product_ids), "version": version},
        idempotent=True,
    )
    return [product_id for (product_id,) in found]


def _note_missed(product_ids: Sequence[str], version: int) -> None:
    """Remember that the list of `version` does not have the products; since when stays as it is."""
    database.execute(
        """
        WITH held AS (
            SELECT product_id
              FROM products
             WHERE product_id = ANY (%(product_ids)s) AND removed_at IS NULL AND version < %(version)s
             ORDER BY product_id
               FOR NO KEY UPDATE
        )
        INSERT INTO products_missed (product_id, version)
        SELECT product_id, %(version)s FROM held
            ON CONFLICT (product_id) DO NOTHING
        """,
        {"product_ids": list(product_ids), "version": version},
        idempotent=True,
    )


def _positions() -> dict[str, int]:
    """Where the list shows each available product; read in parts, each far from a statement's time limit."""
    known: dict[str, int] = {}
    after = (-UNLISTED, "")
    while True:
        rows = database.fetch_tuples(
            """
            SELECT product_id, position
              FROM products
             WHERE removed_at IS NULL AND (position, product_id) > (%(position)s, %(product_id)s)
             ORDER BY position, product_id
             LIMIT %(limit)s
            """,
            {"position": after[0], "product_id": after[1], "limit": POSITIONS},
            idempotent=True,
        )
        known.update(cast("list[tuple[str, int]]", rows))
        if len(rows) < POSITIONS:
            return known
        after = (rows[-1][1], rows[-1][0])


# ── Positions ─────────────────────────────────────────────────────────────────────────────────────────────


def in_order(held: array[int]) -> array[int]:
    """Rising positions in place of those that are held, as few of them changed as possible.

    The longest part of the list whose positions rise already keeps them; the others get positions between.
    Where there is no room, the neighbors behind move too; where positions have risen to the end, after some
    two million products that came, all are numbered anew.
    """
    positions = held[:]
    last = start = 0
    for anchor in chain(_longest_rise(held), [len(held)]):
        # None behind the last one: there is as much room as needed.
        limit = held[anchor] if anchor < len(held) else None
        count = anchor - start
        if limit is not None and limit - last - 1 < count:
            continue  # no room before this one: it moves too
        step = _GAP if limit is None else (limit - last) // (count + 1)
        if last + step * count >= UNLISTED:
            gap = min(_GAP, (UNLISTED - 1) // len(held))
            return array("i", range(gap, gap * len(held) + 1, gap))
        for index in range(start, anchor):
            last += step
            positions[index] = last
        last = limit or last
        start = anchor + 1
    return positions


def _longest_rise(values: array[int]) -> array[int]:
    """The indices of the longest strictly rising subsequence, without values of UNLISTED.

    Patience sorting: O(n log n), and for a list in order one comparison an item.
    """
    tails = array("i")  # the smallest last value of a rise of each length
    last_index = array("i")
    before = array("i", [-1]) * len(values)
    for index, value in enumerate(values):
        if value == UNLISTED:
            continue
        length = len(tails) if not tails or value > tails[-1] else bisect_left(tails, value)
        if length == len(tails):
            tails.append(value)
            last_index.append(index)
        else:
            tails[length] = value
            last_index[length] = index
        before[index] = last_index[length - 1] if length else -1
    found = array("i")
    index = last_index[-1] if last_index else -1
    while index >= 0:
        found.append(index)
        index = before[index]
    found.reverse()
    return found
