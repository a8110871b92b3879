"""Sessions: log in, stay logged in by rotating refresh tokens, log out.

A session is one row. A refresh token has two random parts: one that all tokens of the session share, which
finds the row, and one of its own. Only hashes are stored. A token works once: the next one takes its place.
If a token is used again later, two parties have it, and the session is revoked (RFC 9700 §4.14.2), however
old the token is.

An answer can get lost, a request can be sent twice, two tabs can refresh at once. So for `GRACE` seconds the
token before the current one still works, and gives the same next token as the first time. Both tabs then go
on with the same token. With two different ones, the slower tab would look like a thief at its next refresh.
The next token is therefore not random: it is made of the one before and the key that signs access tokens.
Somebody who has an old token, but not the key, cannot make it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from shared.accounts import access_tokens, passwords
from shared.accounts.access_tokens import Caller
from shared.accounts.models import Tokens
from shared.errors import DatabaseUnavailable, InvalidCredentials, InvalidRefreshToken
from shared.formats.emails import email_key
from shared.platform import database, settings

REFRESH_TOKEN_LIFETIME = timedelta(days=30)
GRACE = timedelta(seconds=30)  # for a lost answer, a retry after a 503, a second tab
LOOKS = 2  # at an account during a log-in: another log-in may renew the hash between the first and its end
MOST_SESSIONS = 100  # of a client; a log-in ends those that were not used for the longest time

_SHARED_PART = 22  # characters: 16 random bytes in base64url
_OWN_PART = 43  # characters: 32 bytes
_LENGTH_BEFORE = 43  # characters of a refresh token of the release before


@dataclass(frozen=True, slots=True)
class _Account:
    client_id: UUID
    email_key: str
    password_hash: str


def log_in(email: str, password: str, *, source: str = "") -> Tokens:
    """Tokens for the client with that e-mail and password; `source` is the address that asks.

    Raises InvalidCredentials, at the same cost whether the e-mail or the password is wrong, and
    TooManyAttempts.
    """
    from shared.accounts import login_attempts  # refreshing and logging out count nothing

    attempts = login_attempts.of_log_in(email, source)
    wait = login_attempts.begin(attempts)
    try:
        for _ in range(LOOKS):
            account = database.fetch_one(
                _Account,
                "SELECT client_id, email_key, password_hash FROM clients WHERE email_key = %(email_key)s",
                {"email_key": email_key(email)},
                repeatable=True,
            )
            if not passwords.is_password(password, account.password_hash if account else None) or not account:
                break
            is_outdated = passwords.needs_rehash(account.password_hash)
            new_hash = passwords.hash_password(password) if is_outdated else None
            tokens = database.transaction(partial(_begin, account=account, new_hash=new_hash))
            if tokens is not None:
                # Only now: of a client who is removed before this, the address would stay for a month.
                login_attempts.succeed(attempts)
                return tokens
    except DatabaseUnavailable:
        login_attempts.take_back(attempts)  # nobody failed but us
        raise
    if wait:
        raise login_attempts.too_many(wait)
    raise InvalidCredentials("The e-mail or the password is wrong.")


def refresh(refresh_token: str) -> Tokens:
    """The next tokens of the session; the same refresh token for the same one within `GRACE`.

    Raises InvalidRefreshToken.
    """
    shared_part = _shared_part(refresh_token)
    # By each key, as another environment may sign with another one while the keys are rotated.
    successors = [
        _successor(shared_part, refresh_token, key) for key in settings.access_token_keys().values()
    ]
    parameters = {
        "session_hash": _hash(shared_part),
        "presented": _hash(refresh_token),
        "successor": _hash(successors[0]),
        "grace": GRACE,
        "lifetime": REFRESH_TOKEN_LIFETIME,
    }

    def work(current: database.Connection) -> dict[str, Any] | None:
        if len(refresh_token) == _LENGTH_BEFORE:
            _adopt(current, parameters)
        held = current.execute(
            """
            UPDATE sessions
               SET token_hash = CASE WHEN token_hash = %(presented)s THEN %(successor)s
                                     ELSE token_hash END,
                   previous_hash = CASE WHEN token_hash = %(presented)s THEN token_hash
                                        ELSE previous_hash END,
                   rotated_at = CASE WHEN token_hash = %(presented)s THEN now() ELSE rotated_at END,
                   expires_at = now() + %(lifetime)s
              FROM clients
             WHERE session_hash = %(session_hash)s AND clients.client_id = sessions.client_id
               AND expires_at > now()
               AND (token_hash = %(presented)s
                    OR (previous_hash = %(presented)s AND rotated_at > now() - %(grace)s))
            RETURNING clients.client_id, role, token_generation AS generation,
                      floor(extract(epoch FROM logged_in_at))::bigint AS authenticated_at, token_hash
            """,
            parameters,
        ).fetchone()
        if held is None:
            _revoke(current, refresh_token)
        return held

    # Repeatable: a token that was used a moment ago is answered as it was then.
    held = database.run(work, repeatable=True)
    if held is not None:
        current_hash = held.pop("token_hash")
        for successor in successors:
            if _hash(successor) == current_hash:
                return _tokens(Caller(**held), successor)
    raise _not_good()


def log_out(refresh_token: str) -> None:
    """End the session that the token is of. Raises InvalidRefreshToken."""
    if not database.run(lambda current: _revoke(current, refresh_token), repeatable=False):
        raise _not_good()


def revoke_all(current: database.Connection, client_id: UUID) -> None:
    """End every session of the client, as part of the caller's transaction."""
    current.execute(
        """
        WITH of_the_release_before AS (
            DELETE FROM refresh_tokens WHERE client_id = %(client_id)s
        )
        DELETE FROM sessions WHERE client_id = %(client_id)s
        """,
        {"client_id": client_id},
    )


