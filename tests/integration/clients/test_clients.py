"""Clients in PostgreSQL: one e-mail one client, pages that neither skip nor repeat, and who may do what."""

import uuid
from collections.abc import Callable
from functools import partial

import psycopg
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.servers.valkey import Valkey
from shared.accounts import passwords, profile_changes, profiles, registration, removal
from shared.accounts.access_tokens import Caller
from shared.accounts.attempts import bounds
from shared.accounts.models import Client, ClientChanges, NewClient
from shared.accounts.sessions import everywhere
from shared.errors import (
    EmailTaken,
    Forbidden,
    InvalidToken,
    TooManyAttempts,
)
from shared.favorites import bulk, items
from shared.favorites.models import FavoriteChanges
from shared.formats.etags import Preconditions
from shared.platform import valkey as cache
from tests.integration import accounts, concurrency
from tests.integration.accounts import PASSWORD
from tests.integration.hindered import HinderedServer

pytestmark = pytest.mark.usefixtures("environment")

NEW_PASSWORD = "another fine password"


def change(who: Client | Caller, if_match: str | None = None, **changes: str) -> Client:
    caller = accounts.caller(who) if isinstance(who, Client) else who
    return profile_changes.update(caller, "me", ClientChanges(**changes), Preconditions(if_match))


# ── Registering ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("email", "other_spelling"),
    [
        ("ana@example.com", "ANA@EXAMPLE.COM"),
        ("ana@example.com", "Ana@eXample.com"),
        ("d@example.com", "d@\uff45xample.com"),
        ("STRAßE@example.com", "straße@example.com"),
        ("İlk@example.com", "i\u0307lk@example.com"),
        ("josé@example.com", "JOSE\u0301@example.com"),
        ("σίσυφος@example.com", "ΣΊΣΥΦΟΣ@example.com"),
        ("ana@bücher.example", "ana@BÜCHER.example"),
    ],
)
def test_an_e_mail_that_differs_only_in_case_is_taken(
    db: psycopg.Connection, email: str, other_spelling: str
) -> None:
    accounts.register(email=email)
    with pytest.raises(EmailTaken):
        accounts.register(email=other_spelling)
    assert db.execute("SELECT count(*) FROM clients").fetchone() == (1,)


@pytest.mark.parametrize(
    ("email", "other"), [("ana@example.com", "anna@example.com"), ("i@x.test", "\u0131@x.test")]
)
def test_another_e_mail_is_another_client(email: str, other: str) -> None:
    assert accounts.register(email=email).client_id != accounts.register(email=other).client_id


@pytest.mark.usefixtures("connection_per_thread")
def test_of_many_registrations_of_one_e_mail_at_once_exactly_one_wins(db: psycopg.Connection) -> None:
    spellings = ["ana@example.com", "ANA@example.com", "Ana@example.com", "anA@example.com"] * 4
    outcomes = concurrency.at_once([partial(accounts.register, email=email) for email in spellings])
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Client", *["EmailTaken"] * 15]
    assert db.execute("SELECT count(*) FROM clients").fetchone() == (1,)


@pytest.mark.usefixtures("valkey")
def test_an_address_learns_of_a_hundred_taken_e_mails_and_then_of_one_a_second(
    environment: pytest.MonkeyPatch,
) -> None:
    accounts.register(email="ana@example.com")
    environment.setattr(passwords, "hash_password", lambda _: "-")  # a hundred of them take long
    ana = NewClient(name="Ana", email="ana@example.com", password=PASSWORD)

    def ask(source: str) -> int:
        with pytest.raises((EmailTaken, TooManyAttempts)) as refused:
            registration.register(ana, source_ip=source)
        return refused.value.retry_after or 0

    environment.setattr(bounds, "TAKEN_EMAILS", bounds.Bound("taken", 5, 1, "Enough."))
    answers = [ask("203.0.113.24") for _ in range(5)]
    assert answers == [0] * 5
    while not ask("203.0.113.24"):  # where the five took more than a second
        pass
    assert ask("203.0.113.25") == 0
    ben = NewClient(name="Ben", email="ben@example.com", password=PASSWORD)
    with pytest.raises(TooManyAttempts):  # or the refusal itself would tell what is taken
        registration.register(ben, source_ip="203.0.113.24")
    assert registration.register(ben, source_ip="203.0.113.25")


@pytest.mark.usefixtures("valkey")
def test_a_change_of_the_e_mail_tells_no_more_than_a_registration(environment: pytest.MonkeyPatch) -> None:
    environment.setattr(bounds, "TAKEN_EMAILS", bounds.Bound("taken", 2, 3600, "Enough."))
    accounts.register(email="ben@example.com")
    ana = accounts.caller(accounts.register(email="ana@example.com"))

    def change(email: str) -> Client:
        changes = ClientChanges(email=email, current_password=PASSWORD)
        return profile_changes.update(ana, "me", changes, source_ip="203.0.113.24")

    for number in range(3):  # these succeed, and use up nothing
        change(f"ana{number}@example.com")
    for _ in range(2):
        with pytest.raises(EmailTaken):
            change("ben@example.com")
    with pytest.raises(TooManyAttempts):
        change("ben@example.com")


