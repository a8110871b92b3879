from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.calls import ADMIN, ANA, SOMEBODY_ELSE, call, token
from tests.unit import fakes
from tests.unit.fakes import NOON, Backends, client_row

backends = pytest.fixture(fakes.backends)

_LIST = "ORDER BY created_at, client_id"


@pytest.fixture
def admin(backends: Backends) -> str:
    """An admin's Authorization header; the database knows them as one."""
    backends.postgres.on("SELECT role FROM clients", [{"role": "admin"}])
    return token(ADMIN, "admin")


def test_an_admin_reads_a_page_of_clients(backends: Backends, admin: str) -> None:
    backends.postgres.on(_LIST, [client_row(), client_row(client_id=ADMIN, role="admin")])
    answer = call("list_clients", authorization=admin)
    assert answer.status == 200
    assert [client["client_id"] for client in answer.json["items"]] == [str(ANA), str(ADMIN)]
    assert answer.json["items"][0].keys() == {
        "client_id",
        "name",
        "email",
        "role",
        "created_at",
        "updated_at",
    }
    assert answer.json["next_cursor"] is None
    assert answer.headers == {"Content-Type": "application/json", "Cache-Control": "private, no-cache"}


def test_the_next_page_begins_where_this_one_ends(backends: Backends, admin: str) -> None:
    later = NOON + timedelta(microseconds=1)
    rows = [client_row(client_id=ADMIN), client_row(created_at=later), client_row(client_id=SOMEBODY_ELSE)]
    backends.postgres.on(_LIST, rows, [])
    first = call("list_clients", authorization=admin, query={"limit": "2"})
    assert [client["client_id"] for client in first.json["items"]] == [str(ADMIN), str(ANA)]

    call("list_clients", authorization=admin, query={"limit": "2", "cursor": first.json["next_cursor"]})
    start, following = backends.postgres.asked_for(_LIST)
    assert (start["created_at"], start["client_id"], start["limit"]) == (None, None, 3)
    assert (following["created_at"], following["client_id"], following["limit"]) == (later, ANA, 3)


def test_the_link_leads_to_the_next_page_with_the_same_parameters(backends: Backends, admin: str) -> None:
    backends.postgres.on(_LIST, [client_row(), client_row()])
    answer = call("list_clients", authorization=admin, query={"limit": "1", "email": "ana+1@example.com"})
    target, relation = answer.headers["Link"].split("; ")
    assert relation == 'rel="next"'
    address = urlsplit(target.strip("<>"))
    assert address.path == "/clients"
    assert parse_qs(address.query) == {
        "limit": ["1"],
        "email": ["ana+1@example.com"],
        "cursor": [answer.json["next_cursor"]],
    }


def test_without_parameters_a_page_has_20(backends: Backends, admin: str) -> None:
    backends.postgres.on(_LIST, [client_row() for _ in range(21)])
    assert len(call("list_clients", authorization=admin, query={}).json["items"]) == 20


def test_an_email_filter_does_not_regard_case(backends: Backends, admin: str) -> None:
    backends.postgres.on(_LIST, [])
    call("list_clients", authorization=admin, query={"email": "ANA@Example.com"})
    assert backends.postgres.asked_for(_LIST)[0]["email_key"] == "ana@example.com"


@pytest.mark.parametrize("limit", ["0", "101", "-1", "abc", "", "1.5", "9" * 5_000, "10,20"])
def test_a_bad_limit_is_422(backends: Backends, admin: str, limit: str) -> None:
    answer = call("list_clients", authorization=admin, query={"limit": limit})
    assert answer.wrong == ["query.limit"]
    assert backends.postgres.asked == []


@pytest.mark.parametrize("cursor", ["", "x", "====", "a b", "Zm9yZ2Vk", "a" * 2_001, "💥", "\0"])
def test_a_forged_cursor_is_422(backends: Backends, admin: str, cursor: str) -> None:
    answer = call("list_clients", authorization=admin, query={"cursor": cursor})
    assert answer.wrong == ["query.cursor"]
    assert backends.postgres.asked_for(_LIST) == []


def test_a_cursor_of_another_list_is_422(backends: Backends, admin: str) -> None:
    backends.postgres.on("favorites", [fakes.listed_row(), fakes.listed_row()])
    foreign = call("list_favorites", query={"limit": "1"}).json["next_cursor"]
    assert call("list_clients", authorization=admin, query={"cursor": foreign}).wrong == ["query.cursor"]


def test_who_is_no_admin_gets_403_without_a_look_at_the_clients(backends: Backends) -> None:
    backends.postgres.on("SELECT role FROM clients", [{"role": "client"}])
    answer = call("list_clients")
    assert answer.status == 403
    assert answer.problem == "forbidden"
    assert "WWW-Authenticate" not in answer.headers
    assert backends.postgres.asked_for(_LIST) == []


def test_who_is_no_client_any_more_gets_401(backends: Backends) -> None:
    backends.postgres.on("SELECT role FROM clients", [])
    answer = call("list_clients")
    assert answer.status == 401
    assert answer.problem == "invalid-token"


def test_a_former_admin_gets_403_while_the_token_still_says_admin(backends: Backends) -> None:
    backends.postgres.on("SELECT role FROM clients", [{"role": "client"}])
    answer = call("list_clients", authorization=token(ADMIN, "admin"))
    assert answer.status == 403
    assert backends.postgres.asked_for(_LIST) == []


def test_a_removed_admin_gets_401(backends: Backends) -> None:
    backends.postgres.on("SELECT role FROM clients", [])
    answer = call("list_clients", authorization=token(ADMIN, "admin"))
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_a_repeated_parameter_is_422_and_not_guessed(admin: str) -> None:
    answer = call(
        "list_clients",
        authorization=admin,
        rawQueryString="limit=10&limit=20",
        queryStringParameters={"limit": "10,20"},  # as API Gateway joins them
    )
    assert answer.wrong == ["query.limit"]
