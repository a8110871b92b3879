"""A favorite as PostgreSQL writes it.

It renders the JSON that is sent: a page is joined from texts, where building twenty models and taking them
apart again took longer than the query.
"""

from __future__ import annotations

from typing import LiteralString

# Null where the prices are in two currencies: then none is less or more.
PRICE_CHANGE: LiteralString = """
CASE WHEN currency_when_favorited IS NULL OR currency_when_favorited IS NOT DISTINCT FROM currency
     THEN price - price_when_favorited
END
"""

# The model Alert, or null. The names of the outer row have no table of their own, so VALUES renames them.
_ALERT: LiteralString = """
(SELECT CASE alerts.kind
            WHEN 'price_at_or_below'
            THEN (SELECT row_to_json(alert)
                    FROM (SELECT alerts.value AS price_at_or_below, alerts.currency) AS alert)
            WHEN 'percent_off'
            THEN (SELECT row_to_json(alert) FROM (SELECT alerts.value AS percent_off) AS alert)
            WHEN 'available_again' THEN '{"available_again":true}'
        END
   FROM (VALUES (client_id, product_id)) AS favorite (client, product)
   JOIN favorite_alerts AS alerts
     ON alerts.client_id = favorite.client AND alerts.product_id = favorite.product)
"""

# The model Favorite; a test holds the two together. Needs a row of `favorites` joined to its product.
FAVORITE: LiteralString = f"""
(SELECT row_to_json(shown)::text
   FROM (SELECT product_id, title, image, category, price, currency,
                CASE WHEN review_rate IS NOT NULL AND review_count IS NOT NULL
                     THEN (SELECT row_to_json(review)
                             FROM (SELECT review_rate AS rate, review_count AS count) AS review)
                END AS review,
                removed_at IS NULL AS available,
                price_when_favorited, {PRICE_CHANGE} AS price_change,
                {_ALERT} AS alert,
                rfc3339(favorited_at) AS favorited_at) AS shown)
"""  # noqa: S608 — the part is a constant

# Whether a share has not ended.
IS_ACTIVE: LiteralString = "(expires_at IS NULL OR expires_at > now())"

# The model SharedProduct: what anybody with a link sees, and nothing of the client.
SHARED_PRODUCT: LiteralString = """
(SELECT row_to_json(shown)::text
   FROM (SELECT product_id, title, image, category, price, currency,
                removed_at IS NULL AS available) AS shown)
"""
