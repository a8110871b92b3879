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

from psycopg.rows import DictRow

from shared.accounts import access_tokens, passwords
from shared.accounts.access_tokens import Caller
from shared.accounts.models import Tokens
from shared.errors import DatabaseUnavailable, InvalidCredentials, InvalidRefreshToken
from shared.formats.emails import email_key
from shared.platform import database

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
    from shared.accounts import login_attempts  # refreshing and logging out count nothing

    wait = login_attempts.begin(email)
    try:
        account = database.fetch_one(
            _Account,
            "SELECT client_id, role, password_hash FROM clients WHERE email_key = %(email_key)s",
            {"email_key": email_key(email)},
            repeatable=True,
        )
    except DatabaseUnavailable:
        login_attempts.take_back(email)  # nobody failed but us
        raise
    if not passwords.is_password(password, account.password_hash if account else None) or not account:
        if wait:
            raise login_attempts.too_many(wait)
        raise InvalidCredentials("The e-mail and password do not belong together.")
    login_attempts.succeed(email)
    new_hash = passwords.hash_password(password) if passwords.needs_rehash(account.password_hash) else None
    tokens = database.transaction(lambda current: _begin(current, account, new_hash))
    if tokens is None:
        raise InvalidCredentials("The e-mail and password do not belong together.")
    return tokens


def refresh(refresh_token: str) -> Tokens:
    """New tokens for a refresh token, which is used up by that. Raises InvalidRefreshToken."""

    def work(current: database.Connection) -> Tokens | None:
        client = _lock_client(current, refresh_token)
        used = current.execute(
            """
            UPDATE refresh_tokens
               SET used_at = now()
             WHERE token_hash = %(token_hash)s AND used_at IS NULL AND expires_at > now()
            RETURNING family_id
            """,
            {"token_hash": _hash(refresh_token)},
        ).fetchone()
        if client is None or used is None:
            _revoke_family(current, refresh_token)
            return None
        return _issue(current, Caller(**client), used["family_id"])

    tokens = database.transaction(work)
    if tokens is None:
        raise InvalidRefreshToken("The refresh token is unknown, expired, revoked or was used before.")
    return tokens


def log_out(refresh_token: str) -> None:
    """Revoke the token and all of its family. Raises InvalidRefreshToken."""

    def work(current: database.Connection) -> int:
        _lock_client(current, refresh_token)
        return _revoke_family(current, refresh_token)

    if not database.transaction(work):
        raise InvalidRefreshToken("The refresh token is unknown, expired, revoked or was used before.")


def revoke_all(current: database.Connection, client_id: UUID) -> None:
    """Revoke every session of the client, as part of the caller's transaction."""
    current.execute("DELETE FROM refresh_tokens WHERE client_id = %(id)s", {"id": client_id})


def _issue(current: database.Connection, caller: Caller, family_id: UUID) -> Tokens:
    token = secrets.token_urlsafe(32)
    # What has expired revokes nothing any more, so it need not be kept.
    current.execute(
        "DELETE FROM refresh_tokens WHERE client_id = %(id)s AND expires_at < now()",
        {"id": caller.client_id},
    )
    current.execute(
        """
        INSERT INTO refresh_tokens (token_hash, family_id, client_id, expires_at)
        VALUES (%(token_hash)s, %(family_id)s, %(client_id)s, now() + %(lifetime)s)
        """,
        {
            "token_hash": _hash(token),
            "family_id": family_id,
            "client_id": caller.client_id,
            "lifetime": REFRESH_TOKEN_LIFETIME,
        },
    )
    return Tokens(
        access_token=access_tokens.issue(caller.client_id, caller.role, generation=caller.generation),
        expires_in=access_tokens.LIFETIME,
        refresh_token=token,
    )


def _begin(current: database.Connection, account: _Account, new_hash: str | None) -> Tokens | None:
    """A first token for the account; None where it is gone or its password was changed since it was read."""
    held = current.execute(
        """
        UPDATE clients SET password_hash = %(new_hash)s
         WHERE client_id = %(client_id)s AND password_hash = %(verified)s
        RETURNING client_id, role, token_generation AS generation
        """
        if new_hash
        else """
        SELECT client_id, role, token_generation AS generation FROM clients
         WHERE client_id = %(client_id)s AND password_hash = %(verified)s
           FOR NO KEY UPDATE
        """,
        {"client_id": account.client_id, "verified": account.password_hash, "new_hash": new_hash},
    ).fetchone()
    return None if held is None else _issue(current, Caller(**held), uuid4())


def _lock_client(current: database.Connection, refresh_token: str) -> DictRow | None:
    """Lock the client before any of its tokens, the order in which edits and removals take them too.

    Of two that happen to one session at once, one then comes after the other and sees what it did.
    """
    return current.execute(
        """
        SELECT clients.client_id, clients.role, token_generation AS generation
          FROM clients
          JOIN refresh_tokens USING (client_id)
         WHERE token_hash = %(token_hash)s
           FOR NO KEY UPDATE OF clients
        """,
        {"token_hash": _hash(refresh_token)},
    ).fetchone()


def _revoke_family(current: database.Connection, refresh_token: str) -> int:
    """Remove all tokens of the family that this one is of; how many there were."""
    return current.execute(
        """
        DELETE FROM refresh_tokens
         WHERE family_id = (SELECT family_id FROM refresh_tokens WHERE token_hash = %(token_hash)s)
        """,
        {"token_hash": _hash(refresh_token)},
    ).rowcount


def _hash(token: str) -> bytes:
    # The token is random and long: a plain hash is as good as a slow one.
    return hashlib.sha256(token.encode()).digest()
