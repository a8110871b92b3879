"""Everything that is stored about a client, table by table, but no hashes and tokens.

It is what a removal erases: a test fails for a table or column with a client's data that is not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, WithJsonSchema

from shared.accounts import callers, permissions
from shared.accounts.access_tokens import Caller
from shared.accounts.models import Role
from shared.accounts.permissions import ClientRef
from shared.events import client_events
from shared.formats.json_text import Rendered
from shared.models import Model

# Of a table; a client has more only while the bus is down. They have 500 kB, and 5,000 favorites less than
# 2 MB: an export stays below the 6 MB of Lambda's answers.
MOST_EVENTS = 1_000


class ExportedClient(Model):
    """The row of `clients`."""

    client_id: UUID
    name: str
    email: str
    email_key: Annotated[str, Field(description="What two spellings of the e-mail have in common.")]
    role: Role
    token_generation: Annotated[int, Field(description="How often the access tokens were ended.")]
    favorites_count: int
    favorites_revision: int
    changes_counted_to: Annotated[datetime, Field(description="Each change puts it further ahead.")]
    created_at: datetime
    updated_at: datetime


class ExportedFavorite(Model):
    """A row of `favorites`."""

    product_id: str
    favorited_at: datetime
    price_when_favorited: Annotated[Decimal, WithJsonSchema({"type": "number"})]
    currency_when_favorited: str | None


class ExportedAlert(Model):
    """A row of `favorite_alerts`; without a kind it is one that was taken away."""

    product_id: str
    kind: str | None
    value: Annotated[Decimal | None, WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "null"}]})]
    threshold: Annotated[Decimal | None, WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "null"}]})]
    currency: str | None
    since_version: Annotated[int | None, Field(description="The product's, when the alert was set.")]
    fired_at: datetime | None


class ExportedShare(Model):
    """A row of `shares`, without its token."""

    share_id: UUID
    title: str | None
    created_at: datetime
    expires_at: datetime | None


class ExportedSession(Model):
    """A row of `sessions`."""

    logged_in_at: datetime
    rotated_at: Annotated[datetime, Field(description="When it was last refreshed.")]
    expires_at: datetime


class ExportedEvent(Model):
    """A row of `outbox`: an event about the client that is on its way to other systems."""

    event_id: UUID
    detail_type: str
    detail: dict[str, Any]
    created_at: datetime


class ExportedSetAsideEvent(ExportedEvent):
    """A row of `outbox_refused`: an event about the client that other systems would not take."""

    refused_at: datetime
    reason: str


_OLDEST = Field(description=f"The oldest {MOST_EVENTS:,}, if there are more.")


class Export(Model):
    """All rows about one client, by their table."""

    exported_at: datetime
    clients: list[ExportedClient]
    favorites: list[ExportedFavorite]
    favorite_alerts: list[ExportedAlert]
    shares: list[ExportedShare]
    sessions: list[ExportedSession]
    outbox: Annotated[list[ExportedEvent], _OLDEST]
    outbox_refused: Annotated[list[ExportedSetAsideEvent], _OLDEST]


@dataclass(frozen=True, slots=True)
class _Exported:
    export: str


def export(caller: Caller, ref: ClientRef) -> Rendered[Export]:
    """The export as JSON, by one statement, so that it is consistent.

    Raises Forbidden, UnknownClient, and InvalidToken where the caller's token is revoked.
    """
    exported = callers.fetch_one(
        permissions.permitted(caller, ref),
        _Exported,
        f"""
            SELECT json_build_object(
                'exported_at', rfc3339(now()),
                'clients', (
                    SELECT json_agg(shown) FROM (
                        SELECT client_id, name, email, email_key, role, token_generation,
                               favorites_count, favorites_revision,
                               rfc3339(changes_counted_to) AS changes_counted_to,
                               rfc3339(created_at) AS created_at, rfc3339(updated_at) AS updated_at
                    ) AS shown),
                'favorites', (
                    SELECT coalesce(json_agg(shown), '[]') FROM (
                        SELECT product_id, rfc3339(favorited_at) AS favorited_at, price_when_favorited,
                               currency_when_favorited
                          FROM favorites WHERE favorites.client_id = clients.client_id
                         ORDER BY favorites.favorited_at, product_id
                    ) AS shown),
                'favorite_alerts', (
                    SELECT coalesce(json_agg(shown), '[]') FROM (
                        SELECT product_id, kind, value, threshold, currency, since_version,
                               rfc3339(fired_at) AS fired_at
                          FROM favorite_alerts WHERE favorite_alerts.client_id = clients.client_id
                         ORDER BY product_id
                    ) AS shown),
                'shares', (
                    SELECT coalesce(json_agg(shown), '[]') FROM (
                        SELECT share_id, title, rfc3339(shares.created_at) AS created_at,
                               rfc3339(expires_at) AS expires_at
                          FROM shares WHERE shares.client_id = clients.client_id
                         ORDER BY shares.created_at, share_id
                    ) AS shown),
                'sessions', (
                    SELECT coalesce(json_agg(shown), '[]') FROM (
                        SELECT rfc3339(logged_in_at) AS logged_in_at, rfc3339(rotated_at) AS rotated_at,
                               rfc3339(expires_at) AS expires_at
                          FROM sessions WHERE sessions.client_id = clients.client_id
                         ORDER BY sessions.logged_in_at
                    ) AS shown),
                'outbox', ({client_events.EXPORT_OUTBOX}),
                'outbox_refused', ({client_events.EXPORT_DEAD_LETTERS})
                )::text AS export
              FROM clients
             WHERE client_id = %(client_id)s
               AND token_generation = coalesce(%(token_generation)s, token_generation)
            """,  # noqa: S608 — the parts are constants
        {"most_events": MOST_EVENTS},
    )
    return Rendered(exported.export)
