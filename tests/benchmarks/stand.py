"""What the benchmarks of functions run against: real servers, with TLS where it is asked for, and a client.

Both stacks find there what they are asked for: products in the copy and in the cache, a client with a
password, favorites, and the events that ask for all of it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import certifi
import psycopg
import redis
from argon2 import PasswordHasher
from psycopg.rows import dict_row

from functions.run_migrations import migrations
from local.servers.backing import BackingServices
from local.servers.services import Startable
from shared.accounts import passwords
from shared.platform import database
from shared.products import demand
from tests.benchmarks import built
from tests.benchmarks.tls import Tls
from tests.calls import token

Event = dict[str, Any]

_AUTHORITIES = built.ROOT / "shared" / "platform" / "authorities"

CREDENTIALS = {"email": "ana@example.com", "password": "correct horse battery"}
PRODUCT = "7"


class Stand(Startable):
    """The servers of a run. After start(), `plain` and `tls` are settings for functions of either stack.

    `our_tls` is for ours, which trust whom they do on AWS and the authority of this run; the other stack
    trusts whom a system does.
    """

    def __init__(self) -> None:
        self._running = ExitStack()
        self.plain: dict[str, str] = {}
        self.tls: dict[str, str] = {}
        self.our_tls: dict[str, str] = {}
        self.client_id = UUID(int=0)

    def start(self) -> None:
        """Start the servers and fill them."""
        folder = Path(self._running.enter_context(tempfile.TemporaryDirectory()))
        self.backing = self._running.enter_context(BackingServices(data=folder, settings={}, log=print))
        self.plain = self.backing.settings | {"ORIGINAL_KEY": "a secret that is longer than 32 bytes"}
        os.environ.update(self.plain)
        ports = [urlsplit(self.plain[name]).port or 0 for name in ("DATABASE_URL", "REDIS_URL")]
        tls = self._running.enter_context(Tls(folder, *ports))
        database_url = self.plain["DATABASE_URL"].replace(f":{ports[0]}/", f":{tls.postgres}/")
        self.tls = self.plain | {
            "DATABASE_URL": f"{database_url}?sslmode=verify-full&sslrootcert={tls.authority}",
            "REDIS_URL": f"rediss://127.0.0.1:{tls.valkey}/0",
            "SSL_CERT_FILE": str(_together(folder / "system.pem", Path(certifi.where()), tls.authority)),
        }
        database_authorities = _together(
            folder / "rds.pem", _AUTHORITIES / "rds" / "us-east-1.pem", tls.authority
        )
        cache_authorities = _together(folder / "cache.pem", _AUTHORITIES / "amazon_roots.pem", tls.authority)
        self.our_tls = self.tls | {
            "DATABASE_URL": f"{database_url}?sslmode=verify-full&sslrootcert={database_authorities}",
            "SSL_CERT_FILE": str(cache_authorities),
        }
        self.db: psycopg.Connection[dict[str, Any]] = self._running.enter_context(
            psycopg.connect(self.plain["DATABASE_URL"], autocommit=True, row_factory=dict_row)
        )
        self.cache = self._running.enter_context(redis.Redis.from_url(self.plain["REDIS_URL"]))
        with redirect_stdout(sys.stderr):  # the log of what happens in this process
            self._fill()

    def stop(self) -> None:
        """Stop the servers and forget their data."""
        self._running.close()

    def event(self, function: str, *, again: bool = True) -> Event:
        """The function's sample event, asked by the client; what it makes is not there yet.

        `again` makes room for it: another e-mail, or a favorite that is taken away.
        """
        made = sample(function)
        if "authorization" in made["headers"]:
            made["headers"]["authorization"] = token(self.client_id, "admin")
        if function == "login":
            made["body"] = json.dumps(CREDENTIALS)
        if function == "create_client":
            body = json.loads(made["body"]) | {"email": f"c{time.time_ns()}@example.com"}
            made["body"] = json.dumps(body)
        if function == "create_favorite" and again:
            self.db.execute(
                "DELETE FROM favorites WHERE product_id = %s", [json.loads(made["body"])["product_id"]]
            )
        return made

    def original(self, route: str) -> Event:
        """The same for the other stack: the event of one of ours that asks for the same."""
        made = sample(route)
        made["headers"] |= {"client-id": str(self.client_id)}
        if route == "login":
            made["body"] = json.dumps(CREDENTIALS)
        return made

    def _fill(self) -> None:
        migrations.run(self.db)
        self.db.execute((built.HERE / "original" / "tables.sql").read_text())
        password = CREDENTIALS["password"]
        row = self.db.execute(
            """
            INSERT INTO clients (name, email, email_key, password_hash, role)
            VALUES ('Ana', %(email)s, %(email)s, %(hash)s, 'admin') RETURNING client_id
            """,
            {"email": CREDENTIALS["email"], "hash": passwords.hash_password(password)},
        ).fetchone()
        assert row is not None
        self.client_id = row["client_id"]
        demand.detail(PRODUCT)
        page = demand.page(limit=20, cursor=None, category=None, sort=sample_sort())
        database.close()
        mine = {"client_id": self.client_id, "text": str(self.client_id)}
        self.db.execute(
            """
            INSERT INTO favorites (client_id, product_id, price_when_favorited)
            SELECT %(client_id)s, product_id, price FROM products
            """,
            mine,
        )
        self.db.execute(
            """
            INSERT INTO original_favorites (client_id, product_id)
            SELECT %(text)s, product_id FROM products
            """,
            mine,
        )
        self.db.execute(
            "INSERT INTO original_clients (email, password_hash) VALUES (%(email)s, %(hash)s)",
            {
                "email": CREDENTIALS["email"],
                "hash": PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1).hash(password),
            },
        )
        self.db.execute("ANALYZE")
        for key, entry in ((PRODUCT, demand.detail(PRODUCT)), ("page:20", page)):
            self.cache.set(f"original:{key}", entry.entry.body)
        database.close()


def sample(function: str) -> Event:
    """The function's sample event."""
    event: Event = json.loads((built.ROOT / "events" / f"{function}.json").read_text())
    return event


def sample_sort() -> str | None:
    """The order that the sample event of the product list asks for."""
    sort: str | None = (sample("list_products").get("queryStringParameters") or {}).get("sort")
    return sort


def _together(made: Path, *authorities: Path) -> Path:
    made.write_bytes(b"".join(path.read_bytes() for path in authorities))
    return made
