"""Many favorites at once: what a guest collected is merged at log-in, a list is cleared, in one request.

Each product has an outcome of its own; all that is not refused happens in one transaction, with its events.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg.rows import class_row

from shared.accounts import access_tokens
from shared.accounts.access_tokens import Caller
from shared.errors import CatalogUnavailable, DomainError, InvalidInput
from shared.favorites.limits import MAX_CHANGES, MAX_FAVORITES, check_changes
from shared.favorites.models import ChangedFavorites, FavoriteChanges, Refused
from shared.platform import database


@dataclass(frozen=True, slots=True)
class _Outcome:
    product_id: str
    outcome: str


@dataclass(frozen=True, slots=True)
class _Unknown:
    product_ids: list[str]


def change(caller: Caller, changes: FavoriteChanges) -> ChangedFavorites:
    """What became of each product; asking for the same again changes nothing.

    Unmarking comes first and makes room; then the request's order decides what still fits (MAX_FAVORITES).
    Raises InvalidInput, TooManyChanges, and InvalidToken where the caller's token no longer counts.
    """
    _check(changes)
    reasons: dict[str, DomainError] = {}
    if unknown := _unknown(caller, changes):
        from shared.products import discovery  # for what the copy does not have; most merges never load it

        reasons = discovery.make_known(unknown)
    count, outcomes = database.transaction(lambda current: _write(current, caller, changes))
    by_outcome: dict[str, list[str]] = defaultdict(list)
    refused: list[Refused] = []
    for each in outcomes:
        if each.outcome == "full":
            refused.append(Refused(product_id=each.product_id, type="/problems/favorites-full"))
        elif each.outcome != "unknown":
            by_outcome[each.outcome].append(each.product_id)
        elif isinstance(reasons.get(each.product_id), CatalogUnavailable):
            refused.append(Refused(product_id=each.product_id, type="/problems/catalog-unavailable"))
        else:
            refused.append(Refused(product_id=each.product_id, type="/problems/unknown-product"))
    return ChangedFavorites(
        added=by_outcome["added"],
        already=by_outcome["already"],
        removed=by_outcome["removed"],
        absent=by_outcome["absent"],
        refused=refused,
        count=count + len(by_outcome["added"]) - len(by_outcome["removed"]),
    )


def _check(changes: FavoriteChanges) -> None:
    if not 1 <= len(changes.add) + len(changes.remove) <= MAX_CHANGES:
        raise InvalidInput(
            f"add and remove have 1 to {MAX_CHANGES} products together", location="body", kind="length"
        )
    seen: set[str] = set()
    places = [(mark.product_id, f"body.add.{place}.product_id") for place, mark in enumerate(changes.add)]
    places += [(product_id, f"body.remove.{place}") for place, product_id in enumerate(changes.remove)]
    for product_id, location in places:
        if product_id in seen:
            raise InvalidInput("is in the request already", location=location, kind="repeated")
        seen.add(product_id)


def _unknown(caller: Caller, changes: FavoriteChanges) -> list[str]:
    """The products to mark that the copy does not have, and that are no favorites."""
    client = database.fetch_one(
        _Unknown,
        """
        SELECT ARRAY (
               SELECT product_id
                 FROM unnest(%(product_ids)s::text[]) WITH ORDINALITY AS asked (product_id, place)
                WHERE NOT EXISTS (SELECT FROM products
                                   WHERE products.product_id = asked.product_id AND removed_at IS NULL)
                  AND NOT EXISTS (SELECT FROM favorites
                                   WHERE favorites.client_id = clients.client_id
                                     AND favorites.product_id = asked.product_id)
                ORDER BY place) AS product_ids
          FROM clients
         WHERE clients.client_id = %(client_id)s AND token_generation = %(generation)s
        """,
        caller.as_parameters | {"product_ids": [mark.product_id for mark in changes.add]},
        repeatable=True,
    )
    if client is None:
        raise access_tokens.no_longer_counts()
    return client.product_ids


_CHANGE: LiteralString = """
WITH asked AS (
    SELECT *
      FROM unnest(%(add)s::text[], %(favorited_at)s::timestamptz[])
           WITH ORDINALITY AS asked (product_id, favorited_at, place)
), unwanted AS (
    SELECT * FROM unnest(%(remove)s::text[]) WITH ORDINALITY AS unwanted (product_id, place)
), removed AS (
    DELETE FROM favorites
     USING unwanted
     WHERE client_id = %(client_id)s AND favorites.product_id = unwanted.product_id
    RETURNING favorites.product_id, place
), held AS (
    SELECT product_id FROM favorites JOIN asked USING (product_id) WHERE client_id = %(client_id)s
), known AS (
    SELECT product_id, price, coalesce(asked.favorited_at, now()) AS favorited_at, place,
           row_number() OVER (ORDER BY place)
               <= %(max)s - %(count)s + (SELECT count(*) FROM removed) AS fits
      FROM asked
      JOIN products USING (product_id)
     WHERE removed_at IS NULL AND product_id NOT IN (SELECT product_id FROM held)
), added AS (
    INSERT INTO favorites (client_id, product_id, price_when_favorited, favorited_at)
    SELECT %(client_id)s, product_id, price, favorited_at FROM known WHERE fits ORDER BY product_id
    RETURNING product_id
), emitted AS (
    INSERT INTO outbox (stream, detail_type, detail)
    SELECT 'client:' || %(client_id)s, detail_type, detail
      FROM (SELECT 1 AS step, place, 'FavoriteRemoved' AS detail_type,
                   json_build_object('client_id', %(client_id)s::uuid, 'product_id', product_id,
                                     'removed_at', rfc3339(now())) AS detail
              FROM removed
             UNION ALL
            SELECT 2, place, 'FavoriteAdded',
                   json_build_object('client_id', %(client_id)s::uuid, 'product_id', product_id,
                                     'price', price, 'favorited_at', rfc3339(favorited_at))
              FROM known WHERE fits) AS events
     ORDER BY step, place
)
SELECT product_id, outcome
  FROM (SELECT 1 AS step, product_id, place,
               CASE WHEN product_id IN (SELECT product_id FROM removed) THEN 'removed' ELSE 'absent' END
                   AS outcome
          FROM unwanted
         UNION ALL
        SELECT 2, product_id, asked.place,
               CASE WHEN product_id IN (SELECT product_id FROM held) THEN 'already'
                    WHEN fits THEN 'added'
                    WHEN NOT fits THEN 'full'
                    ELSE 'unknown'
               END
          FROM asked
          LEFT JOIN known USING (product_id)) AS outcomes
 ORDER BY step, place
"""


def _write(
    current: database.Connection, caller: Caller, changes: FavoriteChanges
) -> tuple[int, list[_Outcome]]:
    """How many favorites the client had, and what became of each product."""
    # A statement of its own: what the next one sees is what is there once the client's row is locked.
    client = current.execute(
        """
        SELECT favorites_count, extract(epoch FROM changes_counted_to - now())::float AS seconds_ahead
          FROM clients
         WHERE client_id = %(client_id)s AND token_generation = %(generation)s
           FOR NO KEY UPDATE
        """,
        caller.as_parameters,
    ).fetchone()
    if client is None:
        raise access_tokens.no_longer_counts()
    check_changes(client["seconds_ahead"])
    parameters: dict[str, Any] = caller.as_parameters | {
        "count": client["favorites_count"],
        "max": MAX_FAVORITES,
        "add": [mark.product_id for mark in changes.add],
        "favorited_at": [mark.favorited_at for mark in changes.add],
        "remove": changes.remove,
    }
    with current.cursor(row_factory=class_row(_Outcome)) as cursor:
        return client["favorites_count"], cursor.execute(_CHANGE, parameters).fetchall()
