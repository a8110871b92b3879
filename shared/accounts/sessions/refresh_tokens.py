"""Refresh tokens: random, in two parts, stored as hashes only.

All tokens of a session share the first part, which finds the session's row. The second part differs. It is
derived from the token before and a key that signs access tokens: the same token has the same successor, which
cannot be made without the key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import timedelta

from shared.accounts import access_tokens
from shared.accounts.access_tokens import Caller
from shared.accounts.models import Tokens
from shared.errors import InvalidRefreshToken

LIFETIME = timedelta(days=30)

_SHARED_PART = 22  # characters: 16 random bytes in base64url


def new() -> str:
    """The first refresh token of a session."""
    return secrets.token_urlsafe(16) + secrets.token_urlsafe(32)


def session_hash(refresh_token: str) -> bytes:
    """The key of the session's row."""
    return token_hash(refresh_token[:_SHARED_PART])


def token_hash(token: str) -> bytes:
    """The stored hash. Tokens are random and long, so it need not be slow."""
    return hashlib.sha256(token.encode()).digest()


def successor(refresh_token: str, key: str) -> str:
    """The next token of the session, made with a key that signs access tokens."""
    # No access token is signed with the same input: those have no spaces.
    own = hmac.digest(key.encode(), f"refresh token after {refresh_token}".encode(), "sha256")
    return refresh_token[:_SHARED_PART] + base64.urlsafe_b64encode(own).rstrip(b"=").decode()


def pair(caller: Caller, refresh_token: str) -> Tokens:
    """A new access token of the caller, with the refresh token."""
    return Tokens(
        access_token=access_tokens.issue(caller),
        expires_in=access_tokens.LIFETIME,
        refresh_token=refresh_token,
    )


def not_valid() -> InvalidRefreshToken:
    """The error for any token that is not valid."""
    return InvalidRefreshToken("The refresh token is unknown, expired, revoked or was used before.")
