"""If-Match and If-None-Match of requests that change something (RFC 9110 §13.1 and §13.2)."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
import pytest

from shared.accounts.access_tokens import Caller
from shared.favorites import items
from tests.integration.accounts import ask, new_admin
from tests.integration.concurrency import wait_for_a_lock

pytestmark = pytest.mark.usefixtures("catalog")

OLD = '"an older one"'
PUT, DELETE = "add_favorite", "remove_favorite"

# Of a product that is a favorite (True) or none: the function, the header with the current ETag in place of
# {}, and the status.
ROWS = [
    (True, PUT, "if-match", "{}", 200),
    (True, PUT, "if-match", "*", 200),
    (True, PUT, "if-match", f"{OLD}, {{}}", 200),
    (True, PUT, "if-match", OLD, 412),
    (True, PUT, "if-match", "W/{}", 412),  # the strong comparison
    (True, PUT, "if-none-match", "*", 412),
    (True, PUT, "if-none-match", "{}", 412),
    (True, PUT, "if-none-match", "W/{}", 412),
    (True, PUT, "if-none-match", OLD, 200),
    (False, PUT, "if-none-match", "*", 201),
    (False, PUT, "if-match", "*", 412),
    (False, PUT, "if-match", OLD, 412),
    (True, DELETE, "if-match", "{}", 204),
    (True, DELETE, "if-match", "*", 204),
    (True, DELETE, "if-match", OLD, 412),
    (True, DELETE, "if-none-match", "*", 412),
    (False, DELETE, "if-match", OLD, 404),  # what would fail anyway fails as it would
    (True, "delete_client", "if-match", "{}", 204),
    (True, "delete_client", "if-match", OLD, 412),
    (True, "delete_client", "if-none-match", "*", 412),
    (True, "delete_client", "if-none-match", "{}", 412),
    (True, "delete_client", "if-none-match", OLD, 204),
    (True, "update_client", "if-match", "{}", 200),
    (True, "update_client", "if-match", "*", 200),
    (True, "update_client", "if-match", f"{OLD}, {{}}", 200),
    (True, "update_client", "if-match", OLD, 412),
    (True, "update_client", "if-match", f"W/{OLD}, W/{{}}", 412),  # the strong comparison
    (True, "update_client", "if-match", "bare", 412),
    (True, "update_client", "if-none-match", "*", 412),
    (True, "update_client", "if-none-match", "W/{}", 412),
    (True, "update_client", "if-none-match", OLD, 200),
]


@pytest.mark.parametrize(("is_favorite", "function", "header", "value", "status"), ROWS)
def test_a_change_happens_only_under_its_precondition(
    ana: Caller, is_favorite: bool, function: str, header: str, value: str, status: int
) -> None:
    if is_favorite:
        items.add(ana, "7")
    read = "get_client" if function.endswith("client") else "get_favorite"
    before = ask(read, ana)
    sent = value.replace("{}", before.headers.get("ETag", ""))
    body = {"name": "Another name"} if function == "update_client" else None
    answer = ask(function, ana, headers={header: sent}, body=body)
    assert answer.status == status
    if status == 412:
        assert answer.problem == "changed-meanwhile"
        after = ask(read, ana)
        assert (after.status, after.headers.get("ETag")) == (before.status, before.headers.get("ETag"))


@pytest.mark.parametrize("headers", [{"if-match": OLD}, {"if-none-match": "*"}])
def test_request_that_fails_without_its_conditions_fails_the_same_with_them(
    ana: Caller, headers: dict[str, str]
) -> None:
    # RFC 9110 §13.2.1
    assert ask("add_favorite", ana, path={"product_id": "999"}, headers=headers).problem == "unknown-product"
    answer = ask(
        "update_client", ana, path={"client_id": str(uuid4())}, headers=headers, body={"name": "Eva"}
    )
    assert answer.problem == "forbidden"


@pytest.mark.parametrize("headers", [{"if-match": OLD}, {"if-none-match": "*"}])
def test_last_admin_stays_under_any_condition(db: psycopg.Connection, headers: dict[str, str]) -> None:
    assert ask("delete_client", new_admin(db), headers=headers).problem == "last-admin"


@pytest.mark.parametrize("headers", [{"if-match": "*"}, {"if-none-match": '"another"'}])
def test_full_list_is_full_under_any_condition(
    ana: Caller, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "MAX_FAVORITES", 0)
    assert ask("add_favorite", ana, headers=headers).json["type"] == "/problems/favorites-full"


def test_both_conditions_have_to_hold(ana: Caller) -> None:
    items.add(ana, "7")
    etag = ask("get_favorite", ana).headers["ETag"]
    for function in (PUT, DELETE):
        assert ask(function, ana, headers={"if-match": etag, "if-none-match": "*"}).status == 412
        assert ask(function, ana, headers={"if-match": OLD, "if-none-match": OLD}).status == 412
    assert ask(DELETE, ana, headers={"if-match": etag, "if-none-match": OLD}).status == 204


def test_a_change_that_a_condition_refuses_leaves_no_event(ana: Caller, db: psycopg.Connection) -> None:
    ask(PUT, ana, headers={"if-match": "*"})
    items.add(ana, "7")
    ask(DELETE, ana, headers={"if-match": OLD})
    sent = db.execute("SELECT detail_type FROM outbox WHERE detail_type LIKE 'Favorite%'").fetchall()
    assert sent == [("FavoriteAdded",)]


def test_a_change_during_a_conditional_removal_is_noticed(ana: Caller, db: psycopg.Connection) -> None:
    items.add(ana, "7")
    etag = ask("get_favorite", ana).headers["ETag"]
    with ThreadPoolExecutor() as pool:
        with db.transaction():
            db.execute("SELECT FROM clients WHERE client_id = %s FOR UPDATE", [ana.client_id])
            answer = pool.submit(ask, DELETE, ana, headers={"if-match": etag})
            wait_for_a_lock(db)
            db.execute(
                "INSERT INTO favorite_alerts (client_id, product_id, kind, since_version)"
                " VALUES (%s, '7', 'available_again', 0)",
                [ana.client_id],
            )
        assert answer.result().problem == "changed-meanwhile"
    assert ask("get_favorite", ana).status == 200
