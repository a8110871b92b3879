"""What is held about a client is what the export shows, and what a removal erases."""

import json
import uuid
from typing import Any, LiteralString

import psycopg
import pytest
import redis
from psycopg import sql

from local.servers.valkey import Valkey
from shared.accounts import exports, passwords, removal
from shared.accounts.access_tokens import Caller
from shared.accounts.attempts import guesses
from shared.accounts.exports import Export
from shared.accounts.sessions import starts
from shared.errors import InvalidToken, UnknownClient
from shared.events import outbox_relay
from shared.favorites import alerts, items, shares
from shared.favorites.models import Alert, FavoriteUpdate, NewShare
from shared.formats.etags import NO_PRECONDITIONS
from shared.platform import database
from tests.integration import accounts
from tests.integration.accounts import PASSWORD

pytestmark = pytest.mark.usefixtures("environment", "catalog")

EMAIL = "ana.export@example.com"
# Columns that an export leaves out, each with its reason.
NOT_SHOWN = {
    ("clients", "password_hash"),  # hashes, of what only the client knows
    ("sessions", "session_hash"),
    ("sessions", "token_hash"),
    ("sessions", "previous_hash"),
    ("sessions", "client_id"),  # whose it is says the row of `clients`
    ("favorites", "client_id"),
    ("favorite_alerts", "client_id"),
    ("shares", "client_id"),
    ("shares", "token"),  # who has it reads the list
    ("outbox", "outbox_id"),  # the order among the events of all clients
    ("outbox", "stream"),  # the client's id once more
    ("outbox_refused", "outbox_id"),  # as in outbox
    ("outbox_refused", "stream"),
}


@pytest.fixture
def ana(db: psycopg.Connection) -> Caller:
    """Somebody of whom every table and Valkey hold something."""
    client = accounts.register("Ana Export", EMAIL)
    starts.log_in(EMAIL, PASSWORD, source_ip="203.0.113.24")
    items.add(accounts.caller(client), "1")
    items.add(accounts.caller(client), "2")
    shares.create(accounts.caller(client), NewShare(title="Birthday"))
    alert = FavoriteUpdate(alert=Alert(percent_off=10))
    alerts.update(accounts.caller(client), "1", alert, NO_PRECONDITIONS)
    db.execute(
        """
        INSERT INTO outbox_refused (outbox_id, event_id, stream, detail_type, detail, created_at, reason)
        SELECT outbox_id + 1000, event_id, stream, detail_type, detail, created_at, 'too large'
          FROM outbox LIMIT 1
        """
    )
    guesses.begin(guesses.of_current_password(client.client_id, "203.0.113.24"))
    return accounts.now(db, client.client_id)


def tables_that_know_clients(db: psycopg.Connection) -> set[str]:
    """Those with a column for a client, and those in which one is found anywhere."""
    rows = db.execute(
        """
        SELECT conrelid::regclass::text FROM pg_constraint
         WHERE contype = 'f' AND confrelid = 'clients'::regclass
         UNION
        SELECT table_name::text FROM information_schema.columns
         WHERE table_schema = 'public' AND column_name IN ('client_id', 'email')
        """
    ).fetchall()
    return {name for (name,) in rows}


