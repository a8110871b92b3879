"""The roles that the functions log in as: each can do its functions' work, and nothing else."""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from argon2 import PasswordHasher
from psycopg import sql
from psycopg.errors import InsufficientPrivilege
from psycopg.rows import dict_row

from functions.run_migrations import handler, migrations, roles
from functions.run_migrations.migrations import Migration
from functions.warm_product_cache.handler import lambda_handler as poll
from local.servers.postgres import Postgres
from local.servers.valkey import Valkey
from shared import health
from shared.accounts import clients, expired_sessions, exports, sessions
from shared.accounts.access_tokens import Caller
from shared.accounts.models import ClientChanges
from shared.errors import AlreadyFavorite, EmailTaken, InvalidRefreshToken, NotFavorite, UnknownProduct
from shared.events import outbox_relay
from shared.favorites import bulk, ids, items, listing
from shared.favorites.models import FavoriteChanges, Mark
from shared.platform import database
from shared.platform.database import Connection
from shared.platform.settings import MissingSetting
from shared.products import demand
from tests.hostile_catalog import Answer, HostileCatalog, product
from tests.integration import accounts, concurrency
from tests.integration.accounts import PASSWORD
from tests.integration.catalog_messages import changed_product, deliver, removed
from tests.unit.documents.test_names import TEMPLATE, variables
from tests.unit.needs import needs

FOLDERS = {path.parent.name for path in Path(__file__).parents[3].glob("functions/*/handler.py")}
GRANTS = {path.stem for path in Path(__file__).parents[3].glob("functions/run_migrations/grants/*.sql")}

GLOBAL_VARIABLES = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
SERVICE, CATALOG, OWNER = "favorites_service", "favorites_catalog", "the owner"
OF_SECRET = {"ServiceCredentials": SERVICE, "CatalogCredentials": CATALOG}  # template.yaml, Secrets
WITHOUT_DATABASE = {folder for folder in FOLDERS if "DATABASE_CREDENTIALS" not in needs(folder).secrets}


def role_of(folder: str) -> str:
    """Who a function logs in as: the template says it, for all or for this one."""
    secret = (GLOBAL_VARIABLES | variables(folder))["DATABASE_CREDENTIALS"]
    return OF_SECRET.get(secret.get("Ref"), OWNER)


ROLE_OF = {folder: role_of(folder) for folder in FOLDERS}

T = 1_795_000_000_000  # a version of today
UNGRANTED = {"schema_migrations"}  # the owner's own
PASSWORDS = {SERVICE: "the service's fine 'password' % ", CATALOG: 'the catalog\'s \\ "password" é'}


# ── A cluster like RDS's ──────────────────────────────────────────────────────────────────────────────────


@dataclass
class Cluster:
    """A database whose owner is what RDS's master is: no superuser, but they may make roles."""

    host: str
    superuser: psycopg.Connection
    name: str = field(default_factory=lambda: f"rds_{uuid.uuid4().hex}")

    def url(self, role: str, password: str | None = None) -> str:
        """The database's address for the role, with the password that it was given."""
        if role == OWNER:
            return f"postgresql://{self.name}:{self.name}@{self.host}/{self.name}"
        quoted = "".join(f"%{byte:02x}" for byte in (password or PASSWORDS[role]).encode())
        return f"postgresql://{role}:{quoted}@{self.host}/{self.name}"

    def connect(self, role: str, password: str | None = None) -> Connection:
        return psycopg.connect(self.url(role, password), autocommit=True, row_factory=dict_row)

    def make(self) -> None:
        name = sql.Identifier(self.name)
        self.superuser.execute(
            sql.SQL("CREATE ROLE {} LOGIN CREATEROLE CREATEDB PASSWORD {}").format(name, self.name)
        )
        self.superuser.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, name))

    def remove(self) -> None:
        name = sql.Identifier(self.name)
        self.superuser.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        for role in (SERVICE, CATALOG):
            self.superuser.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))
        self.superuser.execute(sql.SQL("DROP ROLE {}").format(name))


