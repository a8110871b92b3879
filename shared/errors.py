"""Domain errors, raised where they are known; only `shared.web.problems` turns them into HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import ClassVar, Self


class DomainError(Exception):
    """An error with a sentence for the caller, and the members of its problem details (RFC 9457 §3.1).

    `retry_after` is in whole seconds, where a retry may succeed; `maximum` is the limit that was reached.
    `accepts` are response headers with what the service accepts instead. `reason` is only for the log.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]

    def __init__(
        self,
        detail: str,
        *,
        retry_after: int | None = None,
        maximum: int | None = None,
        accepts: Mapping[str, str] | None = None,
        reason: str = "",
    ) -> None:
        super().__init__(reason or detail)
        self.detail = detail
        self.retry_after = retry_after
        self.maximum = maximum
        self.accepts = accepts or {}

    @classmethod
    def kinds(cls) -> list[type[DomainError]]:
        """All problem types, in the order of this file; subclasses of one share its type."""
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


class InvalidInput(DomainError):
    """A value of the request is invalid: `errors` names it, with the reason."""

    status, code, title = 422, "invalid-input", "Invalid input"

    def __init__(self, message: str, *, location: str, kind: str) -> None:
        super().__init__("The request has invalid values: see errors.")
        self.message = message
        self.location = location
        self.kind = kind


class InvalidCursor(InvalidInput):
    """A cursor that does not belong to this list."""

    def __init__(self) -> None:
        super().__init__("is not a cursor of this list", location="query.cursor", kind="cursor")


# ── Callers ───────────────────────────────────────────────────────────────────────────────────────────────


class MissingCredentials(DomainError):
    """The route needs an access token and the request has none."""

    status, code, title = 401, "missing-credentials", "Missing credentials"


class InvalidToken(DomainError):
    """The access token is malformed, forged, expired, revoked, or issued for another service."""

    status, code, title = 401, "invalid-token", "Invalid access token"


class LogInTooLongAgo(DomainError):
    """The log-in is more than `max_age` seconds ago, and this request needs a recent one (RFC 9470)."""

    status, code, title = 401, "insufficient-user-authentication", "Log-in too long ago"

    def __init__(self, detail: str, *, max_age: int) -> None:
        super().__init__(detail)
        self.max_age = max_age


class InvalidCredentials(DomainError):
    """The e-mail or the password is wrong; the answer does not say which."""

    status, code, title = 401, "invalid-credentials", "Wrong e-mail or password"


class InvalidRefreshToken(DomainError):
    """The refresh token is unknown, expired, revoked, or was used before."""

    status, code, title = 401, "invalid-refresh-token", "Invalid refresh token"


class TooManyAttempts(DomainError):
    """Too many failed attempts. Wait as long as `Retry-After` says, and try again."""

    status, code, title = 429, "too-many-attempts", "Too many failed attempts"


class Forbidden(DomainError):
    """The caller is not allowed to do this."""

    status, code, title = 403, "forbidden", "Forbidden"


class WrongPassword(DomainError):
    """The `current_password` that should confirm the change is wrong."""

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
        """The error for an e-mail of another client."""
        return cls("Another client has this e-mail.")


class LastAdmin(DomainError):
    """The only admin cannot be removed."""

    status, code, title = 409, "last-admin", "Last admin"


class ChangedMeanwhile(DomainError):
    """The resource does not meet `If-Match` or `If-None-Match`. Read it again, and decide anew."""

    status, code, title = 412, "changed-meanwhile", "Changed meanwhile"


class UnknownProduct(DomainError):
    """Neither the catalog nor this service's copy of it has the product."""

    status, code, title = 404, "unknown-product", "Unknown product"

    @classmethod
    def of(cls, product_id: str) -> Self:
        """The error for this id."""
        return cls(f"There is no product {product_id!r}.")


class NotFavorite(DomainError):
    """The product is not one of the caller's favorites."""

    status, code, title = 404, "not-favorite", "Not a favorite"


class AlreadyFavorite(DomainError):
    """The product is already one of the caller's favorites."""

    status, code, title = 409, "already-favorite", "Already a favorite"


class FavoritesFull(DomainError):
    """The caller has the most favorites that a client may have: `max`."""

    status, code, title = 409, "favorites-full", "Favorites full"


class ImpossibleAlert(DomainError):
    """An alert that could not fire: its price is not below the current one, or is in another currency.

    Or the product that it waits for is available.
    """

    status, code, title = 422, "impossible-alert", "Impossible alert"


class UnknownShare(DomainError):
    """The link to a shared list is unknown, removed or expired; the answer does not say which."""

    status, code, title = 404, "unknown-share", "Unknown share"

    @classmethod
    def behind_link(cls) -> Self:
        """The refusal for a link that leads nowhere, whatever the reason."""
        return cls("There is no such list, or it is no longer shared.")


class SharesFull(DomainError):
    """The caller has the most shares that a client may have: `max`."""

    status, code, title = 409, "shares-full", "Shares full"


class TooManyChanges(DomainError):
    """Too many favorites were changed in a short time. Wait as long as `Retry-After` says, and try again."""

    status, code, title = 429, "too-many-changes", "Too many changes"


# ── Backing services ──────────────────────────────────────────────────────────────────────────────────────


class CatalogUnavailable(DomainError):
    """The catalog gave no usable answer, and there is no older one to send instead."""

    status, code, title = 503, "catalog-unavailable", "Catalog unavailable"

    @classmethod
    def silent(cls, retry_after: int, reason: str = "") -> Self:
        """The error for a catalog that gave no answer, or an invalid one."""
        return cls("The catalog is not answering.", retry_after=retry_after, reason=reason)


class DatabaseUnavailable(DomainError):
    """PostgreSQL did not answer, or not in time."""

    status, code, title = 503, "database-unavailable", "Database unavailable"


class SecretUnavailable(DomainError):
    """A secret could not be read. The reason, for the log, has its name and not its value."""

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
