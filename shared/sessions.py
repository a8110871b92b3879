"""Sessions: log in, stay logged in by rotating refresh tokens, log out.

A refresh token is 256 random bits, stored as a hash, and works once. All that descend from one log-in are a
family; one that comes back after its use revokes the family, for then it is in two hands (RFC 9700 §4.14.2).
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from shared import access_tokens, database, login_attempts, passwords
from shared.emails import email_key
from shared.errors import InvalidCredentials, InvalidRefreshToken
from shared.models import Tokens

REFRESH_TOKEN_LIFETIME = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class _Account:
    client_id: UUID
    role: str
    password_hash: str


def log_in(email: str, password: str) -> Tokens:
    """Tokens for the client with that e-mail and password.

    Raises InvalidCredentials, at the same cost whether the e-mail or the password is wrong, and
    TooManyAttempts.
    """
    wait = login_attempts.begin(email)
    account = database.fetch_one(
        _Account,
        "SELECT client_id, role, password_hash FROM clients WHERE email_key = %(email_key)s",
        {"email_key": email_key(email)},
        repeatable=True,
    )
    if not passwords.is_password(password, account.password_hash if account else None) or not account:
        if wait:
            raise login_attempts.too_many(wait)
        raise InvalidCredentials("The e-mail and password do not belong together.")
    login_attempts.succeed(email)
    if passwords.needs_rehash(account.password_hash):
        _rehash(account, password)
    return database.transaction(lambda current: _issue(current, account.client_id, account.role, uuid4()))


def refresh(refresh_token: str) -> Tokens:
    """New tokens for a refresh token, which is used up by that. Raises InvalidRefreshToken."""

    def work(current: database.Connection) -> Tokens | None:
        used = current.execute(
            """
            UPDATE refresh_tokens
               SET used_at = now()
              FROM clients
             WHERE token_hash = %(token_hash)s AND used_at IS NULL AND expires_at > now()
               AND clients.client_id = refresh_tokens.client_id
            RETURNING refresh_tokens.family_id, clients.client_id, clients.role
            """,
            {"token_hash": _hash(refresh_token)},
        ).fetchone()
        if used is None:
            _revoke_family(current, refresh_token)
            return None
        return _issue(current, used["client_id"], used["role"], used["family_id"])

    tokens = database.transaction(work)
    if tokens is None:
        raise InvalidRefreshToken("The refresh token is unknown, expired, revoked or was used before.")
    return tokens


def log_out(refresh_token: str) -> None:
    """Revoke the token and all of its family. Raises InvalidRefreshToken."""
    if not database.run(lambda current: _revoke_family(current, refresh_token), repeatable=False):
        raise InvalidRefreshToken("The refresh token is unknown, expired, revoked or was used before.")


def revoke_all(current: database.Connection, client_id: UUID) -> None:
    """Revoke every session of the client, as part of the caller's transaction."""
    current.execute("DELETE FROM refresh_tokens WHERE client_id = %(id)s", {"id": client_id})


def _issue(current: database.Connection, client_id: UUID, role: str, family_id: UUID) -> Tokens:
    token = secrets.token_urlsafe(32)
    # What has expired revokes nothing any more, so it need not be kept.
    current.execute(
        "DELETE FROM refresh_tokens WHERE client_id = %(id)s AND expires_at < now()", {"id": client_id}
    )
    current.execute(
        """
        INSERT INTO refresh_tokens (token_hash, family_id, client_id, expires_at)
        VALUES (%(token_hash)s, %(family_id)s, %(client_id)s, now() + %(lifetime)s)
        """,
        {
            "token_hash": _hash(token),
            "family_id": family_id,
            "client_id": client_id,
            "lifetime": REFRESH_TOKEN_LIFETIME,
        },
    )
    return Tokens(
        access_token=access_tokens.issue(client_id, role),
        expires_in=access_tokens.LIFETIME,
        refresh_token=token,
    )


def _revoke_family(current: database.Connection, refresh_token: str) -> int:
    """Remove all tokens of the family that this one is of; how many there were."""
    return current.execute(
        """
        DELETE FROM refresh_tokens
         WHERE family_id = (SELECT family_id FROM refresh_tokens WHERE token_hash = %(token_hash)s)
        """,
        {"token_hash": _hash(refresh_token)},
    ).rowcount


def _rehash(account: _Account, password: str) -> None:
    """Keep the password under today's parameters, unless it was changed meanwhile."""
    database.execute(
        """
        UPDATE clients SET password_hash = %(new)s
         WHERE client_id = %(client_id)s AND password_hash = %(old)s
        """,
        {
            "client_id": account.client_id,
            "old": account.password_hash,
            "new": passwords.hash_password(password),
        },
    )


def _hash(token: str) -> bytes:
    # The token is random and long: a plain hash is as good as a slow one.
    return hashlib.sha256(token.encode()).digest()