@pytest.fixture
def cluster(postgres: Postgres) -> Iterator[Cluster]:
    address = urlsplit(postgres.start())
    superuser = f"postgresql://postgres:{address.password}@{address.hostname}:{address.port}/postgres"
    with psycopg.connect(superuser, autocommit=True) as connection:
        cluster = Cluster(f"{address.hostname}:{address.port}", connection)
        cluster.make()
        yield cluster
        cluster.remove()


Deploy = Callable[..., dict[str, object]]


@pytest.fixture
def deploy(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deploy]:
    """Invoke the migrations as the owner, with these secrets or those of PASSWORDS."""

    def deploy(**secrets: str) -> dict[str, object]:
        database.close()
        with monkeypatch.context() as patch:
            patch.setenv("DATABASE_URL", cluster.url(OWNER))
            for name, role in (("SERVICE_CREDENTIALS", SERVICE), ("CATALOG_CREDENTIALS", CATALOG)):
                patch.setenv(name, secrets.get(name, credentials(role, PASSWORDS[role])))
            for name in ("ADMIN_EMAIL", "ADMIN_PASSWORD"):
                patch.delenv(name, raising=False)
            return handler.lambda_handler({}, None)

    yield deploy
    database.close()


def credentials(role: str, password: str) -> str:
    return json.dumps({"username": role, "password": password})


@pytest.fixture
def deployed(cluster: Cluster, deploy: Deploy) -> Cluster:
    """The cluster after a deploy."""
    deploy()
    return cluster


def roles_made(cluster: Cluster) -> list[str]:
    rows = cluster.superuser.execute(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s) ORDER BY 1", [[SERVICE, CATALOG]]
    )
    return [name for (name,) in rows]


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
        self.session = sessions.log_in("ana@example.com", PASSWORD)
        become(CATALOG)
        assert deliver(changed_product(T, 7)) == []
        become(SERVICE)
        items.add(self.ana, "7")

    def admin(self) -> Caller:
        """Ana, who is an admin from now on."""
        self.owner.execute("UPDATE clients SET role = 'admin'")
        row = self.owner.execute("SELECT token_generation AS generation FROM clients").fetchone()
        assert row
        return replace(self.ana, role="admin", generation=row["generation"])

    def events(self) -> set[str]:
        """The kinds of event that wait in the outbox."""
        return {row["detail_type"] for row in self.owner.execute("SELECT detail_type FROM outbox")}

    def lists(self, *products: dict[str, object]) -> None:
        """The catalog has these now."""
        self.catalog.answer("/products", Answer.json(list(products)))


def create_client(_: Scene) -> None:
    assert accounts.register("Bob", "bob@example.com").role == "client"
    with pytest.raises(EmailTaken):
        accounts.register("Bob", "bob@example.com")


def list_clients(scene: Scene) -> None:
    accounts.register("Bob", "bob@example.com")
    page = clients.list_all(scene.admin(), limit=1, cursor=None, email=None)
    assert page.next_cursor
    assert clients.list_all(scene.admin(), limit=1, cursor=page.next_cursor, email=None).items
    assert clients.list_all(scene.admin(), limit=1, cursor=None, email="Bob@example.com").items


def get_client(scene: Scene) -> None:
    assert clients.get(scene.ana, "me").name == "Ana"


def update_client(scene: Scene) -> None:
    changes = ClientChanges(
        name="Anna", email="anna@example.com", password="another password", current_password=PASSWORD
    )
    assert clients.update(scene.ana, "me", changes, if_match=None).email == "anna@example.com"
    accounts.register("Bob", "bob@example.com")
    again = replace(scene.ana, generation=scene.ana.generation + 1)  # the new password ended the token
    taken = ClientChanges(email="bob@example.com", current_password="another password")
    with pytest.raises(EmailTaken):
        clients.update(again, "me", taken, if_match=None)


