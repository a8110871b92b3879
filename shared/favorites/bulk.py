"""Many favorites at once: a guest's list is merged at log-in, or a list is cleared, in one request.

Each product has its own outcome. What is not refused happens in one transaction, with its events.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import LiteralString

from psycopg.rows import class_row

from shared.accounts import callers
from shared.accounts.access_tokens import Caller
from shared.errors import (
    CatalogUnavailable,
    DomainError,
    FavoritesFull,
    ImpossibleAlert,
    InvalidInput,
    UnknownProduct,
)
from shared.favorites.alerts import check, store
from shared.favorites.limits import MAX_CHANGES, MAX_FAVORITES, check_changes
from shared.favorites.models import ChangedFavorites, FavoriteChanges, Mark, Refused, RefusedAlert
from shared.formats.ids import is_product_id
from shared.platform import database


@dataclass(frozen=True, slots=True)
class _Outcome:
    product_id: str
    outcome: str


@dataclass(frozen=True, slots=True)
class _Unknown:
    product_ids: list[str]


@dataclass(frozen=True, slots=True)
class _Client:
    favorites_count: int
    seconds_ahead: float


def change(caller: Caller, changes: FavoriteChanges) -> ChangedFavorites:
    """The outcome of each product; a repeated request changes nothing.

    Unmarking comes first and makes room; then the request's order decides what still fits (MAX_FAVORITES).
    Raises InvalidInput, TooManyChanges, and InvalidToken where the caller's token is revoked.
    """
    add, remove = _distinct(changes)
    # An id that no product can have does not reach the database: PostgreSQL has no text with NUL.
    possible = {product_id: mark for product_id, mark in add.items() if is_product_id(product_id)}
    reasons: dict[str, DomainError] = {}
    if unknown := callers.fetch_one(caller, _Unknown, _UNKNOWN, {"product_ids": list(possible)}).product_ids:
        # Imported here: most merges never load it.
        from shared.products import discovery

        reasons = discovery.make_known(unknown)
    count, outcomes, impossible = database.transaction(
        lambda current: _write(current, caller, possible, list(filter(is_product_id, remove)))
    )
    by_outcome: dict[str, list[str]] = defaultdict(list)
    for product_id in remove:
        by_outcome[outcomes.get(product_id, "absent")].append(product_id)
    refused: list[Refused] = []
    for product_id in add:
        outcome = outcomes.get(product_id, "unknown")
        if outcome in ("added", "already"):
            by_outcome[outcome].append(product_id)
        else:
            kind = _refusal(outcome, reasons.get(product_id))
            refused.append(Refused(product_id=product_id, type=kind.type_uri()))
    return ChangedFavorites(
        added=by_outcome["added"],
        already=by_outcome["already"],
        removed=by_outcome["removed"],
        absent=by_outcome["absent"],
        refused=refused,
        alerts_refused=[
            RefusedAlert(product_id=product_id, type=ImpossibleAlert.type_uri()) for product_id in impossible
        ],
        count=count + len(by_outcome["added"]) - len(by_outcome["removed"]),
    )


def _refusal(outcome: str, reason: DomainError | None) -> type[DomainError]:
    if outcome == "full":
        return FavoritesFull
    return CatalogUnavailable if isinstance(reason, CatalogUnavailable) else UnknownProduct


def _distinct(changes: FavoriteChanges) -> tuple[dict[str, Mark], list[str]]:
    """The products to mark, and those to unmark; of doubles the first counts."""
    if not 1 <= len(changes.add) + len(changes.remove) <= MAX_CHANGES:
        raise InvalidInput(
            f"add and remove have 1 to {MAX_CHANGES} products together", location="body", kind="length"
        )
    add: dict[str, Mark] = {}
    for mark in changes.add:
        add.setdefault(mark.product_id, mark)
    for place, product_id in enumerate(changes.remove):
        if product_id in add:
            raise InvalidInput("is in add too", location=f"body.remove.{place}", kind="repeated")
    return add, list(dict.fromkeys(changes.remove))


# The products that the copy does not have, and that are no favorites.
_UNKNOWN: LiteralString = """
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
 WHERE clients.client_id = %(client_id)s AND token_generation = %(token_generation)s
"""

_LOCK_CLIENT: LiteralString = """
SELECT favorites_count, extract(epoch FROM changes_counted_to - now())::float AS seconds_ahead
  FROM clients
 WHERE client_id = %(client_id)s AND token_generation = %(token_generation)s
   FOR NO KEY UPDATE
"""

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
    SELECT product_id, price, currency, place,
           coalesce(asked.favorited_at,
                    now() - ((SELECT count(*) FROM asked) - place) * interval '1 microsecond')
               AS favorited_at,
           row_number() OVER (ORDER BY place)
               <= %(max)s - %(count)s + (SELECT count(*) FROM removed) AS fits
      FROM asked
      JOIN products USING (product_id)
     WHERE removed_at IS NULL AND product_id NOT IN (SELECT product_id FROM held)
), added AS (
    INSERT INTO favorites
           (client_id, product_id, price_when_favorited, currency_when_favorited, favorited_at)
    SELECT %(client_id)s, product_id, price, currency, favorited_at
      FROM known WHERE fits ORDER BY product_id
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
SELECT product_id, 'removed' AS outcome FROM removed
 UNION ALL
SELECT product_id, 'already' FROM held
 UNION ALL
SELECT product_id, CASE WHEN fits THEN 'added' ELSE 'full' END FROM known
"""


def _write(
    current: database.Connection, caller: Caller, add: dict[str, Mark], remove: list[str]
) -> tuple[int, dict[str, str], list[str]]:
    """How many favorites the client had, the outcome of each product, and whose alerts could not fire."""
    # A separate statement: the next one needs a snapshot taken after the client's row was locked.
    client = callers.fetch_one(caller, _Client, _LOCK_CLIENT, current=current)
    check_changes(client.seconds_ahead)
    alerts = {product_id: mark.alert for product_id, mark in add.items() if mark.alert}
    impossible = check(current, caller.client_id, alerts)
    parameters = {
        "client_id": caller.client_id,
        "count": client.favorites_count,
        "max": MAX_FAVORITES,
        "add": list(add),
        "favorited_at": [mark.favorited_at for mark in add.values()],
        "remove": remove,
    }
    with current.cursor(row_factory=class_row(_Outcome)) as cursor:
        outcomes = cursor.execute(_CHANGE, parameters).fetchall()
    # Those that are no favorites now (unknown, or no room) have no row to join with.
    store(current, caller.client_id, {pid: alert for pid, alert in alerts.items() if pid not in impossible})
    return client.favorites_count, {each.product_id: each.outcome for each in outcomes}, list(impossible)
