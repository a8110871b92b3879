"""Alerts of favorites: set by their clients, and sent when a change of a product reaches their threshold.

Setting an alert locks the product's row, so that a change of the product comes before it or after it, never
between the look at the price and the commit. `since_version` says which changes came before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg.rows import class_row

from shared.accounts import callers
from shared.accounts.access_tokens import Caller
from shared.errors import ImpossibleAlert
from shared.favorites import items
from shared.favorites.models import Alert, Favorite, FavoriteUpdate
from shared.formats.etags import Preconditions
from shared.formats.json_text import Rendered
from shared.platform import database

if TYPE_CHECKING:
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class _Checked:
    product_id: str
    reason: str | None


def update(
    caller: Caller, product_id: str, changes: FavoriteUpdate, preconditions: Preconditions
) -> Rendered[Favorite]:
    """The favorite with its new alert, or without one.

    Raises NotFavorite, ImpossibleAlert, ChangedMeanwhile, and InvalidToken where the caller's token is
    revoked.
    """

    def work(current: database.Connection) -> Rendered[Favorite]:
        callers.lock(caller, current)
        # First, as it locks the product: what is read after it stays as it is until the end.
        given = {product_id: changes.alert} if changes.alert is not None else {}
        reasons = check(current, caller.client_id, given)
        favorite = items.get(caller, product_id, current=current)
        for reason in reasons.values():
            raise ImpossibleAlert(reason)
        preconditions.check(favorite.etag)
        if "alert" not in changes.model_fields_set:
            return favorite
        store(current, caller.client_id, {product_id: changes.alert})
        return items.get(caller, product_id, current=current)

    return database.transaction(work)


def check(
    current: database.Connection, client_id: UUID, alerts: Mapping[str, Alert | None]
) -> dict[str, str]:
    """Why which of these alerts could not fire; their products are locked until the transaction ends."""
    if not alerts:
        return {}
    with current.cursor(row_factory=class_row(_Checked)) as cursor:
        rows = cursor.execute(_CHECK, _parameters(client_id, alerts)).fetchall()
    return {row.product_id: row.reason for row in rows if row.reason is not None}


def store(current: database.Connection, client_id: UUID, alerts: Mapping[str, Alert | None]) -> None:
    """Keep the alerts of these favorites, which `check` has found possible; None takes one away."""
    if alerts:
        current.execute(_STORE, _parameters(client_id, alerts))


def _parameters(client_id: UUID, alerts: Mapping[str, Alert | None]) -> dict[str, Any]:
    kinds = [_kind_and_value(alert) for alert in alerts.values()]
    return {
        "client_id": client_id,
        "product_ids": list(alerts),
        "kinds": [kind for kind, _ in kinds],
        "values": [value for _, value in kinds],
        "currencies": [alert.currency if alert else None for alert in alerts.values()],
    }


def _kind_and_value(alert: Alert | None) -> tuple[str | None, Decimal | None]:
    if alert is None:
        return None, None
    if alert.price_at_or_below is not None:
        return "price_at_or_below", alert.price_at_or_below
    if alert.percent_off is not None:
        return "percent_off", Decimal(alert.percent_off)
    return "available_again", None


_ASKED: LiteralString = """
unnest(%(product_ids)s::text[], %(kinds)s::text[], %(values)s::numeric[], %(currencies)s::text[])
    AS asked (product_id, kind, value, currency)
"""

_THRESHOLD: LiteralString = """
CASE asked.kind
    WHEN 'price_at_or_below' THEN asked.value
    WHEN 'percent_off' THEN trim_scale(coalesce(price_when_favorited, price) * (100 - asked.value) / 100)
END
"""

# In the order of products, as all who lock several of them. Not FOR SHARE: a change of the price would wait
# for all sharers, also for those that come after it.
_CHECK: LiteralString = f"""
SELECT products.product_id,
       CASE
           WHEN asked.kind = 'available_again' AND removed_at IS NULL THEN 'The product is available.'
           WHEN asked.currency <> products.currency
                OR (asked.currency IS NOT NULL AND products.currency IS NULL)
                OR (asked.kind = 'percent_off' AND currency_when_favorited IS NOT NULL
                    AND currency_when_favorited IS DISTINCT FROM products.currency)
           THEN 'The currency is not that of the product.'
           WHEN {_THRESHOLD} >= price THEN 'The product costs that or less.'
       END AS reason
  FROM {_ASKED}
  JOIN products USING (product_id)
  LEFT JOIN favorites
         ON favorites.product_id = products.product_id AND favorites.client_id = %(client_id)s
 ORDER BY products.product_id
   FOR NO KEY UPDATE OF products
"""  # noqa: S608 — the parts are constants of this module

_STORE: LiteralString = f"""
INSERT INTO favorite_alerts AS kept
       (client_id, product_id, kind, value, threshold, currency, since_version)
SELECT client_id, product_id, asked.kind, asked.value, {_THRESHOLD}, products.currency, version
  FROM {_ASKED}
  JOIN products USING (product_id)
  JOIN favorites USING (product_id)
 WHERE favorites.client_id = %(client_id)s
    ON CONFLICT (client_id, product_id) DO UPDATE
   SET kind = excluded.kind, value = excluded.value, threshold = excluded.threshold,
       currency = excluded.currency, since_version = excluded.since_version
 WHERE (kept.kind, kept.value, kept.threshold, kept.currency)
       IS DISTINCT FROM (excluded.kind, excluded.value, excluded.threshold, excluded.currency)
"""  # noqa: S608 — the parts are constants of this module