def delete_client(scene: Scene) -> None:
    clients.remove(scene.ana, "me")
    assert not scene.owner.execute("SELECT FROM favorites").rowcount
    assert not scene.owner.execute("SELECT FROM sessions").rowcount
    assert "ClientRemoved" in scene.events()


def export_client(scene: Scene) -> None:
    exported = json.loads(exports.export(scene.ana, "me").text)
    assert exported["favorites"][0]["product_id"] == "7"


def end_sessions(scene: Scene) -> None:
    clients.log_out_everywhere(scene.ana, "me")
    with pytest.raises(InvalidRefreshToken):
        sessions.refresh(scene.session.refresh_token)


def login(scene: Scene) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(PASSWORD)
    scene.owner.execute("UPDATE clients SET password_hash = %s", [old])
    for _ in ("with the hash made anew", "without"):
        assert sessions.log_in("ana@example.com", PASSWORD).refresh_token
    assert not scene.owner.execute("SELECT FROM clients WHERE password_hash = %s", [old]).rowcount


def refresh_token(scene: Scene) -> None:
    assert sessions.refresh(scene.session.refresh_token).refresh_token
    scene.owner.execute("UPDATE sessions SET rotated_at = rotated_at - interval '1 minute'")
    with pytest.raises(InvalidRefreshToken):
        sessions.refresh(scene.session.refresh_token)
    assert not scene.owner.execute("SELECT FROM sessions").rowcount


def logout(scene: Scene) -> None:
    sessions.log_out(scene.session.refresh_token)


def list_products(scene: Scene) -> None:
    scene.owner.execute("UPDATE products SET version = 1")  # older than what the list says
    scene.lists(product(8), product(9))
    scene.owner.execute(
        "INSERT INTO products_missed VALUES ('7', 1)"
    )  # the list before did not have it either
    page = demand.page(limit=1, cursor=None, category=None, sort="price")
    assert page.entry.next_cursor
    assert demand.page(limit=1, cursor=page.entry.next_cursor, category=None, sort="price").state == "miss"
    assert "FavoriteProductRemoved" in scene.events()


def get_product(scene: Scene) -> None:
    assert demand.detail("9").state == "miss"
    scene.owner.execute("UPDATE products SET version = 1")  # older than what the catalog says now
    scene.valkey.flush()
    scene.catalog.answer("/products/7", Answer.null())
    for product_id in ("7", "no-number"):
        with pytest.raises(UnknownProduct):
            demand.detail(product_id)
    assert "FavoriteProductRemoved" in scene.events()


def add_favorite(scene: Scene) -> None:
    assert items.add(scene.ana, "9")[1] is True  # the copy did not have it
    assert items.add(scene.ana, "9")[1] is False
    scene.catalog.answer("/products/10", Answer.null())
    with pytest.raises(UnknownProduct):
        items.add(scene.ana, "10")
    with pytest.raises(UnknownProduct):
        items.add(scene.ana, "no-number")
    assert "FavoriteAdded" in scene.events()


def create_favorite(scene: Scene) -> None:
    assert items.create(scene.ana, "9")
    with pytest.raises(AlreadyFavorite):
        items.create(scene.ana, "9")


def get_favorite(scene: Scene) -> None:
    assert '"product_id":"7"' in items.get(scene.ana, "7").text
    with pytest.raises(NotFavorite):
        items.get(scene.ana, "8")


def list_favorites(scene: Scene) -> None:
    items.add(scene.ana, "9")
    for sort in ("favorited_at", "-favorited_at"):
        _, cursor = listing.list_page(scene.ana, limit=1, cursor=None, sort=sort)
        assert cursor
        listing.list_page(scene.ana, limit=1, cursor=cursor, sort=sort)


def remove_favorite(scene: Scene) -> None:
    items.remove(scene.ana, "7")
    with pytest.raises(NotFavorite):
        items.remove(scene.ana, "7")
    assert "FavoriteRemoved" in scene.events()


def list_favorite_ids(scene: Scene) -> None:
    assert ids.list_page(scene.ana, limit=1, cursor=None).body
    assert ids.of_products(scene.ana, ["7"]).body


