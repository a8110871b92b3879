"""Clients in PostgreSQL: one e-mail one client, pages that neither skip nor repeat, and who may do what."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import psycopg
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.servers.valkey import Valkey
from shared.accounts import access_tokens, clients, exports, passwords, registrations, sessions
from shared.accounts.access_tokens import Caller
from shared.accounts.models import Client, ClientChanges, NewClient
from shared.errors import (
    ChangedMeanwhile,
    EmailTaken,
    Forbidden,
    InvalidCredentials,
    InvalidCursor,
    InvalidInput,
    InvalidRefreshToken,
    InvalidToken,
    LastAdmin,
    LogInTooLongAgo,
    TooManyAttempts,
    UnknownClient,
    WrongPassword,
)
from shared.favorites import bulk, ids, items, listing
from shared.favorites.models import FavoriteChanges
from shared.formats import json_text
from shared.formats.etags import etag_of
from shared.formats.json_text import Rendered, dumps
from shared.platform import database
from shared.platform import valkey as cache
from tests.integration import accounts, concurrency
from tests.integration.accounts import PASSWORD
from tests.integration.hindered import HinderedServer

pytestmark = pytest.mark.usefixtures("environment")

NEW_PASSWORD = "another fine password"


def change(who: Client | Caller, if_match: str | None = None, **changes: str) -> Client:
    caller = accounts.caller(who) if isinstance(who, Client) else who
    return clients.update(caller, "me", ClientChanges(**changes), if_match=if_match)


# ── Registering ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_registered_client_can_be_read() -> None:
    client = accounts.register("  Ana Souza ", "Ana@Example.com")
    assert client.name == "Ana Souza"
    assert client.email == "Ana@example.com"
    assert client.role == "client"
    assert clients.get(accounts.caller(client), "me") == client
    assert clients.get(accounts.caller(client), client.client_id) == client


@pytest.mark.usefixtures("real_hashes")
def test_the_password_is_stored_as_an_argon2id_hash_with_the_parameters_of_the_design(
    db: psycopg.Connection,
) -> None:
    accounts.register(password=PASSWORD)
    row = db.execute("SELECT clients::text, password_hash FROM clients").fetchone()
    assert row
    whole_row, password_hash = row
    assert PASSWORD not in whole_row
    assert password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.parametrize(
    ("email", "other_spelling"),
    [
        ("ana@example.com", "ANA@EXAMPLE.COM"),
        ("ana@example.com", "Ana@eXample.com"),
        ("strasse@example.com", "straße@example.com"),
        ("STRASSE@example.com", "straße@example.com"),
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
            clients.register(ana, source=source)
        return refused.value.retry_after or 0

    environment.setattr(registrations, "ALLOWED", 5)
    answers = [ask("203.0.113.24") for _ in range(5)]
    assert answers == [0] * 5
    while not ask("203.0.113.24"):  # where the five took more than a second
        pass
    assert ask("203.0.113.25") == 0
    ben = NewClient(name="Ben", email="ben@example.com", password=PASSWORD)
    with pytest.raises(TooManyAttempts):  # or the refusal itself would tell what is taken
        clients.register(ben, source="203.0.113.24")
    assert clients.register(ben, source="203.0.113.25")


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
            clients.get(accounts.caller(ana), client_id)
        assert sent == []  # nothing was looked up, so nothing can leak


def test_an_admin_reads_everybody(db: psycopg.Connection) -> None:
    ana = accounts.register("Ana")
    assert clients.get(accounts.new_admin(db), ana.client_id) == ana


def test_an_admin_learns_that_a_client_does_not_exist(db: psycopg.Connection) -> None:
    admin = accounts.new_admin(db)
    with pytest.raises(UnknownClient):
        clients.get(admin, uuid.uuid4())
    with pytest.raises(UnknownClient):
        clients.remove(admin, uuid.uuid4())
    with pytest.raises(UnknownClient):
        clients.update(admin, uuid.uuid4(), ClientChanges(name="Nobody"), if_match=None)


ADMIN_ACTIONS: dict[str, Callable[[Caller, Client], object]] = {
    "list": lambda admin, _: clients.list_all(admin, limit=20, cursor=None, email=None),
    "get": lambda admin, other: clients.get(admin, other.client_id),
    "update": lambda admin, other: clients.update(
        admin, other.client_id, ClientChanges(name="Changed"), if_match=None
    ),
    "remove": lambda admin, other: clients.remove(admin, other.client_id),
    "export": lambda admin, other: exports.export(admin, other.client_id),
    "log out everywhere": lambda admin, other: clients.log_out_everywhere(admin, other.client_id),
}


@pytest.mark.parametrize("action", ADMIN_ACTIONS)
def test_an_admin_whose_role_was_taken_away_has_no_token_any_more(
    db: psycopg.Connection, action: str
) -> None:
    ben = accounts.register("Ben")
    admin = accounts.new_admin(db)
    ADMIN_ACTIONS["get"](admin, ben)
    accounts.set_role(db, admin.client_id, "client")
    with pytest.raises(InvalidToken):
        ADMIN_ACTIONS[action](admin, ben)
    assert clients.get(accounts.caller(ben), "me") == ben


@pytest.mark.parametrize("action", ADMIN_ACTIONS)
def test_the_role_that_counts_is_that_of_the_row(action: str) -> None:
    ben, eve = accounts.register("Ben"), accounts.register("Eve")
    with pytest.raises(Forbidden):
        ADMIN_ACTIONS[action](replace(accounts.caller(eve), role="admin"), ben)
    assert clients.get(accounts.caller(ben), "me") == ben


@pytest.mark.parametrize("action", ADMIN_ACTIONS)
def test_a_removed_admins_token_is_refused(db: psycopg.Connection, action: str) -> None:
    ben = accounts.register("Ben")
    admin = accounts.new_admin(db)
    accounts.new_admin(db)  # the last one could not be removed
    clients.remove(admin, "me")
    with pytest.raises(InvalidToken):
        ADMIN_ACTIONS[action](admin, ben)
    assert clients.get(accounts.caller(ben), "me") == ben


OWN_ACTIONS: dict[str, Callable[[Caller], object]] = {
    "get": lambda caller: clients.get(caller, "me"),
    "get by id": lambda caller: clients.get(caller, caller.client_id),
    "update": lambda caller: change(caller, name="Ghost"),
    "update of nothing": lambda caller: change(caller),
    "change of the password": lambda caller: change(caller, password=NEW_PASSWORD, current_password=PASSWORD),
    "remove": lambda caller: clients.remove(caller, "me"),
    "export": lambda caller: exports.export(caller, "me"),
    "log out everywhere": lambda caller: clients.log_out_everywhere(caller, "me"),
    "add a favorite": lambda caller: items.add(caller, "1"),
    "create a favorite": lambda caller: items.create(caller, "1"),
    "get a favorite": lambda caller: items.get(caller, "1"),
    "list favorites": lambda caller: listing.list_page(caller, limit=20, cursor=None, sort="-favorited_at"),
    "remove a favorite": lambda caller: items.remove(caller, "1"),
    "list favorite ids": lambda caller: ids.list_page(caller, limit=20, cursor=None),
    "ask for favorite ids": lambda caller: ids.of_products(caller, ["1"]),
    "change favorites": lambda caller: bulk.change(caller, FavoriteChanges(add=[], remove=["1"])),
}


@pytest.mark.parametrize("action", OWN_ACTIONS)
@pytest.mark.parametrize("product_is_known", [False, True])
@pytest.mark.usefixtures("catalog")
def test_a_removed_clients_token_is_refused_everywhere(action: str, product_is_known: bool) -> None:
    if product_is_known:
        items.add(accounts.new_caller(), "1")
    caller = accounts.new_caller()
    clients.remove(caller, "me")
    with pytest.raises(InvalidToken):
        OWN_ACTIONS[action](caller)


END_OF_TOKENS: dict[str, Callable[[psycopg.Connection, Caller], object]] = {
    "a new password": lambda _, caller: change(caller, password=NEW_PASSWORD, current_password=PASSWORD),
    "log out everywhere": lambda _, caller: clients.log_out_everywhere(caller, "me"),
    "log out everywhere by an admin": lambda db, caller: clients.log_out_everywhere(
        accounts.new_admin(db), caller.client_id
    ),
    "another role": lambda db, caller: accounts.set_role(db, caller.client_id, "admin"),
}


@pytest.mark.parametrize("action", OWN_ACTIONS)
@pytest.mark.parametrize("end", END_OF_TOKENS)
@pytest.mark.usefixtures("catalog")
def test_access_tokens_end_at_once_and_the_next_ones_count(
    db: psycopg.Connection, action: str, end: str
) -> None:
    caller = accounts.new_caller()
    items.add(caller, "1")
    END_OF_TOKENS[end](db, caller)
    with pytest.raises(InvalidToken):
        OWN_ACTIONS[action](caller)
    newer = accounts.now(db, caller.client_id)
    assert clients.get(newer, "me").client_id == caller.client_id
    assert items.get(newer, "1")


# ── Listing ───────────────────────────────────────────────────────────────────────────────────────────────


def test_only_admins_list_clients() -> None:
    with pytest.raises(Forbidden):
        clients.list_all(accounts.new_caller(), limit=20, cursor=None, email=None)


def test_the_list_is_in_order_of_registration(db: psycopg.Connection) -> None:
    admin = accounts.new_admin(db)
    registered = [accounts.register(f"Client {number}") for number in range(3)]
    page = clients.list_all(admin, limit=100, cursor=None, email=None)
    assert page.items[1:] == registered
    assert page.next_cursor is None


@pytest.mark.parametrize("typed", ["ben@example.com", "BEN@EXAMPLE.COM", " ben@example.com "])
def test_the_list_finds_the_client_with_an_e_mail_in_whatever_case(
    db: psycopg.Connection, typed: str
) -> None:
    admin = accounts.new_admin(db)
    ben = accounts.register("Ben", "Ben@example.com")
    accounts.register("Not Ben", "benjamin@example.com")
    assert clients.list_all(admin, limit=20, cursor=None, email=typed).items == [ben]


@pytest.mark.parametrize("typed", ["nobody@example.com", "%", "", "ben@example.com\0"])
def test_the_list_finds_nobody_with_an_e_mail_that_nobody_has(db: psycopg.Connection, typed: str) -> None:
    admin = accounts.new_admin(db)
    accounts.register("Ben", "ben@example.com")
    assert clients.list_all(admin, limit=20, cursor=None, email=typed).items == []


@pytest.mark.parametrize("cursor", ["", "x", "e30", "AAAAAAAAAAAAAAAAAAAA", "é", "\0"])
def test_a_cursor_that_is_not_ours_is_refused(db: psycopg.Connection, cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        clients.list_all(accounts.new_admin(db), limit=20, cursor=cursor, email=None)


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
        page = clients.list_all(admin, limit=limit, cursor=cursor, email=None)
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


# ── Editing ───────────────────────────────────────────────────────────────────────────────────────────────


def test_only_what_was_given_changes() -> None:
    ana = accounts.register("Ana", "ana@example.com")
    changed = change(ana, name="Ana Maria")
    assert (changed.name, changed.email) == ("Ana Maria", "ana@example.com")
    assert changed.updated_at > ana.updated_at
    assert changed.created_at == ana.created_at
    assert clients.get(accounts.caller(ana), "me") == changed


@pytest.mark.parametrize("changes", [{}, {"name": "Ana"}, {"name": "Ana", "email": "ana@example.com"}])
def test_a_change_to_what_is_there_already_changes_nothing(changes: dict[str, str]) -> None:
    ana = accounts.register("Ana", "ana@example.com")
    assert change(ana, **changes) == ana


def test_the_new_e_mail_is_the_one_to_log_in_with() -> None:
    ana = accounts.register(email="ana@example.com")
    change(ana, email="Maria@example.com", current_password=PASSWORD)
    assert sessions.log_in("maria@EXAMPLE.com", PASSWORD)
    with pytest.raises(InvalidCredentials):
        sessions.log_in("ana@example.com", PASSWORD)


def test_another_spelling_of_the_own_e_mail_is_not_taken() -> None:
    ana = accounts.register(email="ana@example.com")
    assert change(ana, email="ANA@example.com", current_password=PASSWORD).email == "ANA@example.com"


def test_another_clients_e_mail_is_taken_and_nothing_of_the_change_is_kept() -> None:
    accounts.register(email="ben@example.com")
    ana = accounts.register("Ana", "ana@example.com")
    tokens = sessions.log_in("ana@example.com", PASSWORD)
    with pytest.raises(EmailTaken):
        change(ana, name="B", email="BEN@example.com", password=NEW_PASSWORD, current_password=PASSWORD)
    assert clients.get(accounts.caller(ana), "me") == ana
    assert sessions.refresh(tokens.refresh_token)


@pytest.mark.usefixtures("connection_per_thread")
def test_two_clients_who_want_one_e_mail_at_once_do_not_both_get_it() -> None:
    both = [accounts.register(), accounts.register()]
    wanted = {"email": "wanted@example.com", "current_password": PASSWORD}
    outcomes = concurrency.at_once([partial(change, client, **wanted) for client in both])
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Client", "EmailTaken"]


def test_an_admin_changes_a_password_without_knowing_it(db: psycopg.Connection) -> None:
    ana = accounts.register(email="ana@example.com")
    changes = ClientChanges(password=NEW_PASSWORD)
    clients.update(accounts.new_admin(db), ana.client_id, changes, if_match=None)
    assert sessions.log_in("ana@example.com", NEW_PASSWORD)


# If-Match (RFC 9110 §13.1.1)


def etag(client: Client) -> str:
    return etag_of(dumps(client))


def test_a_change_to_the_client_that_the_caller_saw_is_made() -> None:
    ana = accounts.register("Ana")
    changed = change(ana, if_match=etag(ana), name="Maria")
    assert changed.name == "Maria"
    assert change(ana, if_match=f'"other", {etag(changed)}', name="Clara").name == "Clara"
    changed = clients.get(accounts.caller(ana), "me")
    assert change(ana, if_match=f'{etag(changed)},"other"', name="Bia").name == "Bia"
    assert change(ana, if_match="*", name="Dora").name == "Dora"


@pytest.mark.parametrize("how", ["old", "weak", "unknown", "bare"])
def test_a_change_to_a_client_that_the_caller_did_not_see_is_refused(how: str) -> None:
    ana = accounts.register("Ana")
    current = change(ana, name="Maria")
    if_match = {
        "old": etag(ana),
        "weak": f"W/{etag(current)}",  # If-Match compares strongly
        "unknown": '"nothing"',
        "bare": etag(current).strip('"'),
    }[how]
    with pytest.raises(ChangedMeanwhile):
        change(ana, if_match=if_match, name="Lost")
    assert clients.get(accounts.caller(ana), "me").name == "Maria"


@pytest.mark.usefixtures("connection_per_thread")
def test_of_two_changes_at_once_to_what_both_saw_one_is_refused() -> None:
    ana = accounts.register("Ana")
    outcomes = concurrency.at_once(
        [partial(change, ana, if_match=etag(ana), name=name) for name in ("Maria", "Clara")]
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ChangedMeanwhile", "Client"]


@pytest.mark.parametrize("function", ["get_client", "update_client"])
def test_a_client_is_rendered_once_for_body_and_etag(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ana = accounts.register()
    rendered: list[object] = []
    real = json_text.dumps

    def dumps(value: object) -> str:
        if not isinstance(value, Rendered):
            rendered.append(value)
        return real(value)

    monkeypatch.setattr(json_text, "dumps", dumps)
    body = {"body": {"name": "Maria"}} if function == "update_client" else {}
    answer = accounts.ask(function, accounts.caller(ana), **body)
    assert (answer.status, answer.headers["ETag"]) == (200, etag_of(answer.body))
    assert len(rendered) == 1


# The password


def test_changing_the_own_password_takes_the_current_one() -> None:
    ana = accounts.register()
    with pytest.raises(InvalidInput) as refused:
        change(ana, password=NEW_PASSWORD)
    assert refused.value.location == "body.current_password"


def test_a_wrong_current_password_changes_nothing() -> None:
    ana = accounts.register("Ana", "ana@example.com")
    tokens = sessions.log_in("ana@example.com", PASSWORD)
    with pytest.raises(WrongPassword):
        change(ana, name="Eve", password=NEW_PASSWORD, current_password="not the password")
    assert clients.get(accounts.caller(ana), "me") == ana
    assert sessions.refresh(tokens.refresh_token)
    assert sessions.log_in("ana@example.com", PASSWORD)


def test_guessing_the_current_password_is_slowed_down_as_guessing_at_the_log_in_is() -> None:
    ana = accounts.register(email="ana@example.com")
    guess = partial(change, ana, password=NEW_PASSWORD, current_password="a guess")
    for _ in range(4):
        with pytest.raises(WrongPassword):
            guess()
    with pytest.raises(TooManyAttempts) as refused:
        guess()
    assert refused.value.retry_after == 1


def test_a_new_password_replaces_the_old_one() -> None:
    ana = accounts.register(email="ana@example.com")
    change(ana, password=NEW_PASSWORD, current_password=PASSWORD)
    assert sessions.log_in("ana@example.com", NEW_PASSWORD)
    with pytest.raises(InvalidCredentials):
        sessions.log_in("ana@example.com", PASSWORD)


def test_a_new_password_ends_all_of_the_clients_sessions_and_nobody_elses() -> None:
    ana = accounts.register(email="ana@example.com")
    accounts.register(email="ben@example.com")
    of_ana = [sessions.log_in("ana@example.com", PASSWORD) for _ in range(2)]
    of_ben = sessions.log_in("ben@example.com", PASSWORD)
    change(ana, password=NEW_PASSWORD, current_password=PASSWORD)
    for tokens in of_ana:
        with pytest.raises(InvalidRefreshToken):
            sessions.refresh(tokens.refresh_token)
    assert sessions.refresh(of_ben.refresh_token)


def test_a_change_of_the_name_ends_no_session() -> None:
    ana = accounts.register(email="ana@example.com")
    tokens = sessions.log_in("ana@example.com", PASSWORD)
    change(ana, name="Maria")
    assert sessions.refresh(tokens.refresh_token)


def test_a_log_in_that_saw_the_old_password_gets_no_session_after_the_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ana = accounts.register(email="ana@example.com")
    real = passwords.is_password
    changed: list[bool] = []

    def is_password(password: str, password_hash: str | None) -> bool:
        answer = real(password, password_hash)
        if not changed:  # the change comes just after the log-in has seen that the old password is right
            changed.append(True)
            change(ana, password=NEW_PASSWORD, current_password=PASSWORD)
        return answer

    monkeypatch.setattr(passwords, "is_password", is_password)
    with pytest.raises(InvalidCredentials):
        sessions.log_in("ana@example.com", PASSWORD)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that were hashed from now on."""
    seen: list[str] = []
    real = passwords.hash_password

    def hash_password(password: str) -> str:
        seen.append(password)
        return real(password)

    monkeypatch.setattr(passwords, "hash_password", hash_password)
    return seen


