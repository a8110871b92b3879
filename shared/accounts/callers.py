"""Statements for a caller, or for the client that a request is about.

Their condition has `client_id = %(client_id)s AND token_generation = %(token_generation)s`, so that they find
no row for a revoked token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, LiteralString, Protocol, TypeVar

from psycopg.rows import class_row

from shared.errors import DomainError
from shared.platform import database

Row = TypeVar("Row")


class Holder(Protocol):
    """A client who is looked up by `client_id` and `token_generation`: a Caller, or a Target."""

    @property
    def as_parameters(self) -> dict[str, Any]:
        """The parameters `client_id` and `token_generation`."""
        ...

    def not_found(self) -> DomainError:
        """The error for a client whose row was not found."""
        ...


def fetch_one(
    who: Holder,
    row: type[Row],
    query: LiteralString,
    parameters: Mapping[str, Any] | None = None,
    *,
    current: database.Connection | None = None,
    idempotent: bool = True,
) -> Row:
    """The first row of a statement, which gets the client's parameters and its own.

    `current` is the connection of a transaction that the statement is a part of.
    Raises `who.not_found()` where there is no row, and DatabaseUnavailable.
    """
    every = who.as_parameters | dict(parameters or {})
    if current is None:
        return found(who, database.fetch_one(row, query, every, idempotent=idempotent))
    with current.cursor(row_factory=class_row(row)) as cursor:
        return found(who, cursor.execute(query, every).fetchone())


def found(who: Holder, row: Row | None) -> Row:
    """The row. Raises `who.not_found()` where there is none."""
    if row is None:
        raise who.not_found()
    return row


def lock(who: Holder, current: database.Connection) -> None:
    """Lock the client's row until the transaction ends; later statements have a snapshot taken after that.

    Raises `who.not_found()` where there is no row.
    """
    found(
        who,
        current.execute(
            """
            SELECT client_id
              FROM clients
             WHERE client_id = %(client_id)s
               AND token_generation = coalesce(%(token_generation)s, token_generation)
               FOR NO KEY UPDATE
            """,
            who.as_parameters,
        ).fetchone(),
    )
