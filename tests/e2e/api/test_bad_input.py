"""Input made badly that a gateway has its part in: bytes, sizes, types, percent signs, parameters twice.

What each function refuses, and how it names it, is asserted without a gateway in tests/unit (test_http.py
for all of them); what nobody thought of is tried by Schemathesis (test_schemathesis.py, `make fuzz`).
"""

import json

import httpx
import pytest

from tests.e2e.api.service import Customer, Service, is_text, new_email, problem

LISTS = ["/products", "/favorites", "/clients"]


@pytest.fixture(scope="module")
def caller(admin: httpx.Client) -> httpx.Client:
    """Somebody who may ask everything: what is refused here is refused for the input alone."""
    return admin


# ── Bodies ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"[]", b"\xff\xfe\x00{", b'{"name": "\xe9"}', b"[" * 30_000],
    ids=["empty", "words", "list", "utf-16", "latin-1", "deep list"],
)
def test_a_body_that_is_no_json_object_is_422(service: Service, caller: httpx.Client, body: bytes) -> None:
    if not service.gateway.passes_bytes and not is_text(body):
        pytest.skip("sam local start-api answers 502 itself to a body that is not text")
    answer = caller.post("/favorites", content=body, headers={"Content-Type": "application/json"})
    assert problem(answer) == (422, "invalid-input")
    assert {error["location"].split(".")[0] for error in answer.json()["errors"]} == {"body"}


@pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/clients"), ("PATCH", "/clients/me")])
def test_a_body_of_another_type_is_415(
    caller: httpx.Client, method: str, path: str, content_type: str
) -> None:
    answer = caller.request(method, path, content=b"{}", headers={"Content-Type": content_type})
    assert problem(answer) == (415, "unsupported-media-type")
    assert ("accept-patch" in answer.headers) == (method == "PATCH")


@pytest.mark.parametrize("body", [b'{"name": "' + b"x" * 1_000_000 + b'"}', b"[" * 1_000_000])
def test_a_body_of_1_mb_is_413(caller: httpx.Client, body: bytes) -> None:
    answer = caller.post("/clients", content=body, headers={"Content-Type": "application/json"})
    assert problem(answer) == (413, "body-too-large")


def test_all_that_is_wrong_with_a_body_is_named(caller: httpx.Client) -> None:
    answer = caller.post("/clients", json={"name": 7, "email": "ana@example.com", "is_admin": True})
    assert problem(answer) == (422, "invalid-input")
    wrong = [error["location"] for error in answer.json()["errors"]]
    assert wrong == ["body.name", "body.password", "body.is_admin"]


# ── Text ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name",
    ["José María Ñandú", "محمد", "👩‍👩‍👧‍👦", "e\u0301", '"quoted" \\ back', "tab\tand\nline", "👍" * 200],
)
def test_a_name_in_any_script_is_kept_as_it_is(customer: Customer, name: str) -> None:
    assert customer.http.patch("/clients/me", json={"name": name}).json()["name"] == name
    assert customer.http.get("/clients/me").json()["name"] == name


@pytest.mark.parametrize("name", ["Ana\0Souza", "\ud800"])
def test_a_name_that_cannot_be_stored_is_422(customer: Customer, name: str) -> None:
    answer = customer.http.patch("/clients/me", content=json.dumps({"name": name}))
    assert problem(answer) == (422, "invalid-input")
    assert answer.json()["errors"][0]["location"] == "body.name"


@pytest.mark.parametrize("password", ["\0" * 8, "\ud800" * 8])
def test_a_password_that_cannot_be_typed_does_no_harm(visitor: httpx.Client, password: str) -> None:
    email = new_email()
    json_type = {"Content-Type": "application/json"}
    new = json.dumps({"name": "Ana", "email": email, "password": password})
    registered = visitor.post("/clients", content=new, headers=json_type)
    assert registered.status_code in (201, 422)
    log_in = visitor.post(
        "/auth/login", content=json.dumps({"email": email, "password": password}), headers=json_type
    )
    assert log_in.status_code in ((200,) if registered.status_code == 201 else (401, 422))


# ── Parameters ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", ["0", "101", "ten", "", "%00", "1;2"])
def test_a_limit_that_is_none_is_422_and_named(caller: httpx.Client, path: str, limit: str) -> None:
    answer = caller.get(f"{path}?limit={limit}")
    assert problem(answer) == (422, "invalid-input")
    assert [error["location"] for error in answer.json()["errors"]] == ["query.limit"]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", ["1", "100"])
def test_a_limit_at_the_limits_is_200(caller: httpx.Client, path: str, limit: str) -> None:
    assert caller.get(path, params={"limit": limit}).status_code == 200


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("cursor", ["", "forged", "%00", "é", "=" * 8])
def test_a_forged_cursor_is_422_and_named(caller: httpx.Client, path: str, cursor: str) -> None:
    answer = caller.get(f"{path}?cursor={cursor}")
    assert problem(answer) == (422, "invalid-input")
    assert [error["location"] for error in answer.json()["errors"]] == ["query.cursor"]


@pytest.mark.parametrize("client_id", ["1", "%00", "' OR 1=1", "x" * 500, "é"])
def test_a_client_id_that_is_no_uuid_is_404(caller: httpx.Client, client_id: str) -> None:
    assert caller.get(f"/clients/{client_id}").status_code == 404


@pytest.mark.parametrize("path", ["/products?category", "/clients?email"])
@pytest.mark.parametrize("value", ["%00", "%FF", "%27%20OR%201=1--", "%F0%9F%8D%92", "a%00b", "%25"])
def test_a_strange_category_or_email_finds_nothing(caller: httpx.Client, path: str, value: str) -> None:
    answer = caller.get(f"{path}={value}")
    assert answer.status_code in (200, 422)
    assert answer.json().get("items", []) == []


@pytest.mark.parametrize("name", ["limt", "x[]", ""])
def test_a_parameter_that_the_route_does_not_have_is_422(caller: httpx.Client, name: str) -> None:
    answer = caller.get("/products", params={name: "1"})
    assert problem(answer) == (422, "invalid-input")
    assert answer.json()["errors"] == [
        {
            "location": f"query.{name}",
            "message": "is not a parameter of this route",
            "type": "extra_forbidden",
        }
    ]


@pytest.mark.parametrize("path", LISTS)
def test_a_repeated_parameter_does_no_harm(caller: httpx.Client, path: str) -> None:
    assert caller.get(f"{path}?limit=1&limit=2").status_code in (200, 422)


def test_the_body_of_a_get_is_ignored(caller: httpx.Client) -> None:
    answer = caller.request("GET", "/products/1", content=b"<x>", headers={"Content-Type": "text/xml"})
    assert answer.status_code == 200
