"""The roles that the functions log in as: each can do its functions' work, and nothing else."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from psycopg.errors import InsufficientPrivilege

from functions.warm_product_cache.handler import lambda_handler as poll
from local.servers.valkey import Valkey
from shared.accounts.sessions import expired, starts
from shared.events import outbox_relay
from shared.favorites import alert_jobs, alerts, items
from shared.favorites.models import Alert, FavoriteUpdate
from shared.formats.etags import NO_PRECONDITIONS
from shared.platform import database
from shared.platform.database import Connection
from tests.hostile_catalog import Answer, HostileCatalog, product
from tests.integration import accounts
from tests.integration.accounts import PASSWORD
from tests.integration.catalog_messages import changed_product, deliver, removed
from tests.integration.database_roles import CATALOG, OWNER, ROLE_OF, SERVICE
from tests.integration.deploy.conftest import Cluster
from tests.unit.needs import needs

GRANTS = {path.stem for path in Path(__file__).parents[3].glob("functions/run_migrations/grants/*.sql")}
T = 1_795_000_000_000  # a version of today
UNGRANTED = {"schema_migrations"}  # the owner's own


# ── What each may: its functions' work ────────────────────────────────────────────────────────────────────


Become = Callable[[str], None]


@pytest.fixture
def become(deployed: Cluster, environment: pytest.MonkeyPatch) -> Become:
    """Let the environment's connection be the role's."""

    def become(role: str) -> None:
        database.close()
        environment.setenv("DATABASE_URL", deployed.url(role))

    return become


class Scene:
    """Product 7 in the copy, and Ana, who holds it and is logged in."""

    def __init__(self, owner: Connection, catalog: HostileCatalog, valkey: Valkey, become: Become) -> None:
        self.owner = owner
        self.catalog = catalog
        self.valkey = valkey
        become(SERVICE)
        client = accounts.register("Ana", "ana@example.com")
        self.ana = accounts.caller(client)
        self.session = starts.log_in("ana@example.com", PASSWORD)
        become(CATALOG)
        assert deliver(changed_product(T, 7)) == []
        become(SERVICE)
        items.add(self.ana, "7")

    def events(self) -> set[str]:
        """The kinds of event that wait in the outbox."""
        return {row["detail_type"] for row in self.owner.execute("SELECT detail_type FROM outbox")}

    def lists(self, *products: dict[str, object]) -> None:
        """The catalog has these now."""
        self.catalog.answer("/products", Answer.json(list(products)))


def refresh_product_cache(scene: Scene) -> None:
    assert deliver(changed_product(T + 1, 7, price=1), changed_product(T, 9), removed(T + 1, "9")) == []
    assert deliver(removed(T + 2, "7"), removed(T, "never-known"), changed_product(T + 3, 7)) == []
    told = {f"FavoriteProduct{turn}" for turn in ("PriceDropped", "Removed", "Restored")}
    assert told <= scene.events()


def warm_product_cache(scene: Scene) -> None:
    scene.owner.execute("UPDATE products SET version = 1")
    scene.lists(product(7, price=1), product(8))
    assert poll({"source": "aws.scheduler"}, None)["changed"] == 2
    scene.owner.execute("UPDATE products SET version = 1")
    scene.lists(product(8))
    assert poll({}, None)["changed"] == 0
    assert poll({}, None)["changed"] == 1
    assert {"FavoriteProductPriceDropped", "FavoriteProductRemoved"} <= scene.events()


def publish_events(scene: Scene) -> None:
    assert outbox_relay.relay(lambda entries: [True] * len(entries)).sent
    assert scene.events() == set()
    scene.owner.execute("UPDATE sessions SET expires_at = now()")
    assert expired.purge_expired_sessions() == 1


def send_alerts(scene: Scene) -> None:
    alert = FavoriteUpdate(alert=Alert(percent_off=10))
    alerts.update(scene.ana, "7", alert, NO_PRECONDITIONS)
    assert deliver(changed_product(T + 1, 7, price=1)) == []  # requests may find a lower price, too
    assert alert_jobs.send() == alert_jobs.Sent(events=1, recipients=1)


# What functions without a route do; the tests of routes run as the roles of theirs.
WORK: dict[str, Callable[[Scene], None]] = {
    work.__name__: work for work in (refresh_product_cache, warm_product_cache, publish_events, send_alerts)
}


def test_every_function_has_its_role_and_is_tried_as_it() -> None:
    routes = {
        path.stem.removeprefix("test_") for path in Path(__file__).parents[1].glob("routes/**/test_*.py")
    }
    connecting = {folder for folder in ROLE_OF if "DATABASE_CREDENTIALS" in needs(folder).secrets}
    assert {folder for folder in connecting if ROLE_OF[folder] == OWNER} == {"run_migrations"}
    assert connecting - {"run_migrations"} <= routes | WORK.keys()
    assert set(ROLE_OF.values()) == {*GRANTS, OWNER}


@pytest.fixture
def scene(
    deployed: Cluster,
    catalog: HostileCatalog,
    valkey: Valkey,
    environment: pytest.MonkeyPatch,
    become: Become,
) -> Iterator[Scene]:
    environment.setenv("EVENT_BUS_NAME", "favorites-events")
    with deployed.connect(OWNER) as owner:
        yield Scene(owner, catalog, valkey, become)
    database.close()


@pytest.mark.parametrize("function", WORK)
def test_a_function_can_do_its_work_as_its_role(scene: Scene, become: Become, function: str) -> None:
    become(ROLE_OF[function])
    WORK[function](scene)
    assert database.connection().info.user == ROLE_OF[function]


# ── What each may not ─────────────────────────────────────────────────────────────────────────────────────

NOT_FOR_ANY = [
    "CREATE TABLE mine ()",
    "CREATE TEMPORARY TABLE mine ()",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION mine() RETURNS integer LANGUAGE sql RETURN 1",
    "CREATE INDEX ON products (image)",
    "ALTER TABLE products ADD COLUMN mine text",
    "ALTER TABLE products OWNER TO CURRENT_USER",
    "DROP TABLE products",
    "DROP TABLE clients CASCADE",
    "DROP FUNCTION rfc3339(timestamptz)",
    "TRUNCATE products CASCADE",
    "TRUNCATE outbox",
    "DELETE FROM products",
    "INSERT INTO product_list (generation) VALUES (1)",
    "DELETE FROM product_list",
    "UPDATE favorites SET price_when_favorited = 0",
    "UPDATE outbox SET detail = '{}'",
    "INSERT INTO outbox (event_id, stream, detail_type, detail) VALUES (gen_random_uuid(), '', '', '{}')",
    "SELECT nextval('outbox_outbox_id_seq')",
    "SELECT setval('outbox_outbox_id_seq', 1)",
    "SELECT * FROM schema_migrations",
    "DELETE FROM schema_migrations",
    "CREATE ROLE mine",
    "CREATE DATABASE mine",
    "ALTER ROLE CURRENT_USER CREATEROLE",
    "COPY products TO PROGRAM 'true'",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT rolpassword FROM pg_authid",
]
NOT_FOR = {
    SERVICE: [
        "UPDATE clients SET role = 'admin'",
        "UPDATE clients SET client_id = gen_random_uuid()",
        "INSERT INTO clients (name, email, email_key, password_hash, role) VALUES ('', '', '', '', 'admin')",
        "UPDATE sessions SET logged_in_at = now()",
        "UPDATE sessions SET client_id = client_id",
        "TRUNCATE clients CASCADE",
        "TRUNCATE sessions",
    ],
    CATALOG: [
        "SELECT password_hash FROM clients",
        "SELECT count(*) FROM clients",
        "INSERT INTO clients (name, email, email_key, password_hash) VALUES ('', '', '', '')",
        "UPDATE clients SET name = ''",
        "DELETE FROM clients",
        "SELECT token_hash FROM sessions",
        "INSERT INTO sessions VALUES ('', gen_random_uuid(), '', '', now(), now(), now())",
        "DELETE FROM sessions",
        "SELECT client_id FROM favorites",
        "INSERT INTO favorites VALUES (gen_random_uuid(), '7', now(), 1)",
        "DELETE FROM favorites",
        "SELECT detail FROM outbox",
        "DELETE FROM outbox",
    ],
}


@pytest.mark.parametrize("role", NOT_FOR)
def test_a_role_is_refused_what_is_not_its_work(deployed: Cluster, role: str) -> None:
    done = []
    with deployed.connect(role) as connection:
        connection.execute("SELECT FROM products")
        for statement in (*NOT_FOR_ANY, *NOT_FOR[role], f'SET ROLE "{deployed.name}"'):
            with suppress(InsufficientPrivilege):
                connection.execute(statement)
                done.append(statement)
    assert done == []


def test_the_roles_own_nothing_are_members_of_nothing_and_have_no_attributes(deployed: Cluster) -> None:
    owned = deployed.superuser.execute(
        """
        SELECT FROM pg_shdepend JOIN pg_roles ON pg_roles.oid = refobjid
         WHERE deptype = 'o' AND rolname = ANY (%s)
        """,
        [[SERVICE, CATALOG]],
    )
    assert owned.rowcount == 0
    memberships = deployed.superuser.execute(
        "SELECT FROM pg_auth_members JOIN pg_roles ON pg_roles.oid = member WHERE rolname = ANY (%s)",
        [[SERVICE, CATALOG]],
    )
    assert memberships.rowcount == 0
    attributes = deployed.superuser.execute(
        """
        SELECT DISTINCT rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls
          FROM pg_roles WHERE rolname = ANY (%s)
        """,
        [[SERVICE, CATALOG]],
    ).fetchall()
    assert attributes == [(True, False, False, False, False, False)]


def without_grants(owner: Connection) -> set[str]:
    """The tables of which neither role may do anything."""
    rows = owner.execute(
        """
        SELECT tablename
          FROM pg_tables
         WHERE schemaname = 'public'
           AND NOT EXISTS (
               SELECT FROM unnest(%(roles)s::text[]) AS role
                WHERE has_any_column_privilege(role, quote_ident(tablename), 'SELECT, INSERT, UPDATE')
                   OR has_table_privilege(role, quote_ident(tablename), 'DELETE'))
        """,
        {"roles": sorted(GRANTS)},
    )
    return {row["tablename"] for row in rows}


def test_every_table_is_granted_to_a_role(deployed: Cluster) -> None:
    with deployed.connect(OWNER) as owner:
        assert without_grants(owner) == UNGRANTED, "grant it in functions/run_migrations/grants/"
        owner.execute("CREATE TABLE forgotten (number integer)")
        assert without_grants(owner) == {*UNGRANTED, "forgotten"}


def test_the_owner_may_do_everything_still(deployed: Cluster) -> None:
    with deployed.connect(OWNER) as owner:
        assert owner.execute("SELECT FROM clients").rowcount == 0
        owner.execute("CREATE TEMPORARY TABLE mine (number integer)")