def test_what_an_address_learns_is_counted_by_a_valkey_that_is_slow(
    environment: pytest.MonkeyPatch, valkey: Valkey
) -> None:
    accounts.register(email="ana@example.com")
    with HinderedServer(valkey.url) as hindered, redis.Redis.from_url(valkey.url) as server:
        environment.setenv("REDIS_URL", hindered.url)
        cache.close()
        hindered.trickling = True
        with pytest.raises(EmailTaken):
            accounts.register(email="ana@example.com")
        assert len(server.keys("taken:*")) == 1


def test_registering_uses_nothing_up(valkey: Valkey) -> None:
    for _ in range(3):
        accounts.register()
    with redis.Redis.from_url(valkey.url) as server:
        assert server.keys("taken:*") == []


# ── Reading ───────────────────────────────────────────────────────────────────────────────────────────────


def test_another_clients_resource_is_forbidden_whether_or_not_it_exists() -> None:
    ana, ben = accounts.register("Ana"), accounts.register("Ben")
    for client_id in (ben.client_id, uuid.uuid4()):
        with pytest.raises(Forbidden), concurrency.statements() as sent:
            profiles.get(accounts.caller(ana), client_id)
        assert sent == []  # nothing was looked up, so nothing can leak


MARKING: dict[str, Callable[[Caller], object]] = {
    "add a favorite": lambda caller: items.add(caller, "1"),
    "create a favorite": lambda caller: items.create(caller, "1"),
    "change favorites": lambda caller: bulk.change(caller, FavoriteChanges(add=[], remove=["1"])),
}


@pytest.mark.parametrize("action", MARKING)
@pytest.mark.usefixtures("catalog")
def test_a_removed_clients_token_marks_no_product_that_is_known(action: str) -> None:
    items.add(accounts.new_caller(), "1")
    caller = accounts.new_caller()
    removal.remove(caller, "me")
    with pytest.raises(InvalidToken):
        MARKING[action](caller)


END_OF_TOKENS: dict[str, Callable[[psycopg.Connection, Caller], object]] = {
    "a new password": lambda _, caller: change(caller, password=NEW_PASSWORD, current_password=PASSWORD),
    "log out everywhere": lambda _, caller: everywhere.log_out(caller, "me"),
    "log out everywhere by an admin": lambda db, caller: everywhere.log_out(
        accounts.new_admin(db), caller.client_id
    ),
    "another role": lambda db, caller: accounts.set_role(db, caller.client_id, "admin"),
}


@pytest.mark.parametrize("end", END_OF_TOKENS)
def test_access_tokens_end_at_once_and_the_next_ones_count(db: psycopg.Connection, end: str) -> None:
    caller = accounts.new_caller()
    END_OF_TOKENS[end](db, caller)
    with pytest.raises(InvalidToken):
        profiles.get(caller, "me")
    newer = accounts.now(db, caller.client_id)
    assert profiles.get(newer, "me").client_id == caller.client_id


# ── Listing ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("typed", ["nobody@example.com", "%", "", "ben@example.com\0"])
def test_the_list_finds_nobody_with_an_e_mail_that_nobody_has(db: psycopg.Connection, typed: str) -> None:
    admin = accounts.new_admin(db)
    accounts.register("Ben", "ben@example.com")
    assert profiles.list_all(admin, limit=20, cursor=None, email=typed).items == []


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    # How many clients registered in the same microsecond, once for each moment.
    batches=st.lists(st.integers(1, 6), min_size=1, max_size=6),
    limit=st.integers(1, 7),
    # What happens between two pages: clients come (at the end, as time does not go back), or some go.
    events=st.lists(st.one_of(st.just("come"), st.integers(0, 30)), max_size=12),
)
def test_pages_neither_skip_nor_repeat_a_client_while_others_come_and_go(
    db: psycopg.Connection, batches: list[int], limit: int, events: list[str | int]
) -> None:
    db.execute("DELETE FROM clients")
    admin = accounts.new_admin(db)
    for count in batches:
        _insert_at_one_moment(db, count)
    at_the_start = _ids(db)
    removed: set[uuid.UUID] = set()
    seen: list[uuid.UUID] = []
    cursor, pending = None, list(events)
    while True:
        page = profiles.list_all(admin, limit=limit, cursor=cursor, email=None)
        assert len(page.items) <= limit
        seen += [client.client_id for client in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.items) == limit
        if pending:
            event = pending.pop(0)
            if event == "come":
                _insert_at_one_moment(db, 2)
            elif isinstance(event, int) and len(ids := [i for i in _ids(db) if i != admin.client_id]) > event:
                db.execute("DELETE FROM clients WHERE client_id = %s", [ids[event]])
                removed.add(ids[event])
    assert len(seen) == len(set(seen))
    assert [client_id for client_id in seen if client_id in set(at_the_start) - removed] == [
        client_id for client_id in at_the_start if client_id not in removed
    ]


def _insert_at_one_moment(db: psycopg.Connection, count: int) -> None:
    db.execute(
        "INSERT INTO clients (name, email, email_key, password_hash) "
        "SELECT 'Many', key, key, '-' "
        "FROM (SELECT gen_random_uuid()::text AS key FROM generate_series(1, %s))",
        [count],
    )


def _ids(db: psycopg.Connection) -> list[uuid.UUID]:
    rows = db.execute("SELECT client_id FROM clients ORDER BY created_at, client_id")
    return [client_id for (client_id,) in rows]
