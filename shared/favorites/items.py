"""One favorite: mark, look up, unmark. Each is one statement.

Every change of a client's favorites locks the client's row first. So the changes of one client take turns,
the count that the triggers keep in that row is current (`limits.MAX_FAVORITES` holds exactly), and no two
changes can deadlock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import LiteralString

from shared.accounts import callers
from shared.accounts.access_tokens import Caller
from shared.errors import AlreadyFavorite, FavoritesFull, NotFavorite, UnknownProduct
from shared.favorites.limits import CHANGES_SECONDS, MAX_FAVORITES, check_changes
from shared.favorites.models import Favorite
from shared.favorites.rendering import FAVORITE
from shared.formats.etags import NO_PRECONDITIONS, Preconditions
from shared.formats.json_text import Rendered
from shared.platform import database

MAX_ATTEMPTS = 10  # at marking a product that other requests of the same client mark and unmark meanwhile

Marked = tuple[Rendered[Favorite], bool]


@dataclass(frozen=True, slots=True)
class _Row:
    """The favorite after the statement, None where there is none.

    `seconds_ahead` is how far ahead of now the client's changes are counted (`limits.check_changes`).
    `is_known`: the copy has the product.
    """

    favorite: str | None
    created: bool | None
    is_full: bool | None
    seconds_ahead: float | None
    is_known: bool


@dataclass(frozen=True, slots=True)
class _Found:
    favorite: str | None


@dataclass(frozen=True, slots=True)
class _Removed:
    seconds_ahead: float
    favorite: str | None


def add(caller: Caller, product_id: str, preconditions: Preconditions = NO_PRECONDITIONS) -> Marked:
    """The favorite, and whether this call made it one.

    Raises UnknownProduct, CatalogUnavailable, ChangedMeanwhile, FavoritesFull, TooManyChanges, and
    InvalidToken where the caller's token is revoked.
    """
    now = datetime.now(UTC)

    def mark(current: database.Connection) -> Marked | None:
        found = _mark(current, caller, product_id, now)
        if found is not None:
            favorite, created = found
            preconditions.check(None if created else favorite.etag)  # in a transaction: it is rolled back
        return found

    run = database.transaction if preconditions.are_given else partial(database.run, idempotent=True)
    found = run(mark)
    if found is None:  # the copy does not have the product: perhaps the catalog has
        # Imported here: the other calls never load it.
        from shared.products import read_through

        read_through.make_known(product_id)
        found = run(mark)
    if found is None:  # the catalog removed it at this very moment
        raise UnknownProduct.of(product_id)
    return found


def create(caller: Caller, product_id: str) -> Rendered[Favorite]:
    """The new favorite. Raises AlreadyFavorite and what `add` raises."""
    favorite, created = add(caller, product_id)
    if not created:
        raise AlreadyFavorite("The product is already one of your favorites.")
    return favorite


def get(caller: Caller, product_id: str, *, current: database.Connection | None = None) -> Rendered[Favorite]:
    """The favorite. Raises NotFavorite, and InvalidToken where the caller's token is revoked."""
    row = callers.fetch_one(caller, _Found, _GET, {"product_id": product_id}, current=current)
    return _rendered(row.favorite)


def remove(caller: Caller, product_id: str, preconditions: Preconditions = NO_PRECONDITIONS) -> None:
    """Unmark the product.

    Raises NotFavorite, ChangedMeanwhile, TooManyChanges, and InvalidToken where the caller's token is
    revoked.
    """

    def unmark(current: database.Connection) -> None:
        if preconditions.are_given:
            callers.lock(caller, current)  # or _REMOVE could check an entity tag from before the lock
        row = callers.fetch_one(
            caller,
            _Removed,
            _REMOVE,
            {"product_id": product_id, "most_ahead": CHANGES_SECONDS},
            current=current,
        )
        check_changes(row.seconds_ahead)
        preconditions.check(_rendered(row.favorite).etag)  # in a transaction: it is rolled back

    run = database.transaction if preconditions.are_given else partial(database.run, idempotent=False)
    run(unmark)


def _rendered(favorite: str | None) -> Rendered[Favorite]:
    """The favorite. Raises NotFavorite for None."""
    if favorite is None:
        raise NotFavorite("The product is not one of your favorites.")
    return Rendered(favorite)


