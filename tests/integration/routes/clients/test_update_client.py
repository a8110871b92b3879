"""PATCH /clients/{client_id}"""

import psycopg
import pytest

from shared.accounts.access_tokens import Caller
from tests.calls import SOMEBODY_ELSE
from tests.integration import accounts
from tests.integration.accounts import PASSWORD, ask

NEW_PASSWORD = "incorrect zebra staple"


def test_a_new_name_is_written_and_the_rest_stays(ana: Caller) -> None:
    before = ask("get_client", ana).json
    answer = ask("update_client", ana, body={"name": " Ana Lima "})
    assert answer.status == 200
    assert answer.json == before | {"name": "Ana Lima", "updated_at": answer.json["updated_at"]}
    assert answer.json["updated_at"] > before["updated_at"]
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["ETag"] == ask("get_client", ana).headers["ETag"]


def test_a_wrong_current_password_is_403_and_the_fifth_is_429(ana: Caller) -> None:
    body = {"password": NEW_PASSWORD, "current_password": "a guess"}
    *free, fifth = (ask("update_client", ana, body=body) for _ in range(5))
    assert [(answer.status, answer.problem) for answer in free] == [(403, "wrong-password")] * 4
    for answer in (fifth, ask("update_client", ana, body=body | {"current_password": PASSWORD})):
        assert (answer.status, answer.problem) == (429, "too-many-attempts")
        assert answer.headers["Retry-After"] == "1"


def test_an_email_of_another_client_is_409(ana: Caller) -> None:
    accounts.register(email="eva@example.com")
    answer = ask("update_client", ana, body={"email": "EVA@example.com", "current_password": PASSWORD})
    assert (answer.status, answer.problem) == (409, "email-taken")
    assert "clients_email_key" not in answer.body


def test_if_match_with_the_current_etag_lets_the_change_through(ana: Caller) -> None:
    for if_match in ("{}", '"other", {}', "*"):
        etag = ask("get_client", ana).headers["ETag"]
        answer = ask(
            "update_client",
            ana,
            body={"name": f"Ana {if_match}"},
            headers={"if-match": if_match.format(etag)},
        )
        assert answer.status == 200


@pytest.mark.parametrize("if_match", ['"another"', 'W/"another"', '"one", "other"', "W/{}", "bare"])
def test_if_match_with_another_etag_is_412_and_changes_nothing(ana: Caller, if_match: str) -> None:
    """A weak one is another too (RFC 9110 §13.1.1)."""
    before = ask("get_client", ana)
    if_match = if_match.format(before.headers["ETag"])
    answer = ask("update_client", ana, body={"name": "Ana Lima"}, headers={"if-match": if_match})
    assert (answer.status, answer.problem) == (412, "changed-meanwhile")
    assert ask("get_client", ana) == before


def test_an_admin_is_told_that_there_is_no_such_client(ana: Caller, db: psycopg.Connection) -> None:
    root = accounts.new_admin(db)
    answer = ask("update_client", root, path={"client_id": str(SOMEBODY_ELSE)})
    assert (answer.status, answer.problem) == (404, "unknown-client")
    named = ask("update_client", root, path={"client_id": str(ana.client_id)}, body={"name": "Eva"})
    assert (named.status, named.json["name"]) == (200, "Eva")


@pytest.mark.parametrize(
    "media_type",
    [
        "application/merge-patch+json",
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/merge-patch+json;charset=utf-8",
    ],
)
def test_both_media_types_are_taken(ana: Caller, media_type: str) -> None:
    answer = ask("update_client", ana, body={"name": "Eva"}, headers={"content-type": media_type})
    assert (answer.status, answer.json["name"]) == (200, "Eva")
