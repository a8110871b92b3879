"""A database of a given size, filled within minutes: 10 thousand favorites, or 10 million.

Both have the same shape. One product is held by half of all favorites: by clients who hold nothing else. One
client has very many favorites. Each of the others ("shoppers") has 25. Rows lie in the order in which they
would have come, by time and not by client, and ids are spread as random ones are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import md5
from typing import Any, LiteralString, cast
from uuid import UUID

import psycopg

from functions.run_migrations import migrations

Connection = psycopg.Connection[dict[str, Any]]

EACH = 25  # favorites of a shopper
POPULAR = "1"  # the product that half of all favorites are of
CLIENT = 0  # the number of the client with very many favorites; the shoppers' numbers follow
_STEP, _STRIDE = 4_099, 3_989  # primes: no shopper has a product twice


@dataclass(frozen=True)
class Size:
    """How many there are of what."""

    name: str
    shoppers: int
    holders: int
    """Clients whose one favorite is the popular product."""
    large: int
    """Favorites of the one client with very many."""
    products: int

    @property
    def favorites(self) -> int:
        """All of them."""
        return self.shoppers * EACH + self.holders + self.large

    @property
    def clients(self) -> int:
        """All of them."""
        return 1 + self.shoppers + self.holders

    def product_of(self, shopper: int, number: int) -> str:
        """The id of a shopper's favorite of that number; from `EACH` on, of a product that is none yet."""
        return str(2 + (shopper * _STEP + number * _STRIDE) % (self.products - 1))


SMALL = Size("10 thousand", shoppers=100, holders=5_000, large=2_500, products=100_000)
LARGE = Size("10 million", shoppers=198_000, holders=5_000_000, large=50_000, products=100_000)


def client_id(number: int) -> UUID:
    """The id of the client of that number."""
    return UUID(md5(f"client {number}".encode(), usedforsecurity=False).hexdigest())


def fill(connection: Connection, size: Size) -> None:
    """Make the schema and the rows; `connection` is in autocommit, to an empty database."""
    migrations.run(connection)
    connection.execute("SET statement_timeout = 0")
    connection.execute("SET work_mem = '512MB'")
    connection.execute("SET maintenance_work_mem = '1GB'")
    connection.execute("ALTER TABLE favorites DISABLE TRIGGER USER")  # the counts are filled in, too
    with _without_indexes(connection):
        numbers = {
            "shoppers": size.shoppers,
            "holders": size.holders,
            "large": size.large,
            "products": size.products,
            "each": EACH,
            "step": _STEP,
            "stride": _STRIDE,
        }
        for statement in (_PRODUCTS, _CLIENTS, _FAVORITES):
            connection.execute(statement, numbers)
    connection.execute("ALTER TABLE favorites ENABLE TRIGGER USER")
    connection.execute("VACUUM (ANALYZE)")
    connection.execute("RESET statement_timeout")


def bring_into_memory(connection: Connection) -> None:
    """Read each table and each index once, as days of requests would."""
    connection.execute("SET max_parallel_workers_per_gather = 0")
    indexes = connection.execute(
        """
        SELECT relname, regexp_replace(definition, '^.* USING btree \\((.*?)\\)( WHERE (.*))?$', '\\1') AS by,
               coalesce(pg_get_expr(indpred, indrelid), 'true') AS condition
          FROM (SELECT *, pg_get_indexdef(indexrelid) AS definition FROM pg_index) AS pg_index
          JOIN pg_class ON pg_class.oid = indrelid
         WHERE relname IN ('clients', 'favorites', 'products')
        """
    ).fetchall()
    for table in {row["relname"] for row in indexes}:
        connection.execute(f"SELECT count(*) FROM {table}".encode())  # noqa: S608 — ours
    connection.execute("SET enable_seqscan = off")
    connection.execute("SET enable_bitmapscan = off")
    for row in indexes:
        ordered = f"SELECT FROM {row['relname']} WHERE {row['condition']} ORDER BY {row['by']}"
        connection.execute(f"SELECT count(*) FROM ({ordered}) AS ordered".encode())  # noqa: S608
    connection.execute("RESET ALL")


# As long as the sample catalog's products are on average.
_PRODUCTS: LiteralString = """
INSERT INTO products (product_id, title, price, description, category, image, review_rate, review_count,
                      position, version, fetched_at)
SELECT n::text, 'Product ' || n || ' with a title as long as titles are', n %% 9000 + 9.95,
       repeat('As good as any that was ever described at the length which shops use. ', 4),
       (ARRAY['kitchen', 'garden', 'tools', 'electronics'])[n %% 4 + 1],
       'https://images.example.com/products/' || n || '/front-1200x1200.jpg',
       1 + n %% 40 / 10.0, n %% 500, n * 1024, 1, now() - interval '1 hour'
  FROM generate_series(1, %(products)s) AS n
"""

# The hash is as long as one of Argon2id is; nobody logs in.
_CLIENTS: LiteralString = """
INSERT INTO clients (client_id, name, email, email_key, password_hash, created_at, updated_at,
                     favorites_count, favorites_revision)
SELECT md5('client ' || n)::uuid, 'Client ' || n, 'client' || n || '@example.com',
       'client' || n || '@example.com', repeat('x', 97), moment, moment,
       CASE WHEN n = 0 THEN %(large)s WHEN n <= %(shoppers)s THEN %(each)s ELSE 1 END, 1
  FROM (SELECT n, now() - interval '2 years' + n * interval '1 second' AS moment
          FROM generate_series(0, %(shoppers)s + %(holders)s) AS n) AS made
"""

_FAVORITES: LiteralString = """
INSERT INTO favorites (client_id, product_id, favorited_at, price_when_favorited)
SELECT md5('client ' || client)::uuid, product::text,
       now() - interval '1 hour' - random() * interval '365 days', product %% 9000 + 9.95
  FROM (SELECT 0 AS client, 1 + n AS product FROM generate_series(1, %(large)s) AS n
         UNION ALL
        SELECT n, 2 + (n::bigint * %(step)s + k * %(stride)s) %% (%(products)s - 1)
          FROM generate_series(1, %(shoppers)s) AS n, generate_series(0, %(each)s - 1) AS k
         UNION ALL
        SELECT n, 1 FROM generate_series(%(shoppers)s + 1, %(shoppers)s + %(holders)s) AS n) AS held
 ORDER BY 3
"""


@contextmanager
def _without_indexes(connection: Connection) -> Iterator[None]:
    """Take indexes and constraints away and make them again afterwards: much quicker than row by row."""
    constraints = connection.execute(
        """
        SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) AS drop,
               format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname,
                      pg_get_constraintdef(oid)) AS make
          FROM pg_constraint
         WHERE connamespace = 'public'::regnamespace AND contype IN ('f', 'p', 'u')
         ORDER BY contype = 'f' DESC
        """
    ).fetchall()
    indexes = connection.execute(
        """
        SELECT format('DROP INDEX %s', indexrelid::regclass) AS drop, pg_get_indexdef(indexrelid) AS make
          FROM pg_index
          JOIN pg_class ON pg_class.oid = indrelid
         WHERE relnamespace = 'public'::regnamespace
           AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
        """
    ).fetchall()
    for row in (*constraints, *indexes):
        connection.execute(cast("LiteralString", row["drop"]))
    yield
    for row in (*reversed(constraints), *indexes):
        connection.execute(cast("LiteralString", row["make"]))
