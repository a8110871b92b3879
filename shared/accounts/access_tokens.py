"""Access tokens: JSON Web Tokens (RFC 7519, RFC 9068) signed with HMAC-SHA-256."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from shared.errors import InvalidToken
from shared.platform import settings

LIFETIME = 15 * 60  # seconds
LEEWAY = 5  # seconds that the clock of the host that issued a token may be ahead
ISSUER = "favorites-service"
AUDIENCE = "favorites-api"

_ALGORITHM = "HS256"
_TYPE = "at+jwt"
_CLAIMS = ("iss", "aud", "sub", "role", "token_generation", "auth_time", "iat", "exp", "jti")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request, according to the access token.

    The token is revoked if the client's row has another `token_generation`; every statement for a request
    compares the two. `authenticated_at` is the time of the log-in, in seconds since the epoch.
    """

    client_id: uuid.UUID
    role: str
    token_generation: int
    authenticated_at: int

    @property
    def as_parameters(self) -> dict[str, Any]:
        """The parameters of a statement that compares the row with `client_id` and `token_generation`."""
        return {"client_id": self.client_id, "token_generation": self.token_generation}

    def not_found(self) -> InvalidToken:
        """The error for a caller whose row was not found."""
        return token_revoked()

    @property
    def is_admin(self) -> bool:
        """Whether the caller was an admin when the token was issued, at most `LIFETIME` seconds ago."""
        return self.role == "admin"


def issue(caller: Caller) -> str:
    """A signed access token for this caller, valid for `LIFETIME` seconds."""
    from jwt import api_jwt  # see verify

    key_id, key = next(iter(settings.access_token_keys().items()))
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(caller.client_id),
        "role": caller.role,
        "token_generation": caller.token_generation,
        "auth_time": caller.authenticated_at,
        "iat": now,
        "exp": now + LIFETIME,
        "jti": uuid.uuid4().hex,
    }
    return api_jwt.encode(claims, key, algorithm=_ALGORITHM, headers={"kid": key_id, "typ": _TYPE})


def token_revoked() -> InvalidToken:
    """The error for a valid token whose client is gone, or has a newer `token_generation`."""
    return InvalidToken(
        "The access token no longer counts: its client was removed, was logged out everywhere, "
        "or has another password or role since."
    )


def verify(token: str) -> Caller:
    """The caller whose token it is. Raises InvalidToken.

    Accepts only our algorithm (RFC 8725 §3.1), the type `at+jwt` (RFC 9068 §4), and a `kid` of our keys.
    """
    caller, ends_at = _checked(token, tuple(settings.access_token_keys().items()))
    if ends_at <= time.time():
        raise InvalidToken("The access token has expired.")
    return caller


# A client sends a token many times; only the comparison with the time changes.
@lru_cache(maxsize=256)  # tokens, of 500 bytes each
def _checked(token: str, keys: tuple[tuple[str, str], ...]) -> tuple[Caller, float]:
    """The caller, and when the token ends, in seconds since the epoch. Raises InvalidToken."""
    # Imported here: functions without a caller do not need it.
    from jwt import api_jws, api_jwt, exceptions

    try:
        header = api_jws.get_unverified_header(token)
        key = dict(keys).get(header.get("kid", ""))
        if key is None or header.get("typ") != _TYPE:
            raise InvalidToken("This service did not issue the access token.")
        claims: dict[str, Any] = api_jwt.decode(
            token,
            key,
            algorithms=[_ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            leeway=LEEWAY,  # for `iat`; `verify` checks `exp` without it
            options={"require": [*_CLAIMS]},
        )
        caller = Caller(
            uuid.UUID(claims["sub"]),
            str(claims["role"]),
            token_generation=_whole(claims["token_generation"]),
            authenticated_at=_whole(claims["auth_time"]),
        )
        return caller, float(claims["exp"])
    except exceptions.ExpiredSignatureError as error:
        raise InvalidToken("The access token has expired.") from error
    except (exceptions.PyJWTError, ValueError, TypeError, AttributeError) as error:
        raise InvalidToken("The access token is not valid.") from error


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:  # what PostgreSQL's bigint holds
        raise InvalidToken("The access token is not valid.")
    return value
