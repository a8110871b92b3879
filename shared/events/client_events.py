"""Where the outbox and the accounts use each other's tables: events about a client, and their removal.

The stream of a client's events is `client:<client_id>`. The constants are parts of statements in
`shared.accounts`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import LiteralString
from uuid import UUID

from shared.platform import database

PREFIX = "client:"

# Takes the row of `registered`.
EMIT_REGISTERED: LiteralString = """
INSERT INTO outbox (stream, detail_type, detail)
SELECT 'client:' || client_id, 'ClientRegistered', json_build_object(
           'client_id', client_id,
           'registered_at', rfc3339(created_at))
  FROM registered
"""

# The oldest `most_events` events of the row of `clients`, as a JSON array.
EXPORT_OUTBOX: LiteralString = """
SELECT coalesce(json_agg(shown), '[]') FROM (
    SELECT event_id, detail_type, detail, rfc3339(outbox.created_at) AS created_at
      FROM outbox
     WHERE stream = 'client:' || clients.client_id
     ORDER BY outbox_id
     LIMIT %(most_events)s
) AS shown
"""
EXPORT_DEAD_LETTERS: LiteralString = """
SELECT coalesce(json_agg(shown), '[]') FROM (
    SELECT event_id, detail_type, detail,
           rfc3339(outbox_refused.created_at) AS created_at,
           rfc3339(refused_at) AS refused_at, reason
      FROM outbox_refused WHERE stream = 'client:' || clients.client_id
     ORDER BY outbox_id
     LIMIT %(most_events)s
) AS shown
"""


def emit_removed(current: database.Connection, client_id: UUID) -> None:
    """Erase the client's dead letters and add `ClientRemoved`, after the row of `clients` was deleted.

    A separate statement: it needs a snapshot taken after the deletion, which may have waited for the relay.
    """
    current.execute(
        """
        WITH dead_letters AS (
            DELETE FROM outbox_refused WHERE stream = 'client:' || %(client_id)s::uuid
        )
        INSERT INTO outbox (stream, detail_type, detail)
        VALUES ('client:' || %(client_id)s::uuid, 'ClientRemoved', json_build_object(
                    'client_id', %(client_id)s::uuid,
                    'removed_at', rfc3339(now())))
        """,
        {"client_id": client_id},
    )


def hold_clients(current: database.Connection, client_ids: Collection[str]) -> dict[str, bool]:
    """The clients that exist, each with True if its row is locked against removal until the transaction ends.

    False if another transaction has locked the row: waiting for that would hold up the relay.
    """
    if not client_ids:
        return {}
    rows = current.execute(
        """
        WITH locked AS (
            SELECT client_id
              FROM clients
             WHERE client_id = ANY (%(clients)s::uuid[])
               FOR KEY SHARE SKIP LOCKED
        )
        SELECT client_id, locked.client_id IS NOT NULL AS is_held
          FROM clients
          LEFT JOIN locked USING (client_id)
         WHERE client_id = ANY (%(clients)s::uuid[])
        """,
        {"clients": [*client_ids]},
    ).fetchall()
    return {str(row["client_id"]): row["is_held"] for row in rows}
