from datetime import timedelta

import psycopg
import pytest

from shared.accounts import passwords
from tests.calls import ADMIN, ANA, SOMEBODY_ELSE, call, token
from tests.unit import fakes
from tests.unit.fakes import NOON, Backends, client_row

backends = pytest.fixture(fakes.backends)

_LOCK = "FOR UPDATE"
_WRITE = "UPDATE clients"
OLD_PASSWORD = "correct horse battery"
NEW_PASSWORD = "incorrect zebra staple"


@pytest.fixture(scope="module")
def password_hash() -> str:
    """The hash of Ana's password."""
    return passwords.hash_password(OLD_PASSWORD)


@pytest.fixture
def ana(backends: Backends, password_hash: str) -> Backends:
    """The backends, with Ana in the database."""
    backends.postgres.on(_LOCK, [client_row(password_hash=password_hash)])
    backends.postgres.on(_WRITE, [client_row(name="Ana Lima", updated_at=NOON + timedelta(hours=1))])
    backends.postgres.on("DELETE FROM sessions", 3)
    return backends


def test_a_new_name_is_written_and_the_rest_stays(ana: Backends) -> None:
    answer = call("update_client", body={"name": " Ana Lima "})
    assert answer.status == 200
    assert answer.json["name"] == "Ana Lima"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    (written,) = ana.postgres.asked_for(_WRITE)
    assert written == {
        "client_id": ANA,
        "name": "Ana Lima",
        "email": "ana@example.com",
        "email_key": "ana@example.com",
        "password_hash": None,
    }
    assert ana.postgres.asked_for("sessions") == []


def test_the_answer_carries_the_etag_of_the_client_as_it_is_now(ana: Backends) -> None:
    changed = call("update_client", body={"name": "Ana Lima"})
    ana.postgres.on("FROM clients WHERE client_id", [client_row(**ana_lima())])
    assert call("get_client").headers["ETag"] == changed.headers["ETag"]


def ana_lima() -> dict[str, object]:
    return {"name": "Ana Lima", "updated_at": NOON + timedelta(hours=1)}


def test_a_new_email_is_written_with_its_key(ana: Backends) -> None:
    assert (
        call("update_client", body={"email": "ANA@Example.org", "current_password": OLD_PASSWORD}).status
        == 200
    )
    (written,) = ana.postgres.asked_for(_WRITE)
    assert (written["email"], written["email_key"]) == ("ANA@example.org", "ana@example.org")


@pytest.mark.parametrize("patch", [{}, {"name": "Ana Souza"}, {"email": "ana@example.com"}])
def test_a_patch_that_changes_nothing_writes_nothing(ana: Backends, patch: dict[str, str]) -> None:
    answer = call("update_client", body=patch)
    assert answer.status == 200
    assert answer.json["updated_at"] == "2026-11-23T12:00:00.000000Z"
    assert ana.postgres.asked_for(_WRITE) == []


def test_a_new_password_ends_all_sessions_in_the_same_transaction(ana: Backends) -> None:
    answer = call("update_client", body={"password": NEW_PASSWORD, "current_password": OLD_PASSWORD})
    assert answer.status == 200
    (written,) = ana.postgres.asked_for(_WRITE)
    assert passwords.is_password(NEW_PASSWORD, written["password_hash"])
    assert ana.postgres.asked_for("DELETE FROM sessions") == [{"client_id": ANA}]
    assert (ana.postgres.statements[0], ana.postgres.statements[-1]) == ("BEGIN", "COMMIT")


def test_the_own_password_is_not_changed_without_the_current_one(ana: Backends) -> None:
    answer = call("update_client", body={"password": NEW_PASSWORD})
    assert answer.wrong == ["body.current_password"]
    assert ana.postgres.asked == []


def test_a_wrong_current_password_is_403_and_changes_nothing(ana: Backends) -> None:
    answer = call("update_client", body={"password": NEW_PASSWORD, "current_password": "a guess"})
    assert answer.status == 403
    assert answer.problem == "wrong-password"
    assert ana.postgres.asked_for(_WRITE) == []
    assert ana.postgres.asked_for("sessions") == []
    assert ana.postgres.statements[-1] == "ROLLBACK"


def test_guesses_at_the_current_password_are_counted_like_log_ins(ana: Backends) -> None:
    ana.valkey.wait_after_this_log_in = 4
    answer = call("update_client", body={"password": NEW_PASSWORD, "current_password": "a guess"})
    assert answer.status == 429
    assert answer.problem == "too-many-attempts"
    assert answer.headers["Retry-After"] == "4"


def test_who_has_to_wait_is_not_heard_even_with_the_right_password(ana: Backends) -> None:
    ana.valkey.wait_after_this_log_in = -1 - 30
    answer = call("update_client", body={"password": NEW_PASSWORD, "current_password": OLD_PASSWORD})
    assert answer.status == 429
    assert answer.headers["Retry-After"] == "30"
    assert ana.postgres.asked_for(_WRITE) == []


def test_an_admin_sets_the_password_of_another_without_knowing_it(ana: Backends) -> None:
    ana.postgres.on("SELECT role FROM clients", [{"role": "admin"}])
    answer = call(
        "update_client",
        authorization=token(ADMIN, "admin"),
        path={"client_id": str(ANA)},
        body={"password": NEW_PASSWORD},
    )
    assert answer.status == 200
    assert ana.postgres.asked_for("DELETE FROM sessions") == [{"client_id": ANA}]