def tables_with(db: psycopg.Connection, *texts: str) -> set[str]:
    """The tables that have one of the texts in any column of any row."""
    names = [name for (name,) in db.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    found = set()
    for name in names:
        query = sql.SQL("SELECT count(*) FROM {table} AS held WHERE held::text ILIKE ANY (%s)")
        row = db.execute(
            query.format(table=sql.Identifier(name)), [[f"%{text}%" for text in texts]]
        ).fetchone()
        if row and row[0]:
            found.add(name)
    return found


def columns(db: psycopg.Connection, table: str) -> set[str]:
    rows = db.execute(
        "SELECT column_name::text FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name = %s",
        [table],
    )
    return {name for (name,) in rows}


def exported(caller: Caller) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(exports.export(caller, "me").text)
    return shown


def assert_export_knows_every_table(db: psycopg.Connection, caller: Caller) -> None:
    shown = exported(caller)
    held = tables_that_know_clients(db) | tables_with(db, str(caller.client_id), EMAIL)
    assert held == shown.keys() - {"exported_at"}, "a table that knows a client is not in the export"
    for table in held:
        assert shown[table], f"the test holds nothing of the client in {table}"
        left_out = {column for name, column in NOT_SHOWN if name == table}
        assert shown[table][0].keys() | left_out == columns(db, table), f"a column of {table}"


def keys_of_attempts(server: redis.Redis) -> list[object]:
    return [*server.scan_iter("login:*"), *server.scan_iter("password:*")]


def test_export_shows_what_a_removal_erases(
    environment: pytest.MonkeyPatch, db: psycopg.Connection, valkey: Valkey, ana: Caller
) -> None:
    environment.setenv("EVENT_BUS_NAME", "taken by the test")
    assert_export_knows_every_table(db, ana)
    with redis.Redis.from_url(valkey.url) as server:
        assert len(keys_of_attempts(server)) == 2
        removal.remove(ana, "me")
        # Events are on their way: that the client was removed is the last one, and then nothing is left.
        assert tables_with(db, str(ana.client_id), EMAIL, "Ana Export") == {"outbox"}
        outbox_relay.relay(lambda entries: [True] * len(entries))
        assert tables_with(db, str(ana.client_id), EMAIL, "Ana Export") == set()
        assert keys_of_attempts(server) == []


def test_removal_while_the_client_changes_the_email_leaves_no_counts_behind(
    db: psycopg.Connection, valkey: Valkey, ana: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = accounts.new_admin(db)

    def is_password(_password: str, _hash: str | None) -> bool:
        removal.remove(admin, ana.client_id)
        return True

    monkeypatch.setattr(passwords, "is_password", is_password)
    with pytest.raises(InvalidToken):
        accounts.change(ana, email="other@example.com", current_password=PASSWORD)
    with redis.Redis.from_url(valkey.url) as server:
        assert not keys_of_attempts(server)


@pytest.mark.parametrize(
    ("change", "undo", "noticed"),
    [
        ("CREATE TABLE wishes (client_id uuid)", "DROP TABLE wishes", "a table that knows a client"),
        (
            "CREATE TABLE visits AS SELECT email AS visitor FROM clients",
            "DROP TABLE visits",
            "a table that knows a client",
        ),
        ("ALTER TABLE clients ADD born date", "ALTER TABLE clients DROP born", "a column of clients"),
    ],
)
def test_check_above_notices_a_new_table_or_column(
    db: psycopg.Connection, ana: Caller, change: LiteralString, undo: LiteralString, noticed: str
) -> None:
    db.execute(change)
    try:
        with pytest.raises(AssertionError, match=noticed):
            assert_export_knows_every_table(db, ana)
    finally:
        db.execute(undo)


def test_export_is_what_its_model_says_and_holds_no_hash(db: psycopg.Connection, ana: Caller) -> None:
    text = exports.export(ana, "me").text
    assert Export.model_validate_json(text).clients[0].email == EMAIL
    for table, column in NOT_SHOWN:
        if "hash" in column:
            query = sql.SQL("SELECT {}::text FROM {}").format(sql.Identifier(column), sql.Identifier(table))
            for (held,) in db.execute(query):
                assert not held or held.removeprefix("\\x") not in text


def test_export_is_of_this_client_alone(db: psycopg.Connection, ana: Caller) -> None:
    ben = accounts.caller(accounts.register("Ben", "ben@example.com"))
    items.add(ben, "3")
    assert [favorite["product_id"] for favorite in exported(ana)["favorites"]] == ["1", "2"]
    assert "ben@example.com" not in exports.export(ana, "me").text
    assert json.loads(exports.export(accounts.new_admin(db), ben.client_id).text)["favorites"]
    with pytest.raises(UnknownClient):
        exports.export(accounts.new_admin(db), uuid.uuid4())


def test_export_shows_the_oldest_of_very_many_events_by_an_index(db: psycopg.Connection, ana: Caller) -> None:
    db.execute("DELETE FROM outbox")
    db.execute(
        """
        INSERT INTO outbox (stream, detail_type, detail)
        SELECT CASE WHEN n % 10 = 0 THEN 'client:' || %s::uuid ELSE 'product:' || n END,
               'Numbered', json_build_object('number', n / 10)
          FROM generate_series(1, 20000) AS n
         ORDER BY n
        """.replace("% 10", "%% 10"),
        [ana.client_id],
    )
    db.execute("ANALYZE outbox")
    used = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'outbox_by_stream'"
    [(before,)] = db.execute(used).fetchall()
    shown = exported(ana)["outbox"]
    assert [event["detail"]["number"] for event in shown] == [*range(1, exports.MOST_EVENTS + 1)]
    database.connection().execute("SELECT pg_stat_force_next_flush()")
    [(after,)] = db.execute(used).fetchall()
    assert after > before


def test_five_thousand_favorites_fit_into_an_answer_of_lambda(db: psycopg.Connection, ana: Caller) -> None:
    db.execute(
        """
        INSERT INTO products (product_id, title, price, description, category, image, version, fetched_at)
        SELECT rpad(n::text, 64, '-'), '', 12345678.99, '', '', '', 1, now()
          FROM generate_series(1, 5000) AS n
        """
    )
    db.execute(
        """
        INSERT INTO favorites (client_id, product_id, price_when_favorited)
        SELECT %s, product_id, price FROM products WHERE length(product_id) = 64
        """,
        [ana.client_id],
    )
    assert len(exports.export(ana, "me").text.encode()) < 2_000_000  # of 6 MB
