import pytest

from tests.calls import ADMIN, SOMEBODY_ELSE, call, token

pytestmark = pytest.mark.usefixtures("backends")

NEW_PASSWORD = "incorrect zebra staple"


def test_the_own_password_is_not_changed_without_the_current_one() -> None:
    answer = call("update_client", body={"password": NEW_PASSWORD})
    assert answer.wrong == ["body.current_password"]


def test_an_admin_needs_the_current_one_for_their_own() -> None:
    answer = call("update_client", authorization=token(ADMIN, "admin"), body={"password": NEW_PASSWORD})
    assert answer.wrong == ["body.current_password"]


def test_an_id_that_is_no_uuid_is_404_whatever_the_body() -> None:
    for body in ({"name": "Ana"}, {"name": None}):
        answer = call("update_client", path={"client_id": "42"}, body=body)
        assert answer.problem == "unknown-client"


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
def test_a_bad_patch_is_422_and_named(patch: dict[str, object], wrong: list[str]) -> None:
    answer = call("update_client", body=patch)
    assert answer.status == 422
    assert answer.wrong == wrong


@pytest.mark.parametrize(
    "media_type",
    ["application/json-patch+json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"],
)
def test_another_media_type_is_415_with_accept_patch(media_type: str) -> None:
    answer = call("update_client", headers={"content-type": media_type})
    assert answer.status == 415
    assert answer.problem == "unsupported-media-type"
    assert answer.headers["Accept-Patch"] == "application/merge-patch+json, application/json"
