"""Refresh tokens: random, with two parts, and stored as hashes only.

All tokens of a session share the first part, which finds the session's row. The second part is the token's
own. A token's successor is made of the token and of the key that signs access tokens, and not random: so the
same token gives the same successor again, and somebody who has an old token but not the key cannot make it.
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
    """What finds the row of the token's session."""
    return token_hash(refresh_token[:_SHARED_PART])


def token_hash(token: str) -> bytes:
    """What is stored of the token. It is random and long: a plain hash is as good as a slow one."""
    return hashlib.sha256(token.encode()).digest()


def successor(refresh_token: str, key: str) -> str:
    """The next token of the session, made with a key that signs access tokens."""
    # No access token is ever signed for such a text: those have no spaces.
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
    """The refusal of a token, whatever is wrong with it."""
    return InvalidRefreshToken("The refresh token is unknown, expired, revoked or was used before.")