def change_favorites(scene: Scene) -> None:
    done = bulk.change(
        scene.ana,
        FavoriteChanges(
            add=[Mark(product_id="9"), Mark(product_id="998"), Mark(product_id="x")], remove=["7"]
        ),
    )
    assert (done.added, done.removed, len(done.refused)) == (["9"], ["7"], 2)


def get_health(_: Scene) -> None:
    assert health.check()[0].database.state == "up"


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
    assert expired_sessions.purge_expired_sessions() == 1


WORK: dict[str, Callable[[Scene], None]] = {
    work.__name__: work
    for work in (
        *(create_client, list_clients, get_client, update_client, delete_client),
        *(export_client, end_sessions),
        *(login, refresh_token, logout),
        *(list_products, get_product),
        *(add_favorite, create_favorite, get_favorite, list_favorites, remove_favorite),
        *(list_favorite_ids, change_favorites),
        *(get_health, refresh_product_cache, warm_product_cache, publish_events),
    )
}


def test_every_function_has_its_role_and_those_that_connect_have_their_work_here() -> None:
    assert [folder for folder, role in ROLE_OF.items() if role == OWNER] == ["run_migrations"]
    assert WORK.keys() == FOLDERS - WITHOUT_DATABASE - {"run_migrations"}
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


# ── Every deploy makes sure ───────────────────────────────────────────────────────────────────────────────


def privileges(cluster: Cluster) -> list[tuple[object, ...]]:
    """All that is granted to anybody in the database, and who can log in."""
    with cluster.connect(OWNER) as owner:
        rows = owner.execute(
            """
            SELECT 'table' AS kind, oid::regclass::text AS name, unnest(relacl)::text AS privilege
              FROM pg_class WHERE relnamespace = 'public'::regnamespace
             UNION ALL
            SELECT 'column', attrelid::regclass || '.' || attname, unnest(attacl)::text FROM pg_attribute
             UNION ALL
            SELECT 'schema', nspname, unnest(nspacl)::text FROM pg_namespace
             UNION ALL
            SELECT 'database', datname, unnest(datacl)::text FROM pg_database
             WHERE datname = current_database()
             UNION ALL
            SELECT 'role', rolname, to_jsonb(pg_roles)::text FROM pg_roles
             UNION ALL
            SELECT 'member', member::regrole::text, to_jsonb(pg_auth_members)::text FROM pg_auth_members
             ORDER BY 1, 2, 3
            """
        ).fetchall()
    return [tuple(row.values()) for row in rows]


def test_a_second_deploy_changes_nothing(deployed: Cluster, deploy: Deploy) -> None:
    before = privileges(deployed)
    assert any(SERVICE in str(row) for row in before)
    assert deploy() == {"applied": [], "admin_created": False}
    assert privileges(deployed) == before
    deployed.connect(SERVICE).close()


def test_what_a_role_was_granted_besides_is_taken_away(deployed: Cluster, deploy: Deploy) -> None:
    before = privileges(deployed)
    with deployed.connect(OWNER) as owner:
        owner.execute("GRANT ALL ON clients, schema_migrations TO favorites_catalog WITH GRANT OPTION")
        owner.execute(
            "GRANT UPDATE (role), SELECT (email) ON clients TO favorites_service, favorites_catalog"
        )
        owner.execute("GRANT ALL ON SEQUENCE outbox_outbox_id_seq TO favorites_service")
        owner.execute("GRANT ALL ON SCHEMA public TO favorites_service")
        owner.execute(f'GRANT ALL ON DATABASE "{deployed.name}" TO favorites_service')
    assert privileges(deployed) != before
    deploy()
    assert privileges(deployed) == before


def test_a_role_that_lost_something_gets_it_back(deployed: Cluster, deploy: Deploy) -> None:
    before = privileges(deployed)
    with deployed.connect(OWNER) as owner:
        owner.execute("REVOKE ALL ON clients FROM favorites_service")
        owner.execute("ALTER ROLE favorites_service NOLOGIN")
    deploy()
    assert privileges(deployed) == before


