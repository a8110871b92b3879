"""GET /clients"""

from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from shared.accounts.access_tokens import Caller
from shared.favorites import items
from tests.integration import accounts
from tests.integration.accounts import ask


@pytest.fixture
def root(environment: pytest.MonkeyPatch, db: psycopg.Connection) -> Caller:
    """The first client, an admin."""
    assert environment
    return accounts.new_admin(db)


def test_admin_reads_a_page_of_clients(root: Caller, ana: Caller) -> None:
    answer = ask("list_clients", root, query={})
    assert answer.status == 200
    assert answer.json == {
        "items": [ask("get_client", caller).json for caller in (root, ana)],
        "next_cursor": None,
    }
    assert answer.headers == {"Content-Type": "application/json", "Cache-Control": "private, no-cache"}


def test_link_leads_to_the_next_page_with_the_same_parameters(root: Caller, ana: Caller) -> None:
    answer = ask("list_clients", root, query={"limit": "1"})
    target, relation = answer.headers["Link"].split("; ")
    assert relation == 'rel="next"'
    address = urlsplit(target.strip("<>"))
    assert address.path == "/clients"
    following = {name: value for name, [value] in parse_qs(address.query).items()}
    assert following == {"limit": "1", "cursor": answer.json["next_cursor"]}
    second = ask("list_clients", root, query=following)
    assert [item["client_id"] for item in second.json["items"]] == [str(ana.client_id)]
    assert "Link" not in second.headers


def test_without_parameters_a_page_has_20(root: Caller, db: psycopg.Connection) -> None:
    accounts.insert(db, 20)
    assert len(ask("list_clients", root, query={}).json["items"]) == 20


def test_email_filter_ignores_case(root: Caller) -> None:
    ana = accounts.register(email="ana@example.com")
    answer = ask("list_clients", root, query={"email": "ANA@Example.com"})
    assert [item["client_id"] for item in answer.json["items"]] == [str(ana.client_id)]


@pytest.mark.usefixtures("catalog")
def test_cursor_of_another_list_is_422(root: Caller) -> None:
    for product_id in ("7", "3"):
        items.add(root, product_id)
    foreign = ask("list_favorites", root, query={"limit": "1"}).json["next_cursor"]
    assert ask("list_clients", root, query={"cursor": foreign}).wrong == ["query.cursor"]


@pytest.mark.parametrize("cursor", ["", "x", "====", "a b", "Zm9yZ2Vk", "a" * 2_001, "💥", "\0"])
def test_forged_cursor_is_422(root: Caller, cursor: str) -> None:
    assert ask("list_clients", root, query={"cursor": cursor}).wrong == ["query.cursor"]


def test_unencoded_plus_in_an_email_is_named(root: Caller) -> None:
    answer = ask("list_clients", root, query={"email": "user shop@example.com"})
    assert answer.wrong == ["query.email"]
    assert "%2B" in answer.body
