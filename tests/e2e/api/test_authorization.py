"""Who may do what: every route of the OpenAPI document with every kind of credentials, in one table.

A route that the document has and the table does not fails, and so does a row without a route.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest

from local.stack import Stack
from tests.e2e.api.document import operations
from tests.e2e.api.service import PASSWORD, Service, new_email
from tests.e2e.api.test_access_tokens import ANOTHER_KEY, signed

ANYBODY, EVERYBODY_FOR_THEMSELVES, SELF_OR_ADMIN, ADMIN = "anybody", "own", "self or admin", "admin"


@dataclass(frozen=True)
class Row:
    """Who may use a route, the body that it is asked with, and the status of a success."""

    who: str
    status: int
    body: Any = None
    also: int = 0  # another status that says the caller was let in


TABLE = {
    "POST /clients": Row(ANYBODY, 422, {}),
    "GET /clients": Row(ADMIN, 200),
    "GET /clients/{client_id}": Row(SELF_OR_ADMIN, 200),
    "PATCH /clients/{client_id}": Row(SELF_OR_ADMIN, 200, {"name": "Another"}),
    "DELETE /clients/{client_id}": Row(SELF_OR_ADMIN, 204),
    "GET /clients/{client_id}/export": Row(SELF_OR_ADMIN, 200),
    "DELETE /clients/{client_id}/sessions": Row(SELF_OR_ADMIN, 204),
    "POST /auth/login": Row(ANYBODY, 422, {}),
    "POST /auth/refresh": Row(ANYBODY, 422, {}),
    "POST /auth/logout": Row(ANYBODY, 422, {}),
    "GET /products": Row(ANYBODY, 200),
    "GET /products/{product_id}": Row(ANYBODY, 200),
    "HEAD /products/{product_id}": Row(ANYBODY, 200),
    "POST /favorites": Row(EVERYBODY_FOR_THEMSELVES, 201, {"product_id": "2"}),
    "GET /favorites": Row(EVERYBODY_FOR_THEMSELVES, 200),
    "PUT /favorites/{product_id}": Row(EVERYBODY_FOR_THEMSELVES, 201, also=200),
    "GET /favorites/{product_id}": Row(EVERYBODY_FOR_THEMSELVES, 404, also=200),
    "HEAD /favorites/{product_id}": Row(EVERYBODY_FOR_THEMSELVES, 404, also=200),
    "DELETE /favorites/{product_id}": Row(EVERYBODY_FOR_THEMSELVES, 404, also=204),
    "GET /favorite-ids": Row(EVERYBODY_FOR_THEMSELVES, 200),
    "POST /favorite-changes": Row(EVERYBODY_FOR_THEMSELVES, 200, {"add": [{"product_id": "3"}]}),
    "GET /health": Row(ANYBODY, 200),
    "GET /docs": Row(ANYBODY, 200),
    "GET /openapi.json": Row(ANYBODY, 200),
}
ROUTES = {f"{method} {path}" for method, path, _ in operations()}

# Those whose token never was one of ours, or is none any more: refused wherever a caller is needed.
# What else is wrong with a token is the same for all of them: BAD_TOKENS in tests/unit/routes/test_http.py.
REFUSED = (
    *("expired", "another key", "refresh token"),
    *("removed client", "role taken away", "password changed meanwhile"),
)
CREDENTIALS = ("no token", "self", "another client", "admin", *REFUSED)


def test_the_table_has_a_row_for_every_route_and_no_other() -> None:
    assert TABLE.keys() == ROUTES
    for method, path, operation in operations():
        assert bool(operation["security"]) == (TABLE[f"{method} {path}"].who != ANYBODY)


class People:
    """Clients made in the database, and tokens for them signed with the service's key."""

    def __init__(self, stack: Stack, service: Service, database: psycopg.Connection) -> None:
        self._service = service
        self._database = database
        self._key_id, self._key = next(iter(json.loads(stack.access_token_keys).items()))

    def new(self, role: str = "client") -> str:
        email = new_email()
        row = self._database.execute(
            "INSERT INTO clients (name, email, email_key, password_hash, role) "
            "VALUES ('Made', %s, %s, '-', %s) RETURNING client_id::text",
            [email, email, role],
        ).fetchone()
        assert row
        return str(row[0])

    def token(
        self,
        client_id: str,
        *,
        role: str = "client",
        key: str | None = None,
        header: dict[str, Any] | None = None,
        **changes: Any,
    ) -> str:
        now = int(time.time())
        claims = {
            "iss": "favorites-service",
            "aud": "favorites-api",
            "sub": client_id,
            "role": role,
            "generation": 0,
            "auth_time": now,
            "iat": now,
            "exp": now + 900,
            "jti": uuid.uuid4().hex,
            **changes,
        }
        return signed(
            {"alg": "HS256", "typ": "at+jwt", "kid": self._key_id, **(header or {})}, claims, key or self._key
        )

    def removed(self) -> tuple[str, str]:
        client_id = self.new()
        self._database.execute("DELETE FROM clients WHERE client_id = %s", [client_id])
        return client_id, self.token(client_id)

    def former_admin(self) -> tuple[str, str]:
        client_id = self.new("admin")
        self._database.execute("UPDATE clients SET role = 'client' WHERE client_id = %s", [client_id])
        return client_id, self.token(client_id, role="admin")

    def with_another_password(self) -> tuple[str, str]:
        customer = self._service.register()
        with customer.http as http:
            change = {"password": "another fine password", "current_password": PASSWORD}
            assert http.patch("/clients/me", json=change).status_code == 200
        return str(customer.client["client_id"]), str(customer.tokens["access_token"])

    def refresh_token(self) -> str:
        customer = self._service.register()
        customer.http.close()
        return str(customer.tokens["refresh_token"])


