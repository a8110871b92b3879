"""Starting a session: the log-in."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from shared.accounts import passwords
from shared.accounts.access_tokens import Caller
from shared.accounts.attempts import bounds, guesses
from shared.accounts.models import Tokens
from shared.accounts.sessions import refresh_tokens
from shared.errors import DatabaseUnavailable, InvalidCredentials, SecretUnavailable, TooManyAttempts
from shared.formats.emails import email_key
from shared.platform import database, settings

MAX_ATTEMPTS = (
    2  # at an account during a log-in: another log-in may renew the hash between the first and its end
)
MOST_SESSIONS = 100  # of a client; a log-in ends the least recently used


@dataclass(frozen=True, slots=True)
class _Account:
    client_id: UUID
    email_key: str
    password_hash: str


def log_in(email: str, password: str, *, source_ip: str = "") -> Tokens:
    """Tokens for the client with that e-mail and password.

    Raises TooManyAttempts, and InvalidCredentials after the same time for an unknown e-mail as for a wrong
    password.
    """
    attempts = guesses.of_log_in(email, source_ip)
    wait, is_known = guesses.begin(attempts)
    over_all_accounts = (
        nullcontext()
        if is_known
        else bounds.counted(bounds.FAILED_LOG_INS, source_ip, if_raised=InvalidCredentials)
    )
    try:
        with over_all_accounts:
            tokens = _verified(email, password)
    except InvalidCredentials:
        if wait:
            raise guesses.too_many(wait) from None
        raise
    except (DatabaseUnavailable, SecretUnavailable, TooManyAttempts):
        guesses.take_back(attempts)
        raise
    # After the transaction: otherwise a client deleted meanwhile would leave a known address for 30 days.
    guesses.succeed(attempts)
    return tokens


def _verified(email: str, password: str) -> Tokens:
    """A new session of the client with that e-mail and password. Raises InvalidCredentials."""
    for _ in range(MAX_ATTEMPTS):
        account = database.fetch_one(
            _Account,
            "SELECT client_id, email_key, password_hash FROM clients WHERE email_key = %(email_key)s",
            {"email_key": email_key(email)},
            idempotent=True,
        )
        if not passwords.is_password(password, account.password_hash if account else None) or not account:
            break
        is_outdated = passwords.needs_rehash(account.password_hash, password)
        new_hash = passwords.hash_password(password) if is_outdated else None
        tokens = database.transaction(partial(_begin, account=account, new_hash=new_hash))
        if tokens is not None:
            return tokens
    raise InvalidCredentials("The e-mail or the password is wrong.")


def _begin(current: database.Connection, account: _Account, new_hash: str | None) -> Tokens | None:
    """A session; None if the account was removed, or its e-mail or password changed meanwhile."""
    held = current.execute(
        """
        UPDATE clients SET password_hash = %(new_hash)s
         WHERE client_id = %(client_id)s AND password_hash = %(verified)s AND email_key = %(email_key)s
        RETURNING client_id, role, token_generation,
                  floor(extract(epoch FROM now()))::bigint AS authenticated_at
        """
        if new_hash
        else """
        SELECT client_id, role, token_generation, floor(extract(epoch FROM now()))::bigint AS authenticated_at
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
    refresh_token = refresh_tokens.new()
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
            "session_hash": refresh_tokens.session_hash(refresh_token),
            "client_id": account.client_id,
            "token_hash": refresh_tokens.token_hash(refresh_token),
            "lifetime": min(refresh_tokens.LIFETIME, settings.longest_session()),
            "others": MOST_SESSIONS - 1,
        },
    )
    return refresh_tokens.pair(Caller(**held), refresh_token)
