"""Who may read and change which client: each client itself, and admins all."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from shared.accounts import access_tokens, callers
from shared.accounts.access_tokens import Caller
from shared.errors import DomainError, Forbidden, LogInTooLongAgo, UnknownClient

ClientRef = Literal["me"] | UUID

RECENT_LOG_IN = 5 * 60  # seconds since the password was given


@dataclass(frozen=True, slots=True)
class Target:
    """The client that a request is about.

    `token_generation` is that of the caller's token if the client is the caller, and None for another client:
    the admin's token was checked already.
    """

    client_id: UUID
    token_generation: int | None

    @property
    def is_caller(self) -> bool:
        """Whether the request is about the caller."""
        return self.token_generation is not None

    @property
    def as_parameters(self) -> dict[str, Any]:
        """The parameters of a statement that compares the row with `client_id` and `token_generation`."""
        return {"client_id": self.client_id, "token_generation": self.token_generation}

    def not_found(self) -> DomainError:
        """The error for a client whose row was not found."""
        return access_tokens.token_revoked() if self.is_caller else UnknownClient("There is no such client.")


@dataclass(frozen=True, slots=True)
class _Held:
    role: str


def permitted(caller: Caller, ref: ClientRef) -> Target:
    """The client of `ref`, if it is the caller, or the caller is an admin.

    For others no client is looked up, so that they do not learn whether it exists. Raises Forbidden, and
    InvalidToken for a revoked token of an admin.
    """
    if ref == "me" or ref == caller.client_id:
        return Target(caller.client_id, caller.token_generation)
    if not caller.is_admin:
        raise Forbidden("This belongs to another client.")
    require_admin(caller)
    return Target(ref, None)


def require_admin(caller: Caller) -> None:
    """Raise Forbidden unless the caller is an admin now, and InvalidToken for a revoked token."""
    held = callers.fetch_one(
        caller,
        _Held,
        """
        SELECT role
          FROM clients
         WHERE client_id = %(client_id)s AND token_generation = %(token_generation)s
        """,
    )
    if held.role != "admin":
        raise Forbidden("Only admins may do this.")


def require_recent_log_in(caller: Caller, detail: str) -> None:
    """Raise LogInTooLongAgo if the log-in was more than `RECENT_LOG_IN` ago."""
    if time.time() - caller.authenticated_at > RECENT_LOG_IN:
        raise LogInTooLongAgo(detail, max_age=RECENT_LOG_IN)
