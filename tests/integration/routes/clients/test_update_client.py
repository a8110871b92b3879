"""PATCH /clients/{client_id}"""

import psycopg
import pytest

from shared.accounts.access_tokens import Caller
from tests.calls import SOMEBODY_ELSE
from tests.integration import accounts
from tests.integration.accounts import NEW_PASSWORD, PASSWORD, ask, is_alive, log_in


def test_new_name_is_written_and_the_rest_stays(ana: Caller) -> None:
    before = ask("get_client", ana).json
    answer = ask("update_client", ana, body={"name": " Ana Lima "})
    assert answer.status == 200
    assert answer.json == before | {"name": "Ana Lima", "updated_at": answer.json["updated_at"]}
    assert answer.json["updated_at"] > before["updated_at"]
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["ETag"] == ask("get_client", ana).headers["ETag"]


def test_wrong_current_password_is_403_and_the_fifth_is_429(ana: Caller) -> None:
    body = {"password": NEW_PASSWORD, "current_password": "a guess"}
    *free, fifth = (ask("update_client", ana, body=body) for _ in range(5))
    assert [(answer.status, answer.problem) for answer in free] == [(403, "wrong-password")] * 4
    for answer in (fifth, ask("update_client", ana, body=body | {"current_password": PASSWORD})):
        assert (answer.status, answer.problem) == (429, "too-many-attempts")
        assert answer.headers["Retry-After"] == "1"


def test_taken_email_is_409_and_nothing_of_the_change_is_kept(ana: Caller) -> None:
    accounts.register(email="eva@example.com")
    before, tokens = ask("get_client", ana), log_in()
    changes = {"name": "B", "email": "EVA@example.com", "password": NEW_PASSWORD}
    answer = ask("update_client", ana, body=changes | {"current_password": PASSWORD})
    assert (answer.status, answer.problem) == (409, "email-taken")
    assert "clients_email_key" not in answer.body
    assert ask("get_client", ana) == before
    assert is_alive(tokens)


def test_admin_changes_others_and_an_unknown_client_is_404(ana: Caller, db: psycopg.Connection) -> None:
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
def test_both_media_types_are_accepted(ana: Caller, media_type: str) -> None:
    answer = ask("update_client", ana, body={"name": "Eva"}, headers={"content-type": media_type})
    assert (answer.status, answer.json["name"]) == (200, "Eva")
