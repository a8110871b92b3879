"""Secrets that are made once and kept, and which password the admin of a database has."""

import json
import secrets
from collections.abc import Iterable
from pathlib import Path

import psycopg

from local.servers import private_file
from shared.accounts import passwords
from shared.formats.emails import email_key


class Secrets:
    """The key of access tokens and the admin's password, kept in a file so that both survive a restart."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if path.exists():
            kept = json.loads(path.read_text())
            self._key, self.admin_password = kept["access_token_key"], kept["admin_password"]
        else:
            self._key = secrets.token_hex(32)
            self.keep_admin_password(secrets.token_urlsafe(12))

    @property
    def access_token_keys(self) -> str:
        """The ACCESS_TOKEN_KEYS."""
        return json.dumps({"local": self._key})

    def keep_admin_password(self, password: str) -> None:
        """Store the password that the admin was created with."""
        self.admin_password = password
        kept = {"access_token_key": self._key, "admin_password": password}
        private_file.write(self._path, json.dumps(kept))


def working_password(database_url: str, email: str, candidates: Iterable[str | None]) -> str | None:
    """Return the candidate with which this admin can log in, None when there is none."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT password_hash FROM clients WHERE email_key = %(email_key)s AND role = 'admin'",
            {"email_key": email_key(email)},
        ).fetchone()
    if row is None:
        return None
    return next((each for each in candidates if each and passwords.is_password(each, row[0])), None)