def test_nobody_waits_for_a_client_whose_password_is_being_looked_at(
    db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = accounts.register()
    real = passwords.is_password

    def is_password(password: str, password_hash: str | None) -> bool:
        db.execute("SELECT FROM clients FOR UPDATE NOWAIT")
        return real(password, password_hash)

    monkeypatch.setattr(passwords, "is_password", is_password)
    assert change(ana, email="anna@example.com", current_password=PASSWORD).email == "anna@example.com"


@pytest.mark.parametrize("what", ["a wrong password", "a token that no longer counts", "too many guesses"])
def test_a_new_password_is_not_hashed_for(db: psycopg.Connection, hashed: list[str], what: str) -> None:
    ana = accounts.register()
    guess = partial(change, ana, password=NEW_PASSWORD, current_password="a guess")
    if what == "a token that no longer counts":
        db.execute("UPDATE clients SET token_generation = 1")
    for _ in range(6 if what == "too many guesses" else 1):
        with pytest.raises((WrongPassword, InvalidToken, TooManyAttempts)):
            guess()
    assert hashed == [PASSWORD]  # at the registration


@pytest.mark.parametrize("renewed", [PASSWORD, "somebody else's password"])
def test_a_hash_that_changes_while_the_new_password_is_hashed_is_confirmed_again(
    db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, renewed: str
) -> None:
    ana = accounts.register(email="ana@example.com")
    real = passwords.hash_password
    others = [real(renewed)]

    def hash_password(password: str) -> str:
        if others:
            db.execute("UPDATE clients SET password_hash = %s", [others.pop()])
        return real(password)

    monkeypatch.setattr(passwords, "hash_password", hash_password)
    changing = partial(change, ana, password=NEW_PASSWORD, current_password=PASSWORD)
    if renewed == PASSWORD:  # a log-in made a hash of today's parameters
        changing()
        assert sessions.log_in("ana@example.com", NEW_PASSWORD)
    else:
        with pytest.raises(WrongPassword):
            changing()
        assert sessions.log_in("ana@example.com", renewed)


def test_a_hash_that_changes_each_time_is_given_up(
    db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = accounts.register()
    real = passwords.hash_password

    def hash_password(password: str) -> str:
        db.execute("UPDATE clients SET password_hash = %s", [real(PASSWORD)])
        return real(password)

    monkeypatch.setattr(passwords, "hash_password", hash_password)
    with pytest.raises(WrongPassword):
        change(ana, password=NEW_PASSWORD, current_password=PASSWORD)


def test_a_change_of_the_name_is_one_transaction_of_two_statements() -> None:
    ana = accounts.register()
    with concurrency.statements() as sent:
        change(ana, name="Maria")
    assert [text.split()[0] for text in sent] == ["BEGIN", "SELECT", "UPDATE", "COMMIT"]


# ── Removing ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("by", ["self", "admin"])
@pytest.mark.usefixtures("catalog")
def test_favorites_and_tokens_go_with_a_removed_client(db: psycopg.Connection, by: str) -> None:
    ana, ben = accounts.register(email="ana@example.com"), accounts.register(email="ben@example.com")
    for client in (ana, ben):
        items.add(accounts.caller(client), "1")
    of_ana = sessions.log_in("ana@example.com", PASSWORD)
    of_ben = sessions.log_in("ben@example.com", PASSWORD)
    if by == "self":
        clients.remove(accounts.caller(ana), "me")
    else:
        clients.remove(accounts.new_admin(db), ana.client_id)
    assert db.execute("SELECT client_id FROM favorites").fetchall() == [(ben.client_id,)]
    assert db.execute("SELECT client_id FROM sessions").fetchall() == [(ben.client_id,)]
    with pytest.raises(InvalidRefreshToken):
        sessions.refresh(of_ana.refresh_token)
    with pytest.raises(InvalidCredentials):
        sessions.log_in("ana@example.com", PASSWORD)
    assert sessions.refresh(of_ben.refresh_token)


def test_the_e_mail_of_a_removed_client_is_free_again() -> None:
    ana = accounts.register(email="ana@example.com")
    clients.remove(accounts.caller(ana), "me")
    assert accounts.register(email="ana@example.com").client_id != ana.client_id


def test_nobody_but_an_admin_removes_somebody_else() -> None:
    ana, ben = accounts.register(), accounts.register()
    with pytest.raises(Forbidden):
        clients.remove(accounts.caller(ana), ben.client_id)
    assert clients.get(accounts.caller(ben), "me") == ben


@pytest.mark.usefixtures("connection_per_thread")
def test_a_client_is_removed_once_when_two_try_at_once(db: psycopg.Connection) -> None:
    ana = accounts.caller(accounts.register())
    outcomes = concurrency.at_once([partial(clients.remove, ana, "me")] * 4)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == [*["InvalidToken"] * 3, "NoneType"]
    assert db.execute("SELECT count(*) FROM clients").fetchone() == (0,)


def test_what_a_client_is_called_is_kept_to_the_letter() -> None:
    name = "Zoë 🦊 \u202eevil'; DROP TABLE clients; --"
    client = accounts.register(name)
    assert clients.get(accounts.caller(client), "me").name == name
    database.close()
    assert clients.get(accounts.caller(client), "me").name == name


# ── A stolen access token, and the last admin ─────────────────────────────────────────────────────────────


def test_logging_out_everywhere_ends_every_session_of_this_client_only(db: psycopg.Connection) -> None:
    ana = accounts.register(email="ana@example.com")
    accounts.register(email="ben@example.com")
    phone, laptop = (sessions.log_in("ana@example.com", PASSWORD) for _ in range(2))
    bens = sessions.log_in("ben@example.com", PASSWORD)
    clients.log_out_everywhere(accounts.now(db, ana.client_id), "me")
    for tokens in (phone, laptop):
        with pytest.raises(InvalidRefreshToken):
            sessions.refresh(tokens.refresh_token)
    assert sessions.refresh(bens.refresh_token)
    assert sessions.log_in("ana@example.com", PASSWORD)


@pytest.mark.parametrize("changes", [{"email": "eve@example.com"}, {"password": NEW_PASSWORD}])
def test_a_stolen_access_token_changes_neither_e_mail_nor_password(changes: dict[str, str]) -> None:
    ana = accounts.register(email="ana@example.com")
    with pytest.raises(InvalidInput) as refused:
        change(ana, **changes)
    assert (refused.value.location, refused.value.kind) == ("body.current_password", "missing")
    with pytest.raises(WrongPassword):
        change(ana, current_password="a guess", **changes)
    assert clients.get(accounts.caller(ana), "me") == ana
    assert change(ana, current_password=PASSWORD, **changes)


@pytest.mark.parametrize("changes", [{"email": "anna@example.com"}, {"password": NEW_PASSWORD}])
def test_an_admin_needs_no_current_password_for_others(
    db: psycopg.Connection, changes: dict[str, str]
) -> None:
    ana = accounts.register()
    admin = accounts.new_admin(db)
    assert clients.update(admin, ana.client_id, ClientChanges(**changes), if_match=None)
    with pytest.raises(InvalidInput):
        clients.update(admin, admin.client_id, ClientChanges(**changes), if_match=None)


def test_removing_the_own_account_takes_a_log_in_of_the_last_five_minutes(db: psycopg.Connection) -> None:
    ana = accounts.register(email="ana@example.com")
    tokens = sessions.log_in("ana@example.com", PASSWORD)
    db.execute("UPDATE sessions SET logged_in_at = logged_in_at - interval '301 seconds'")
    later = access_tokens.verify(sessions.refresh(tokens.refresh_token).access_token)
    with pytest.raises(LogInTooLongAgo) as refused:
        clients.remove(later, "me")
    assert refused.value.max_age == 300
    assert clients.get(later, "me") == ana
    clients.remove(access_tokens.verify(sessions.log_in("ana@example.com", PASSWORD).access_token), "me")


def test_an_admin_removes_others_whenever_they_logged_in(db: psycopg.Connection) -> None:
    ana = accounts.register()
    admin = replace(accounts.new_admin(db), authenticated_at=0)
    clients.remove(admin, ana.client_id)
    with pytest.raises(UnknownClient):
        clients.get(admin, ana.client_id)


def test_the_last_admin_cannot_remove_itself(db: psycopg.Connection) -> None:
    admin = accounts.new_admin(db)
    accounts.register()
    with pytest.raises(LastAdmin):
        clients.remove(admin, "me")
    other = accounts.new_admin(db)
    clients.remove(admin, "me")
    with pytest.raises(LastAdmin):
        clients.remove(other, "me")
    assert clients.get(other, "me").role == "admin"


def test_a_token_that_ends_while_its_client_is_removed_removes_nobody(
    db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts.new_admin(db)
    admin = accounts.new_admin(db)
    keep = clients._keep_an_admin

    def ended(current: database.Connection, client_id: uuid.UUID) -> None:
        db.execute("UPDATE clients SET token_generation = token_generation + 1")
        keep(current, client_id)

    monkeypatch.setattr(clients, "_keep_an_admin", ended)
    with pytest.raises(InvalidToken):
        clients.remove(admin, "me")
    assert clients.get(accounts.now(db, admin.client_id), "me")


def test_who_becomes_the_last_admin_while_being_removed_stays(db: psycopg.Connection) -> None:
    admin, ben = accounts.new_admin(db), accounts.register("Ben")
    with ThreadPoolExecutor(1) as pool:
        with db.transaction():
            accounts.set_role(db, ben.client_id, "admin")
            accounts.set_role(db, admin.client_id, "client")
            removing = pool.submit(clients.remove, admin, ben.client_id)
            # The right to remove is asked for first, and its answer does not wait for the row.
            concurrency.wait_for_a_lock(db)
        assert isinstance(removing.exception(), LastAdmin)
    assert clients.get(accounts.now(db, ben.client_id), "me").role == "admin"


@pytest.mark.usefixtures("connection_per_thread")
def test_of_admins_who_remove_each_other_at_once_one_stays(db: psycopg.Connection) -> None:
    for _ in range(5):
        db.execute("DELETE FROM clients")
        admins = [accounts.new_admin(db) for _ in range(4)]
        circle = zip(admins, [*admins[1:], admins[0]], strict=True)
        outcomes = concurrency.at_once(
            [partial(clients.remove, admin, other.client_id) for admin, other in circle]
        )
        left = db.execute("SELECT count(*) FROM clients WHERE role = 'admin'").fetchone()
        assert left == (sum(outcome is not None for outcome in outcomes),)
        assert left >= (1,)
        refused = [outcome for outcome in outcomes if outcome is not None]
        assert all(isinstance(outcome, LastAdmin | InvalidToken) for outcome in refused), refused