def _begin(current: database.Connection, account: _Account, new_hash: str | None) -> Tokens | None:
    """A session of the account; None where it is gone, or has another e-mail or password by now."""
    held = current.execute(
        """
        UPDATE clients SET password_hash = %(new_hash)s
         WHERE client_id = %(client_id)s AND password_hash = %(verified)s AND email_key = %(email_key)s
        RETURNING client_id, role, token_generation AS generation,
                  floor(extract(epoch FROM now()))::bigint AS authenticated_at
        """
        if new_hash
        else """
        SELECT client_id, role, token_generation AS generation,
               floor(extract(epoch FROM now()))::bigint AS authenticated_at
          FROM clients
         WHERE client_id = %(client_id)s AND password_hash = %(verified)s AND email_key = %(email_key)s
           FOR NO KEY UPDATE
        """,
        {
            "client_id": account.client_id,
            "verified": account.password_hash,
            "email_key": account.email_key,
            "new_hash": new_hash,
        },
    ).fetchone()
    if held is None:
        return None
    shared_part = secrets.token_urlsafe(16)
    refresh_token = shared_part + secrets.token_urlsafe(32)
    current.execute(
        """
        WITH over_the_bound AS (
            DELETE FROM sessions
             WHERE session_hash IN (SELECT session_hash FROM sessions
                                     WHERE client_id = %(client_id)s
                                     ORDER BY rotated_at DESC OFFSET %(others)s)
        )
        INSERT INTO sessions (session_hash, client_id, token_hash, logged_in_at, expires_at)
        VALUES (%(session_hash)s, %(client_id)s, %(token_hash)s, now(), now() + %(lifetime)s)
        """,
        {
            "session_hash": _hash(shared_part),
            "client_id": account.client_id,
            "token_hash": _hash(refresh_token),
            "lifetime": REFRESH_TOKEN_LIFETIME,
            "others": MOST_SESSIONS - 1,
        },
    )
    return _tokens(Caller(**held), refresh_token)


def _adopt(current: database.Connection, parameters: database.Parameters) -> None:
    """Make a session of a good token of the release before, once."""
    current.execute(
        """
        WITH adopted AS (
            DELETE FROM refresh_tokens
             WHERE family_id = (SELECT family_id FROM refresh_tokens
                                 WHERE token_hash = %(presented)s AND used_at IS NULL
                                   AND expires_at > now())
            RETURNING client_id, token_hash
        )
        INSERT INTO sessions (session_hash, client_id, token_hash, logged_in_at, expires_at)
        SELECT %(session_hash)s, client_id, token_hash, 'epoch', now() + %(lifetime)s
          FROM adopted WHERE token_hash = %(presented)s
            ON CONFLICT (session_hash) DO NOTHING
        """,
        parameters,
    )


def _revoke(current: database.Connection, refresh_token: str) -> int:
    """End the session that the token is of; 0 where there is none."""
    row = current.execute(
        """
        WITH ended AS (
            DELETE FROM sessions WHERE session_hash = %(session_hash)s RETURNING 1
        ), of_the_release_before AS (
            DELETE FROM refresh_tokens
             WHERE family_id = (SELECT family_id FROM refresh_tokens WHERE token_hash = %(presented)s)
            RETURNING 1
        )
        SELECT (SELECT count(*) FROM ended) + (SELECT count(*) FROM of_the_release_before) AS ended
        """,
        {"session_hash": _hash(_shared_part(refresh_token)), "presented": _hash(refresh_token)},
    ).fetchone()
    ended: int = row["ended"] if row else 0
    return ended


def _tokens(caller: Caller, refresh_token: str) -> Tokens:
    return Tokens(
        access_token=access_tokens.issue(caller),
        expires_in=access_tokens.LIFETIME,
        refresh_token=refresh_token,
    )


def _shared_part(refresh_token: str) -> str:
    """What all tokens of the session begin with; for one of the release before, made of all of it."""
    if len(refresh_token) == _SHARED_PART + _OWN_PART:
        return refresh_token[:_SHARED_PART]
    return base64.urlsafe_b64encode(_hash(f"session of {refresh_token}")[:16]).rstrip(b"=").decode()


def _successor(shared_part: str, refresh_token: str, key: str) -> str:
    # The text is none that an access token is signed for: those have no spaces.
    own = hmac.digest(key.encode(), f"refresh token after {refresh_token}".encode(), "sha256")
    return shared_part + base64.urlsafe_b64encode(own).rstrip(b"=").decode()


def _hash(token: str) -> bytes:
    # The token is random and long: a plain hash is as good as a slow one.
    return hashlib.sha256(token.encode()).digest()


def _not_good() -> InvalidRefreshToken:
    return InvalidRefreshToken("The refresh token is unknown, expired, revoked or was used before.")