@pytest.fixture(scope="module")
def people(stack: Stack) -> Iterator[People]:
    keys = json.loads(stack.access_token_keys)
    service = Service(stack.url, stack.admin_email, stack.admin_password, keys)
    with psycopg.connect(stack.database_url, autocommit=True) as database:
        yield People(stack, service, database)


Asked = tuple[str, str | None]  # whose client the path names, and the token


@pytest.fixture(scope="module")
def credentials(people: People) -> dict[str, Callable[[], Asked]]:
    """Each kind of credentials, and the client that it is used on."""
    victim, refresh_token = people.new(), people.refresh_token()
    removed, former, changed = people.removed(), people.former_admin(), people.with_another_password()
    now = int(time.time())

    def good(role: str) -> Asked:
        client_id = people.new(role)
        target = client_id if role == "client" else people.new()
        return target, people.token(client_id, role=role)

    return {
        "no token": lambda: (victim, None),
        "self": lambda: good("client"),
        "another client": lambda: (victim, people.token(people.new())),
        "admin": lambda: good("admin"),
        "expired": lambda: (victim, people.token(victim, iat=now - 1000, exp=now - 1)),
        "another key": lambda: (victim, people.token(victim, key=ANOTHER_KEY)),
        "refresh token": lambda: (victim, refresh_token),
        "removed client": lambda: removed,
        "role taken away": lambda: former,
        "password changed meanwhile": lambda: changed,
    }


def expected(row: Row, kind: str) -> set[tuple[int, str]]:
    """The statuses that the table foresees, each with its problem's slug where it is one of ours to tell."""
    let_in = {(row.status, ""), (row.also or row.status, "")}
    if row.who == ANYBODY:
        return let_in
    if kind == "no token":
        return {(401, "missing-credentials")}
    if kind in REFUSED:
        return {(401, "invalid-token")}
    if row.who == ADMIN and kind != "admin":
        return {(403, "forbidden")}
    if row.who == SELF_OR_ADMIN and kind == "another client":
        return {(403, "forbidden")}
    return let_in


@pytest.mark.parametrize(
    ("route", "kind"),
    [
        (route, kind)
        for route, row in sorted(TABLE.items())
        for kind in CREDENTIALS
        if row.who != ANYBODY or kind in ("no token", "self", "expired")
    ],
)
def test_a_route_lets_in_whom_the_table_says(
    stack: Stack, credentials: dict[str, Callable[[], Asked]], route: str, kind: str
) -> None:
    row = TABLE[route]
    target, token = credentials[kind]()
    method, _, path = route.partition(" ")
    answer = httpx.request(
        method,
        stack.url + path.replace("{client_id}", target).replace("{product_id}", "1"),
        json=row.body,
        headers={} if token is None else {"Authorization": f"Bearer {token}"},
        timeout=30,
    )
    is_refusal = answer.status_code in (401, 403) and answer.content
    slug = str(answer.json()["type"]).removeprefix("/problems/") if is_refusal else ""
    wanted = expected(row, kind)
    if method == "HEAD":  # has no body to tell it in
        wanted = {(status, "") for status, _ in wanted}
    assert (answer.status_code, slug) in wanted, answer.text


def test_an_admins_token_does_not_make_the_row_an_admins(stack: Stack, people: People) -> None:
    """Signed with the service's key even: the role that counts is that of the row."""
    eve, victim = people.new(), people.new()
    for route, row in TABLE.items():
        if row.who in (ADMIN, SELF_OR_ADMIN):
            method, _, path = route.partition(" ")
            answer = httpx.request(
                method,
                stack.url + path.replace("{client_id}", victim),
                json=row.body,
                headers={"Authorization": f"Bearer {people.token(eve, role='admin')}"},
                timeout=30,
            )
            assert answer.status_code == 403, route
