"""What can go wrong in the domain, raised where it is known; `shared.web` alone turns it into HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self


class DomainError(Exception):
    """A refusal with a sentence that its caller may read.

    `retry_after` is in whole seconds, where trying again later may help. `reason` is for the log alone.
    """

    def __init__(self, detail: str, *, retry_after: int | None = None, reason: str = "") -> None:
        super().__init__(reason or detail)
        self.detail = detail
        self.retry_after = retry_after


# ── Requests ──────────────────────────────────────────────────────────────────────────────────────────────


class BodyTooLarge(DomainError):
    """The body is longer than any request of this API needs to be."""


class UnsupportedMediaType(DomainError):
    """The body is not JSON by its own Content-Type; `accept_patch` lists what a PATCH may be."""

    def __init__(self, detail: str, *, accept_patch: str | None) -> None:
        super().__init__(detail)
        self.accept_patch = accept_patch


class InvalidInput(DomainError):
    """A value that is not as it has to be; `location` is a path like body.name."""

    def __init__(self, message: str, *, location: str, kind: str) -> None:
        super().__init__("The request has invalid values: see errors.")
        self.message = message
        self.location = location
        self.kind = kind


class InvalidCursor(InvalidInput):
    """A page cursor that this service did not give out for this list."""

    def __init__(self) -> None:
        super().__init__("is not a cursor of this list", location="query.cursor", kind="cursor")


# ── Callers ───────────────────────────────────────────────────────────────────────────────────────────────


class MissingCredentials(DomainError):
    """The route needs a caller and the request names none."""


class InvalidToken(DomainError):
    """The access token is malformed, forged, expired, for somebody else, or its client is gone."""


class LogInTooLongAgo(DomainError):
    """The caller is known, but gave the password more than `max_age` seconds ago (RFC 9470)."""

    def __init__(self, detail: str, *, max_age: int) -> None:
        super().__init__(detail)
        self.max_age = max_age


class InvalidCredentials(DomainError):
    """The password is wrong or nobody has the e-mail: one answer for both."""


class InvalidRefreshToken(DomainError):
    """The refresh token is unknown, expired, revoked, or was used before."""


class TooManyAttempts(DomainError):
    """Too many guesses at one password; `retry_after` says when the next one may be made."""


class Forbidden(DomainError):
    """The caller is known, but may not do this."""


class WrongPassword(DomainError):
    """The current password that should confirm a change is not the client's."""


# ── Clients, products, favorites ──────────────────────────────────────────────────────────────────────────


class UnknownClient(DomainError):
    """There is no client with that id."""


class EmailTaken(DomainError):
    """Another client has that e-mail."""


class LastAdmin(DomainError):
    """Without this one there would be no admin."""


class ChangedMeanwhile(DomainError):
    """The client's ETag is no longer the one the caller asked to change."""


class UnknownProduct(DomainError):
    """Neither the catalog nor this service's copy of it has that product."""

    @classmethod
    def of(cls, product_id: str) -> Self:
        """The refusal for a product that was asked for by this id."""
        return cls(f"There is no product {product_id!r}.")


class NotFavorite(DomainError):
    """The product is not one of the caller's favorites."""


class AlreadyFavorite(DomainError):
    """The product is one of the caller's favorites already."""


class FavoritesFull(DomainError):
    """The caller has as many favorites as a client may have: `maximum`."""

    def __init__(self, detail: str, *, maximum: int) -> None:
        super().__init__(detail)
        self.maximum = maximum


class TooManyChanges(DomainError):
    """Too many favorites were changed in a short time. Wait as long as `Retry-After` says, and try again."""


# ── Backing services ──────────────────────────────────────────────────────────────────────────────────────


class CatalogUnavailable(DomainError):
    """The catalog gave no usable answer and there is nothing older to give instead."""

    @classmethod
    def silent(cls, retry_after: int, reason: str = "") -> Self:
        """The refusal where it did not answer, or in a way that is as good as no answer."""
        return cls("The catalog is not answering.", retry_after=retry_after, reason=reason)


class DatabaseUnavailable(DomainError):
    """PostgreSQL did not answer, or not in time."""
