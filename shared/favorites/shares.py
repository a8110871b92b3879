"""Links to a client's favorites, for everyone who has them: the client creates, lists and ends them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import LiteralString
from uuid import UUID

from psycopg.rows import class_row

from shared.accounts import callers
from shared.accounts.access_tokens import Caller
from shared.errors import SharesFull, UnknownShare
from shared.favorites.models import NewShare, Share, Shares
from shared.favorites.rendering import IS_ACTIVE
from shared.platform import database

MAX_SHARES = 20  # active ones of a client: one page shows them all
DEFAULT_LIFETIME = timedelta(days=90)
_TOKEN_BYTES = 16  # 128 random bits, so no guess succeeds

# The model Share.
_SHARE: LiteralString = (
    "share_id, title, token, '/shared-favorites/' || token AS path, created_at, expires_at"
)


@dataclass(frozen=True, slots=True)
class _Removed:
    was_there: bool


def create(caller: Caller, new: NewShare) -> Share:
    """The new share. Raises SharesFull, and InvalidToken where the caller's token is revoked."""
    # A time that is left out is the default; null is no end.
    default = datetime.now(UTC) + DEFAULT_LIFETIME
    expires_at = new.expires_at if "expires_at" in new.model_fields_set else default
    parameters = {
        "client_id": caller.client_id,
        "title": new.title,
        "token": secrets.token_urlsafe(_TOKEN_BYTES),
        "expires_at": expires_at,
        "max": MAX_SHARES,
    }

    def insert(current: database.Connection) -> Share | None:
        callers.lock(caller, current)
        with current.cursor(row_factory=class_row(Share)) as cursor:
            return cursor.execute(_INSERT, parameters).fetchone()

    share = database.transaction(insert)
    if share is None:
        raise SharesFull(f"You have {MAX_SHARES} shares, and no more fit.", maximum=MAX_SHARES)
    return share


# After callers.lock: otherwise two requests at once would count the same shares. Ended shares are deleted
# here, so that a client's rows stay few.
_INSERT: LiteralString = f"""
WITH ended AS (
    DELETE FROM shares WHERE client_id = %(client_id)s AND expires_at <= now()
)
INSERT INTO shares (client_id, title, token, expires_at)
SELECT %(client_id)s, %(title)s, %(token)s, %(expires_at)s
 WHERE %(max)s > (SELECT count(*) FROM shares
                   WHERE client_id = %(client_id)s AND {IS_ACTIVE})
RETURNING {_SHARE}
"""  # noqa: S608 — the parts are constants


def list_all(caller: Caller) -> Shares:
    """The caller's shares that have not ended, newest first.

    Raises InvalidToken where the caller's token is revoked.
    """
    return callers.fetch_one(caller, Shares, _LIST, {"max": MAX_SHARES})


_LIST: LiteralString = f"""
SELECT coalesce((SELECT json_agg(shown)
                   FROM (SELECT {_SHARE}
                           FROM shares
                          WHERE shares.client_id = clients.client_id AND {IS_ACTIVE}
                          ORDER BY created_at DESC, share_id) AS shown), '[]') AS items,
       %(max)s AS max
  FROM clients
 WHERE client_id = %(client_id)s AND token_generation = %(token_generation)s
"""  # noqa: S608 — the parts are constants


def remove(caller: Caller, share_id: UUID) -> None:
    """End a share at once.

    Raises UnknownShare where the caller has none of that id, and InvalidToken where the token is revoked.
    """
    removed = callers.fetch_one(caller, _Removed, _REMOVE, {"share_id": share_id}, idempotent=False)
    if not removed.was_there:
        raise UnknownShare(f"You have no share {str(share_id)!r}.")


_REMOVE = """
WITH client AS (
    SELECT client_id FROM clients
     WHERE client_id = %(client_id)s AND token_generation = %(token_generation)s
), removed AS (
    DELETE FROM shares
     USING client
     WHERE shares.client_id = client.client_id AND share_id = %(share_id)s
    RETURNING share_id
)
SELECT EXISTS (SELECT FROM removed) AS was_there FROM client
"""
