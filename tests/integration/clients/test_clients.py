"""Clients: one e-mail one client, how many taken e-mails a network learns of, revoked tokens, and pages."""

import uuid
from collections.abc import Callable
from functools import partial

import psycopg
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.servers.valkey import Valkey
from shared.accounts import profile_changes, profiles, registration
from shared.accounts.access_tokens import Caller
from shared.accounts.attempts import bounds
from shared.accounts.models import ClientChanges, NewClient
from shared.errors import EmailTaken, Forbidden, InvalidToken, TooManyAttempts
from shared.platform import valkey as cache
from tests.integration import accounts, concurrency
from tests.integration.accounts import EMAIL, NEW_PASSWORD, PASSWORD, change
from tests.integration.hindered import HinderedServer

pytestmark = pytest.mark.usefixtures("environment")

HERE, ELSEWHERE = "203.0.113.24", "203.0.113.25"


# ── Registering, and what it tells of others ──────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("connection_per_thread")
def test_of_many_registrations_of_one_email_at_once_one_wins(db: psycopg.Connection) -> None:
    spellings = [EMAIL, "ANA@example.com", "Ana@example.com", "anA@example.com"] * 4
    outcomes = concurrency.at_once([partial(accounts.register, email=email) for email in spellings])
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Client", *["EmailTaken"] * 15]
    assert db.execute("SELECT count(*) FROM clients").fetchone() == (1,)


@pytest.mark.usefixtures("ana")
def test_network_learns_of_so_many_taken_emails_and_then_of_one_an_interval(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setattr(bounds, "TAKEN_EMAILS", bounds.Bound("taken", 5, 60, "Enough."))

    def register(name: str, source_ip: str) -> str:
        new = NewClient(name=name, email=f"{name}@example.com", password=PASSWORD)
        try:
            registration.register(new, source_ip=source_ip)
        except (EmailTaken, TooManyAttempts) as refused:
            return type(refused).__name__
        return "registered"

    assert [register("ana", HERE) for _ in range(6)] == [*["EmailTaken"] * 5, "TooManyAttempts"]
    assert register("ben", HERE) == "TooManyAttempts"  # or the refusal itself would tell what is taken
    assert (register("ana", ELSEWHERE), register("ben", ELSEWHERE)) == ("EmailTaken", "registered")


def test_change_of_the_email_tells_no_more_than_a_registration(
    ana: Caller, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr(bounds, "TAKEN_EMAILS", bounds.Bound("taken", 2, 3600, "Enough."))
    accounts.register(email="ben@example.com")

    def change_to(email: str) -> None:
        changes = ClientChanges(email=email, current_password=PASSWORD)
        profile_changes.update(ana, "me", changes, source_ip=HERE)

    for number in range(3):  # these succeed, and use up nothing
        change_to(f"ana{number}@example.com")
    for refusal in (EmailTaken, EmailTaken, TooManyAttempts):
        with pytest.raises(refusal):
            change_to("ben@example.com")


def test_registrations_count_only_where_the_email_is_taken_however_slow_valkey_is(
    ana: Caller, environment: pytest.MonkeyPatch, valkey: Valkey
) -> None:
    assert ana
    with HinderedServer(valkey.url) as hindered, redis.Redis.from_url(valkey.url) as server:
        assert server.keys("taken:*") == []
        environment.setenv("REDIS_URL", hindered.url)
        cache.close()
        hindered.trickling = True
        with pytest.raises(EmailTaken):
            accounts.register(email=EMAIL)
        assert len(server.keys("taken:*")) == 1


# ── Tokens that are revoked ───────────────────────────────────────────────────────────────────────────────


def test_another_client_is_forbidden_without_a_look_at_the_database(ana: Caller) -> None:
    for client_id in (accounts.new_caller().client_id, uuid.uuid4()):
        with pytest.raises(Forbidden), concurrency.statements() as sent:
            profiles.get(ana, client_id)
        assert sent == []


REVOCATIONS: dict[str, Callable[[psycopg.Connection, Caller], object]] = {
    "a new password": lambda _, caller: change(caller, password=NEW_PASSWORD, current_password=PASSWORD),
    "another role": lambda db, caller: accounts.set_role(db, caller.client_id, "admin"),
}


@pytest.mark.parametrize("how", REVOCATIONS)
def test_access_tokens_are_revoked_at_once_and_the_next_ones_count(
    ana: Caller, db: psycopg.Connection, how: str
) -> None:
    REVOCATIONS[how](db, ana)
    with pytest.raises(InvalidToken):
        profiles.get(ana, "me")
    assert profiles.get(accounts.now(db, ana.client_id), "me").client_id == ana.client_id


# ── Listing ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("typed", ["nobody@example.com", "%", "", "ben@example.com\0"])
def test_list_filtered_by_an_email_that_nobody_has_is_empty(db: psycopg.Connection, typed: str) -> None:
    admin = accounts.new_admin(db)
    accounts.register(email="ben@example.com")
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
