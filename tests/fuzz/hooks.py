"""What Schemathesis loads beside the document: who its requests are from.

FUZZ_URL is the service, FUZZ_DATABASE_URL its database, FUZZ_CALLER who asks: `client` or `admin`.
"""

import os
import secrets
from typing import Any

import httpx
import psycopg
import schemathesis

_PASSWORD = "correct horse battery"


@schemathesis.auth(refresh_interval=600)  # seconds; an access token is good for 900
class Account:
    """A new account, and another whenever the requests have removed it: then they are answered 401."""

    def get(self, _case: Any, _context: Any) -> str:
        account = {"email": f"fuzz.{secrets.token_hex(8)}@example.com", "password": _PASSWORD}
        with httpx.Client(base_url=os.environ["FUZZ_URL"], timeout=30) as http:
            http.post("/clients", json={"name": "Ana Souza", **account}).raise_for_status()
            if os.environ["FUZZ_CALLER"] == "admin":
                _promote(account["email"])  # no route makes admins
            token: str = http.post("/auth/login", json=account).raise_for_status().json()["access_token"]
        return token

    def set(self, case: Any, token: str, _context: Any) -> None:
        """Send it."""
        case.headers["Authorization"] = f"Bearer {token}"


def _promote(email: str) -> None:
    with psycopg.connect(os.environ["FUZZ_DATABASE_URL"], autocommit=True) as connection:
        connection.execute("UPDATE clients SET role = 'admin' WHERE email = %(email)s", {"email": email})