def _mark(current: database.Connection, caller: Caller, product_id: str, now: datetime) -> Marked | None:
    """The favorite, and whether it was made one now; None where the copy does not have the product.

    It was made one now if it was marked `now`, to the microsecond: by this statement, or by the same one
    before its answer was lost. Marking what is marked writes and locks nothing.
    """
    parameters = {
        "product_id": product_id,
        "now": now,
        "max": MAX_FAVORITES,
        "most_ahead": CHANGES_SECONDS,
    }
    # Another request of this client may mark the product while this one runs, or this one did and its answer
    # was lost. The snapshot of the first statement does not show that; the snapshot of the next one does.
    for attempt in range(MAX_ATTEMPTS):
        row = callers.fetch_one(caller, _Row, _MARK, parameters, current=current)
        if row.favorite is not None:
            return Rendered(row.favorite), bool(row.created)
        if attempt == 0:
            continue
        if row.is_full:
            raise FavoritesFull(
                f"You have {MAX_FAVORITES:,} favorites, and no more fit.", maximum=MAX_FAVORITES
            )
        if row.seconds_ahead is not None:
            check_changes(row.seconds_ahead)
        if not row.is_known:
            return None
    return None


_GET: LiteralString = f"""
SELECT held.favorite
  FROM clients
  LEFT JOIN LATERAL (
       SELECT {FAVORITE} AS favorite
         FROM favorites
         JOIN products USING (product_id)
        WHERE favorites.client_id = clients.client_id AND product_id = %(product_id)s
       ) AS held ON true
 WHERE clients.client_id = %(client_id)s AND token_generation = %(token_generation)s
"""  # noqa: S608 — the part is a constant


_REMOVE: LiteralString = f"""
WITH client AS (
    SELECT client_id, extract(epoch FROM changes_counted_to - now())::float AS seconds_ahead
      FROM clients
     WHERE client_id = %(client_id)s AND token_generation = %(token_generation)s
       FOR NO KEY UPDATE
), removed AS (
    DELETE FROM favorites
     USING client
     WHERE favorites.client_id = client.client_id AND product_id = %(product_id)s
       AND seconds_ahead <= %(most_ahead)s
    RETURNING favorites.*
), emitted AS (
    INSERT INTO outbox (stream, detail_type, detail)
    SELECT 'client:' || client_id, 'FavoriteRemoved', json_build_object(
               'client_id', client_id, 'product_id', product_id,
               'removed_at', rfc3339(now()))
      FROM removed
)
SELECT seconds_ahead, (SELECT {FAVORITE} FROM removed JOIN products USING (product_id)) AS favorite
  FROM client
"""  # noqa: S608 — the part is a constant


_MARK: LiteralString = f"""
WITH client AS (
    SELECT client_id, favorites_count >= %(max)s AS is_full,
           extract(epoch FROM changes_counted_to - now())::float AS seconds_ahead
      FROM clients
     WHERE client_id = %(client_id)s AND token_generation = %(token_generation)s
       AND NOT EXISTS (SELECT FROM favorites
                        WHERE client_id = %(client_id)s AND product_id = %(product_id)s)
       FOR NO KEY UPDATE
), added AS (
    INSERT INTO favorites
           (client_id, product_id, price_when_favorited, currency_when_favorited, favorited_at)
    SELECT client_id, product_id, price, currency, %(now)s
      FROM client
     CROSS JOIN products
     WHERE NOT is_full AND seconds_ahead <= %(most_ahead)s
       AND product_id = %(product_id)s AND removed_at IS NULL
        ON CONFLICT (client_id, product_id) DO NOTHING
    RETURNING client_id, product_id, price_when_favorited, currency_when_favorited, favorited_at
), emitted AS (
    INSERT INTO outbox (stream, detail_type, detail)
    SELECT 'client:' || client_id, 'FavoriteAdded', json_build_object(
               'client_id', client_id, 'product_id', product_id,
               'price', price_when_favorited,
               'favorited_at', rfc3339(favorited_at))
      FROM added
), marked AS (
    SELECT * FROM added
     UNION ALL
    SELECT client_id, product_id, price_when_favorited, currency_when_favorited, favorited_at
      FROM favorites WHERE client_id = %(client_id)s AND product_id = %(product_id)s
)
SELECT held.favorite, held.created,
       (SELECT is_full FROM client) AS is_full,
       (SELECT seconds_ahead FROM client) AS seconds_ahead,
       EXISTS (SELECT FROM products
                WHERE product_id = %(product_id)s AND removed_at IS NULL) AS is_known
  FROM clients
  LEFT JOIN (
       SELECT {FAVORITE} AS favorite, favorited_at = %(now)s AS created
         FROM marked
         JOIN products USING (product_id)
       ) AS held ON true
 WHERE clients.client_id = %(client_id)s AND token_generation = %(token_generation)s
"""  # noqa: S608 — the part is a constant