def test_an_admin_needs_the_current_one_for_their_own(ana: Backends) -> None:
    answer = call("update_client", authorization=token(ADMIN, "admin"), body={"password": NEW_PASSWORD})
    assert answer.wrong == ["body.current_password"]
    assert ana.postgres.asked == []


def test_an_email_of_another_client_is_409(ana: Backends) -> None:
    ana.postgres.on(_WRITE, psycopg.errors.UniqueViolation("clients_email_key_unique"))
    answer = call("update_client", body={"email": "eva@example.com", "current_password": OLD_PASSWORD})
    assert answer.status == 409
    assert answer.problem == "email-taken"
    assert "clients_email_key" not in answer.body


def test_if_match_with_the_current_etag_lets_the_change_through(ana: Backends) -> None:
    ana.postgres.on("FROM clients WHERE client_id", [client_row()])
    etag = call("get_client").headers["ETag"]
    ana.postgres.on(_LOCK, [client_row(password_hash="")])
    for if_match in (etag, f'"other", {etag}', "*"):
        answer = call("update_client", body={"name": "Ana Lima"}, headers={"if-match": if_match})
        assert answer.status == 200


@pytest.mark.parametrize("if_match", ['"another"', 'W/"another"', '"one", "other"'])
def test_if_match_with_another_etag_is_412_and_changes_nothing(ana: Backends, if_match: str) -> None:
    answer = call("update_client", body={"name": "Ana Lima"}, headers={"if-match": if_match})
    assert answer.status == 412
    assert answer.problem == "changed-meanwhile"
    assert ana.postgres.asked_for(_WRITE) == []


def test_if_match_compares_strongly(ana: Backends) -> None:
    ana.postgres.on("FROM clients WHERE client_id", [client_row()])
    etag = call("get_client").headers["ETag"]
    ana.postgres.on(_LOCK, [client_row(password_hash="")])
    answer = call("update_client", body={"name": "Ana Lima"}, headers={"if-match": f"W/{etag}"})
    assert answer.status == 412  # RFC 9110 §13.1.1


def test_another_client_is_403_without_a_look_at_the_database(backends: Backends) -> None:
    answer = call("update_client", path={"client_id": str(SOMEBODY_ELSE)})
    assert answer.status == 403
    assert backends.postgres.asked == []


def test_an_admin_is_told_that_there_is_no_such_client(backends: Backends) -> None:
    backends.postgres.on(_LOCK, [])
    backends.postgres.on("SELECT role FROM clients", [{"role": "admin"}])
    answer = call(
        "update_client", authorization=token(ADMIN, "admin"), path={"client_id": str(SOMEBODY_ELSE)}
    )
    assert answer.status == 404
    assert answer.problem == "unknown-client"


def test_a_removed_client_gets_401(backends: Backends) -> None:
    backends.postgres.on(_LOCK, [])
    assert call("update_client").problem == "invalid-token"


def test_an_id_that_is_no_uuid_is_404_whatever_the_body(backends: Backends) -> None:
    for body in ({"name": "Ana"}, {"name": None}):
        answer = call("update_client", path={"client_id": "42"}, body=body)
        assert answer.problem == "unknown-client"
    assert backends.postgres.asked == []


@pytest.mark.parametrize(
    ("patch", "wrong"),
    [
        ({"name": None}, ["body.name"]),  # RFC 7396 would remove it; a client always has one
        ({"email": None}, ["body.email"]),
        ({"password": None}, ["body.password"]),
        ({"name": ""}, ["body.name"]),
        ({"name": "\0"}, ["body.name"]),
        ({"name": "\udfff"}, ["body.name"]),
        ({"email": "nonsense"}, ["body.email"]),
        ({"password": "short"}, ["body.password"]),
        ({"password": NEW_PASSWORD, "current_password": ""}, ["body.current_password"]),
        ({"role": "admin"}, ["body.role"]),
        ({"client_id": str(SOMEBODY_ELSE)}, ["body.client_id"]),
        ({"Name": "Ana"}, ["body.Name"]),
    ],
)
def test_a_bad_patch_is_422_and_named(backends: Backends, patch: dict[str, object], wrong: list[str]) -> None:
    answer = call("update_client", body=patch)
    assert answer.status == 422
    assert answer.wrong == wrong
    assert backends.postgres.asked == []


@pytest.mark.parametrize(
    "media_type",
    [
        "application/merge-patch+json",
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/merge-patch+json;charset=utf-8",
    ],
)
def test_both_media_types_are_taken(ana: Backends, media_type: str) -> None:
    answer = call("update_client", headers={"content-type": media_type})
    assert answer.status == 200
    assert len(ana.postgres.asked_for(_WRITE)) == 1


@pytest.mark.parametrize(
    "media_type",
    ["application/json-patch+json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"],
)
def test_another_media_type_is_415_with_accept_patch(backends: Backends, media_type: str) -> None:
    answer = call("update_client", headers={"content-type": media_type})
    assert answer.status == 415
    assert answer.problem == "unsupported-media-type"
    assert answer.headers["Accept-Patch"] == "application/merge-patch+json, application/json"
    assert backends.postgres.asked == []