def test_the_password_of_the_secret_becomes_the_roles(deployed: Cluster, deploy: Deploy) -> None:
    deploy(SERVICE_CREDENTIALS=credentials(SERVICE, "a new one"))
    deployed.connect(SERVICE, "a new one").close()
    deployed.connect(CATALOG).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        deployed.connect(SERVICE)


def test_the_password_is_in_no_statement_and_the_server_keeps_it_as_scram(
    cluster: Cluster, deploy: Deploy, postgres: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.superuser.execute(
        sql.SQL("ALTER DATABASE {} SET log_min_duration_statement = 0").format(sql.Identifier(cluster.name))
    )
    deploy(SERVICE_CREDENTIALS=credentials(SERVICE, "one for the log"))
    logged = postgres._sibling("log").read_text()
    assert 'CREATE ROLE "favorites_service" LOGIN PASSWORD' in logged
    assert "one for the log" not in logged + "".join(capsys.readouterr())
    row = cluster.superuser.execute(
        "SELECT rolpassword FROM pg_authid WHERE rolname = %s", [SERVICE]
    ).fetchone()
    assert row is not None
    assert row[0].startswith("SCRAM-SHA-256$")


def test_runs_at_once_are_safe(cluster: Cluster) -> None:
    def run() -> list[str]:
        with closing(cluster.connect(OWNER)) as own:
            return migrations.run(own, role_passwords=PASSWORDS)

    outcomes = concurrency.at_once([run, run, run])
    names = [migration.name for migration in migrations.load()]
    assert sorted(outcomes, key=str) == sorted([[], [], names], key=str)
    before = privileges(cluster)
    assert concurrency.at_once([run, run, run]) == [[], [], []]
    assert privileges(cluster) == before
    for role in (SERVICE, CATALOG):
        cluster.connect(role).close()


def test_roles_that_fail_leave_all_as_it_was(deployed: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    before = privileges(deployed)
    real = roles._grants
    monkeypatch.setattr(roles, "_grants", lambda name: real(name) + "; GRANT SELECT ON nothing TO PUBLIC")
    with deployed.connect(OWNER) as owner, pytest.raises(psycopg.errors.UndefinedTable):
        migrations.run(owner, role_passwords={SERVICE: "another", CATALOG: "another"})
    assert privileges(deployed) == before
    deployed.connect(SERVICE).close()


def test_a_migration_that_fails_makes_no_roles(cluster: Cluster) -> None:
    with cluster.connect(OWNER) as owner, pytest.raises(psycopg.errors.SyntaxError):
        migrations.run(owner, [Migration(1, "0001_typo.sql", "CREATE TABEL x")], role_passwords=PASSWORDS)
    assert roles_made(cluster) == []


@pytest.mark.parametrize("name", ["favorites", "postgres", "", "../sql/0002_outbox", "favorites_service.sql"])
def test_a_role_without_grants_is_refused(cluster: Cluster, name: str) -> None:
    with cluster.connect(OWNER) as owner, pytest.raises(roles.UnknownRole, match="no grants for a role"):
        migrations.run(owner, role_passwords={name: "a password"})
    assert roles_made(cluster) == []


# ── The settings ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", ["", "ServiceCredentials"])
def test_without_secrets_there_are_no_roles(cluster: Cluster, deploy: Deploy, value: str) -> None:
    deploy(SERVICE_CREDENTIALS=value, CATALOG_CREDENTIALS=value)
    assert roles_made(cluster) == []


def test_a_secret_of_another_shape_fails_before_anything_is_migrated(
    cluster: Cluster, deploy: Deploy
) -> None:
    with pytest.raises(MissingSetting, match="CATALOG_CREDENTIALS"):
        deploy(CATALOG_CREDENTIALS='{"username": "favorites_catalog"}')
    with cluster.connect(OWNER) as owner:
        assert owner.execute("SELECT FROM pg_tables WHERE schemaname = 'public'").rowcount == 0
