"""What can go wrong, raised where it is known; `shared.web.problems` alone turns it into HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import ClassVar, Self


class DomainError(Exception):
    """An error with a sentence for the caller, and what its problem details have (RFC 9457 §3.1).

    `retry_after` is in whole seconds, where trying again later may help. `reason` is for the log alone.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, detail: str, *, retry_after: int | None = None, reason: str = "") -> None:
        super().__init__(reason or detail)
        self.detail = detail
        self.retry_after = retry_after

    @classmethod
    def kinds(cls) -> list[type[DomainError]]:
        """All problem types, in the order of this file; those below one of them share its type."""
        return cls.__subclasses__()

    @classmethod
    def type_uri(cls) -> str:
        """The problem's `type`."""
        return f"/problems/{cls.code}"


# ── Requests ──────────────────────────────────────────────────────────────────────────────────────────────


class BodyTooLarge(DomainError):
    """The body is longer than any request of this API needs to be."""

    status, code, title = 413, "body-too-large", "Body too large"


class UnsupportedMediaType(DomainError):
    """The body's `Content-Type` is not JSON, or it has a `Content-Encoding`. Send plain JSON."""

    status, code, title = 415, "unsupported-media-type", "Unsupported media type"

    def __init__(
        self, detail: str, *, accept_patch: str | None = None, accept_encoding: str | None = None
    ) -> None:
        super().__init__(detail)
        self.accept_patch = accept_patch
        self.accept_encoding = accept_encoding


class InvalidInput(DomainError):
    """A value that is not as it has to be; `location` is a path like body.name."""

    status, code, title = 422, "invalid-input", "Invalid input"

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

    status, code, title = 401, "missing-credentials", "Missing credentials"


class InvalidToken(DomainError):
    """The access token is malformed, forged, expired, for somebody else, or its client is gone."""

    status, code, title = 401, "invalid-token", "Invalid access token"


class LogInTooLongAgo(DomainError):
    """The caller is known, but gave the password more than `max_age` seconds ago (RFC 9470)."""

    status, code, title = 401, "insufficient-user-authentication", "Log-in too long ago"

    def __init__(self, detail: str, *, max_age: int) -> None:
        super().__init__(detail)
        self.max_age = max_age


class InvalidCredentials(DomainError):
    """The password is wrong or nobody has the e-mail: one answer for both."""

    status, code, title = 401, "invalid-credentials", "Wrong e-mail or password"


class InvalidRefreshToken(DomainError):
    """The refresh token is unknown, expired, revoked, or was used before."""

    status, code, title = 401, "invalid-refresh-token", "Invalid refresh token"


class TooManyAttempts(DomainError):
    """Too many guesses at one password; `retry_after` says when the next one may be made."""

    status, code, title = 429, "too-many-attempts", "Too many failed attempts"


class Forbidden(DomainError):
    """The caller is known, but may not do this."""

    status, code, title = 403, "forbidden", "Forbidden"


class WrongPassword(DomainError):
    """The current password that should confirm a change is not the client's."""

    status, code, title = 403, "wrong-password", "Wrong password"


# ── Clients, products, favorites ──────────────────────────────────────────────────────────────────────────


class UnknownClient(DomainError):
    """There is no client with that id."""

    status, code, title = 404, "unknown-client", "Unknown client"


class EmailTaken(DomainError):
    """Another client has that e-mail."""

    status, code, title = 409, "email-taken", "E-mail taken"

    @classmethod
    def by_another(cls) -> Self:
        """The refusal where another client has the e-mail."""
        return cls("Another client has this e-mail.")


class LastAdmin(DomainError):
    """Without this one there would be no admin."""

    status, code, title = 409, "last-admin", "Last admin"


class ChangedMeanwhile(DomainError):
    """The resource is not as `If-Match` or `If-None-Match` says. Read it again, and decide anew."""

    status, code, title = 412, "changed-meanwhile", "Changed meanwhile"


class UnknownProduct(DomainError):
    """Neither the catalog nor this service's copy of it has that product."""

    status, code, title = 404, "unknown-product", "Unknown product"

    @classmethod
    def of(cls, product_id: str) -> Self:
        """The refusal for a product that was asked for by this id."""
        return cls(f"There is no product {product_id!r}.")


class NotFavorite(DomainError):
    """The product is not one of the caller's favorites."""

    status, code, title = 404, "not-favorite", "Not a favorite"


class AlreadyFavorite(DomainError):
    """The product is one of the caller's favorites already."""

    status, code, title = 409, "already-favorite", "Already a favorite"


class FavoritesFull(DomainError):
    """The caller has as many favorites as a client may have: `maximum`."""

    status, code, title = 409, "favorites-full", "Favorites full"

    def __init__(self, detail: str, *, maximum: int) -> None:
        super().__init__(detail)
        self.maximum = maximum


class UnknownShare(DomainError):
    """There is no such link to a shared list, or it was removed, or its time is over: one answer for all."""

    status, code, title = 404, "unknown-share", "Unknown share"

    @classmethod
    def behind_link(cls) -> Self:
        """The refusal for a link that leads nowhere, whatever the reason."""
        return cls("There is no such list, or it is no longer shared.")


class SharesFull(DomainError):
    """The caller has as many shares as a client may have: `maximum`."""

    status, code, title = 409, "shares-full", "Shares full"

    def __init__(self, detail: str, *, maximum: int) -> None:
        super().__init__(detail)
        self.maximum = maximum


class TooManyChanges(DomainError):
    """Too many favorites were changed in a short time. Wait as long as `Retry-After` says, and try again."""

    status, code, title = 429, "too-many-changes", "Too many changes"


# ── Backing services ──────────────────────────────────────────────────────────────────────────────────────


class CatalogUnavailable(DomainError):
    """The catalog gave no usable answer and there is nothing older to give instead."""

    status, code, title = 503, "catalog-unavailable", "Catalog unavailable"

    @classmethod
    def silent(cls, retry_after: int, reason: str = "") -> Self:
        """The refusal where it did not answer, or in a way that is as good as no answer."""
        return cls("The catalog is not answering.", retry_after=retry_after, reason=reason)


class DatabaseUnavailable(DomainError):
    """PostgreSQL did not answer, or not in time."""

    status, code, title = 503, "database-unavailable", "Database unavailable"


class SecretUnavailable(DomainError):
    """A secret could not be read; the reason, for the log, names it and not what it holds."""

    status, code, title = 503, "secret-unavailable", "Secret unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__("The service cannot read a secret that it needs.", retry_after=1, reason=reason)


# ── Everything else ───────────────────────────────────────────────────────────────────────────────────────


class NoSuchRoute(DomainError):
    """No route of the function has that path and method."""

    status, code, title = 404, "not-found", "Not found"


class InternalError(DomainError):
    """An unforeseen error."""

    status, code, title = 500, "internal-error", "Internal error"
