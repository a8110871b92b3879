"""One favorite: mark, look up, unmark. Each is one statement.

Whoever changes a client's favorites locks the client's row first. So the changes of one client take turns,
whatever they are of: the count that the triggers keep there is the one of now (`limits.MAX_FAVORITES` holds
exactly), and no two changes wait for each other in a circle.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString

from psycopg.rows import class_row

from shared.accounts import access_tokens
from shared.accounts.access_tokens import Caller
from shared.errors import AlreadyFavorite, FavoritesFull, NotFavorite, UnknownProduct
from shared.favorites.limits import CHANGES_SECONDS, MAX_FAVORITES, check_changes
from shared.favorites.models import Favorite
from shared.favorites.rendering import FAVORITE
from shared.formats.etags import NO_PRECONDITIONS, Preconditions, etag_of
from shared.formats.json_text import Rendered
from shared.platform import database

RACES = 10  # against other requests of the same client for the same product, before it is given up


@dataclass(frozen=True, slots=True)
class _Marked:
    """The favorite after the call, None where there is none; `is_full`: because there were too many.

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
    was_favorite: bool
    seconds_ahead: float


def add(
    caller: Caller, product_id: str, preconditions: Preconditions = NO_PRECONDITIONS
) -> tuple[Rendered[Favorite], bool]:
    """The favorite, and whether this call made it one.

    Raises UnknownProduct, CatalogUnavailable, ChangedMeanwhile, FavoritesFull, TooManyChanges, and
    InvalidToken where the caller's token is revoked.
    """
    if preconditions.if_match is not None:
        return _unchanged(caller, product_id, preconditions), False
    now = datetime.now(UTC)
    found = _mark(caller, product_id, now)
    if found is None:  # the copy does not have the product: perhaps the catalog has
        _make_known(product_id)
        found = _mark(caller, product_id, now)
    if found is None:  # the catalog removed it at this very moment
        raise UnknownProduct.of(product_id)
    favorite, created = found
    if not created:
        preconditions.check(favorite.etag)
    return found


def _unchanged(caller: Caller, product_id: str, preconditions: Preconditions) -> Rendered[Favorite]:
    """The favorite that If-Match names: marking it again changes nothing."""
    try:
        favorite = get(caller, product_id)
    except NotFavorite:
        _make_known(product_id)  # where the product is unknown, that comes first (RFC 9110 §13.2.1)
        preconditions.check(None)
        raise
    preconditions.check(favorite.etag)
    return favorite


def _make_known(product_id: str) -> None:
    from shared.products import read_through  # for what the copy does not have; the other calls never load it

    read_through.make_known(product_id)


def create(caller: Caller, product_id: str) -> Rendered[Favorite]:
    """The new favorite. Raises AlreadyFavorite and what `add` raises."""
    favorite, created = add(caller, product_id)
    if not created:
        raise AlreadyFavorite("The product is already one of your favorites.")
    return favorite


def get(caller: Caller, product_id: str) -> Rendered[Favorite]:
    """The favorite. Raises NotFavorite, and InvalidToken where the caller's token no longer counts."""
    row = database.fetch_one(_Found, _GET, caller.as_parameters | {"product_id": product_id}, idempotent=True)
    if row is None:
        raise access_tokens.token_revoked()
    if row.favorite is None:
        raise NotFavorite("The product is not one of your favorites.")
    return Rendered(row.favorite)


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


def remove(caller: Caller, product_id: str, preconditions: Preconditions = NO_PRECONDITIONS) -> None:
    """Unmark the product.

    Raises NotFavorite, ChangedMeanwhile, TooManyChanges, and InvalidToken where the caller's token is
    revoked.
    """
    parameters = caller.as_parameters | {"product_id": product_id, "most_ahead": CHANGES_SECONDS}
    if preconditions.are_given:
        row = database.transaction(lambda current: _remove_if(current, parameters, preconditions))
    else:
        row = database.fetch_one(_Removed, _REMOVE, parameters)
    if row is None:
        raise access_tokens.token_revoked()
    check_changes(row.seconds_ahead)
    if not row.was_favorite:
        raise NotFavorite("The product is not one of your favorites.")


def _remove_if(
    current: database.Connection, parameters: dict[str, Any], preconditions: Preconditions
) -> _Removed | None:
    # The row of the client is locked first: no other request can change the favorite after the check.
    current.execute("SELECT FROM clients WHERE client_id = %(client_id)s FOR NO KEY UPDATE", parameters)
    held = current.execute(_GET, parameters).fetchone()
    if held is not None and held["favorite"] is not None:
        preconditions.check(etag_of(held["favorite"]))
    with current.cursor(row_factory=class_row(_Removed)) as cursor:
        return cursor.execute(_REMOVE, parameters).fetchone()


_REMOVE: LiteralString = """
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
    RETURNING favorites.client_id, product_id
), emitted AS (
    INSERT INTO outbox (stream, detail_type, detail)
    SELECT 'client:' || client_id, 'FavoriteRemoved', json_build_object(
               'client_id', client_id, 'product_id', product_id,
               'removed_at', rfc3339(now()))
      FROM removed
)
SELECT EXISTS (SELECT FROM removed) AS was_favorite, seconds_ahead FROM client
"""


def _mark(caller: Caller, product_id: str, now: datetime) -> tuple[Rendered[Favorite], bool] | None:
    """The favorite, and whether it was made one now; None where the copy does not have the product."""
    # Another request of this client may mark the product while this one runs, or this one did and its answer
    # was lost. The snapshot of the first statement does not show that; the snapshot of the next one does.
    for attempt in range(RACES):
        row = _try_to_mark(caller, product_id, now)
        if row.favorite is not None:
            return Rendered(row.favorite), bool(row.created)
        if attempt and row.is_full:
            raise _full()
        if attempt and row.seconds_ahead is not None:
            check_changes(row.seconds_ahead)
        if attempt and not row.is_known:
            return None
    return None


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


def _try_to_mark(caller: Caller, product_id: str, now: datetime) -> _Marked:
    """The favorite as the statement's snapshot shows it. Marking what is marked writes and locks nothing.

    The favorite is created if it was marked `now`, to the microsecond: by this statement, or by this very one
    before its answer was lost.
    """
    row = database.fetch_one(
        _Marked,
        _MARK,
        caller.as_parameters
        | {"product_id": product_id, "now": now, "max": MAX_FAVORITES, "most_ahead": CHANGES_SECONDS},
        idempotent=True,
    )
    if row is None:
        raise access_tokens.token_revoked()
    return row


def _full() -> FavoritesFull:
    """The refusal of one favorite more than a client may have."""
    return FavoritesFull(f"You have {MAX_FAVORITES:,} favorites, and no more fit.", maximum=MAX_FAVORITES)
