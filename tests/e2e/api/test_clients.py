"""Clients over HTTP: register, list, read, edit, remove."""

import re
import uuid
from typing import Any

import httpx
import pytest

from tests.e2e.api.service import PASSWORD, Customer, Service, flat, new_email, next_page, problem, walk

CLIENT_KEYS = {"client_id", "name", "email", "role", "created_at", "updated_at"}
RFC_3339_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
NEW_PASSWORD = "another fine password"
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


def registration(**changes: Any) -> dict[str, Any]:
    return {"name": "Ana Souza", "email": new_email(), "password": PASSWORD, **changes}


# ── POST /clients ─────────────────────────────────────────────────────────────────────────────────────────


def test_registering_answers_201_with_the_client_and_where_it_is(visitor: httpx.Client) -> None:
    new = registration(name="  Ana Souza  ")
    answer = visitor.post("/clients", json=new)
    assert answer.status_code == 201
    client = answer.json()
    assert client.keys() == CLIENT_KEYS
    assert str(uuid.UUID(client["client_id"])) == client["client_id"]
    assert (client["name"], client["email"], client["role"]) == ("Ana Souza", new["email"], "client")
    assert RFC_3339_UTC.fullmatch(client["created_at"])
    assert client["created_at"] == client["updated_at"]
    assert answer.headers["location"] == f"/clients/{client['client_id']}"
    assert answer.headers["cache-control"] == "private, no-cache"


def test_location_of_a_new_client_leads_to_it(visitor: httpx.Client, service: Service) -> None:
    new = registration()
    registered = visitor.post("/clients", json=new)
    token = service.log_in(new["email"], PASSWORD)["access_token"]
    answer = visitor.get(registered.headers["location"], headers={"Authorization": f"Bearer {token}"})
    assert answer.json() == registered.json()


def test_registering_with_a_taken_email_is_409(visitor: httpx.Client, bystander: Customer) -> None:
    answer = visitor.post("/clients", json=registration(email=bystander.email))
    assert problem(answer) == (409, "email-taken")


def test_registering_with_an_email_that_differs_only_in_case_is_409(
    visitor: httpx.Client, bystander: Customer
) -> None:
    answer = visitor.post("/clients", json=registration(email=bystander.email.swapcase()))
    assert problem(answer) == (409, "email-taken")


def test_the_refusal_of_a_taken_email_has_every_member_of_a_problem(
    visitor: httpx.Client, bystander: Customer
) -> None:
    answer = visitor.post("/clients", json=registration(email=bystander.email))
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body.keys() == {"type", "title", "status", "detail", "request_id"}
    assert body["type"] == "/problems/email-taken"
    assert body["status"] == 409
    assert isinstance(body["request_id"], str)


def test_every_refusal_has_a_request_id_of_its_own(service: Service, visitor: httpx.Client) -> None:
    if not service.gateway.numbers_requests:
        pytest.skip("sam local start-api gives all requests one id")
    ids = {visitor.get("/clients/me").json()["request_id"] for _ in range(3)}
    assert len(ids) == 3


def test_registering_as_admin_is_not_possible(visitor: httpx.Client) -> None:
    answer = visitor.post("/clients", json=registration(role="admin"))
    assert problem(answer) == (422, "invalid-input")
    assert [error["location"] for error in answer.json()["errors"]] == ["body.role"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "   "),
        ("name", "x" * 201),
        ("email", ""),
        ("email", "ana"),
        ("email", "ana@"),
        ("email", "@example.com"),
        ("email", "ana@exa mple.com"),
        ("email", "ana@example..com"),
        ("email", "ana@" + "example." * 31 + "com"),
        ("password", "1234567"),
        ("password", "x" * 129),
        ("password", "password"),
        ("password", "12345678"),
    ],
)
def test_registering_with_an_unfit_value_is_422_and_names_it(
    visitor: httpx.Client, field: str, value: str
) -> None:
    answer = visitor.post("/clients", json=registration(**{field: value}))
    assert problem(answer) == (422, "invalid-input")
    (error,) = answer.json()["errors"]
    assert error["location"] == f"body.{field}"
    assert error.keys() == {"location", "message", "type"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "x" * 200),
        ("name", "x"),
        ("password", "x" * 128),
        ("password", "1234 567"),
        ("password", "ñ" * 8),
    ],
)
def test_registering_with_values_at_the_limits_is_201(visitor: httpx.Client, field: str, value: str) -> None:
    assert visitor.post("/clients", json=registration(**{field: value})).status_code == 201


def test_several_unfit_values_are_all_told(visitor: httpx.Client) -> None:
    answer = visitor.post("/clients", json={"name": "", "email": "ana"})
    locations = {error["location"] for error in answer.json()["errors"]}
    assert locations == {"body.name", "body.email", "body.password"}


def test_a_refused_password_is_not_sent_back(visitor: httpx.Client) -> None:
    answer = visitor.post("/clients", json=registration(password="hunter2"))
    assert answer.status_code == 422
    assert "hunter2" not in answer.text


# ── GET /clients ──────────────────────────────────────────────────────────────────────────────────────────


def test_an_admin_lists_the_clients_page_by_page_without_gap_or_repetition(
    admin: httpx.Client, customer: Customer, other: Customer
) -> None:
    pages = walk(admin, "/clients?limit=50")
    clients = flat(pages)
    ids = [client["client_id"] for client in clients]
    assert all(len(page) == 50 for page in pages[:-1])
    assert all(client.keys() == CLIENT_KEYS for client in clients)
    assert len(ids) == len(set(ids))
    assert {customer.client["client_id"], other.client["client_id"]} <= set(ids)
    assert [client["created_at"] for client in clients] == sorted(client["created_at"] for client in clients)


def test_a_page_of_clients_leads_to_the_next_by_cursor_and_by_link(
    admin: httpx.Client, customer: Customer, other: Customer
) -> None:
    assert customer.email != other.email
    first = admin.get("/clients", params={"limit": 1})
    assert first.json().keys() == {"items", "next_cursor"}
    by_cursor = admin.get("/clients", params={"limit": 1, "cursor": first.json()["next_cursor"]})
    link = next_page(first)
    assert link is not None
    assert admin.get(link).json() == by_cursor.json()
    assert by_cursor.json()["items"] != first.json()["items"]


def test_an_admin_finds_a_client_by_email_in_whatever_case(admin: httpx.Client, bystander: Customer) -> None:
    answer = admin.get("/clients", params={"email": bystander.email.upper()})
    assert answer.json() == {"items": [bystander.client], "next_cursor": None}


def test_an_email_that_nobody_has_finds_nobody(admin: httpx.Client) -> None:
    assert admin.get("/clients", params={"email": new_email()}).json() == {"items": [], "next_cursor": None}


def test_the_first_admin_is_in_the_list_as_admin(admin: httpx.Client, service: Service) -> None:
    (found,) = admin.get("/clients", params={"email": service.admin_email}).json()["items"]
    assert found["role"] == "admin"


def test_listing_clients_is_403_for_customers(bystander: Customer) -> None:
    assert problem(bystander.http.get("/clients")) == (403, "forbidden")


def test_a_cursor_of_another_list_is_422(admin: httpx.Client, visitor: httpx.Client) -> None:
    cursor = visitor.get("/products", params={"limit": 1}).json()["next_cursor"]
    answer = admin.get("/clients", params={"cursor": cursor})
    assert problem(answer) == (422, "invalid-input")
    assert answer.json()["errors"][0]["location"] == "query.cursor"


# ── GET /clients/{client_id} ──────────────────────────────────────────────────────────────────────────────


def test_a_customer_reads_their_own_client_by_id_and_as_me(bystander: Customer) -> None:
    by_id, as_me = bystander.http.get(bystander.path), bystander.http.get("/clients/me")
    assert (by_id.status_code, as_me.status_code) == (200, 200)
    assert by_id.json() == as_me.json() == bystander.client
    assert by_id.headers["cache-control"] == "private, no-cache"


def test_a_client_is_not_sent_again_to_who_has_it(bystander: Customer) -> None:
    etag = bystander.http.get("/clients/me").headers["etag"]
    assert re.fullmatch(r'"[^"]+"', etag)
    answer = bystander.http.get("/clients/me", headers={"If-None-Match": etag})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)


def test_a_client_that_changed_is_sent_again(customer: Customer) -> None:
    etag = customer.http.get("/clients/me").headers["etag"]
    customer.http.patch("/clients/me", json={"name": "Ana Maria"})
    answer = customer.http.get("/clients/me", headers={"If-None-Match": etag})
    assert answer.status_code == 200
    assert answer.headers["etag"] != etag


def test_an_admin_reads_anybody(admin: httpx.Client, bystander: Customer) -> None:
    assert admin.get(bystander.path).json() == bystander.client


def test_the_client_of_another_is_403_and_so_is_one_that_does_not_exist(
    customer: Customer, other: Customer
) -> None:
    refusals = [customer.http.get(path) for path in (other.path, f"/clients/{uuid.uuid4()}")]
    assert [problem(refusal) for refusal in refusals] == [(403, "forbidden")] * 2
    existing, absent = ({**refusal.json(), "request_id": ""} for refusal in refusals)
    assert existing == absent


def test_an_unknown_client_is_404_for_an_admin(admin: httpx.Client) -> None:
    assert problem(admin.get(f"/clients/{uuid.uuid4()}")) == (404, "unknown-client")


# ── PATCH /clients/{client_id} ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/merge-patch+json", "application/json; charset=utf-8"]
)
def test_a_change_of_name_answers_200_with_the_client_as_it_is_now(
    customer: Customer, content_type: str
) -> None:
    answer = customer.http.patch(
        customer.path, content='{"name": " Ana Maria "}', headers={"Content-Type": content_type}
    )
    assert answer.status_code == 200
    changed = answer.json()
    assert changed.pop("updated_at") > customer.client["updated_at"]
    assert changed == {**{k: v for k, v in customer.client.items() if k != "updated_at"}, "name": "Ana Maria"}
    read = customer.http.get("/clients/me")
    assert read.json() == answer.json()
    assert read.headers["etag"] == answer.headers["etag"]


@pytest.mark.parametrize("patch", [{}, {"name": "Ana Souza"}])
def test_a_patch_that_changes_nothing_leaves_the_client_as_it_was(
    bystander: Customer, patch: dict[str, str]
) -> None:
    answer = bystander.http.patch("/clients/me", json=patch)
    assert answer.status_code == 200
    assert answer.json() == bystander.client


def test_a_patch_of_another_type_is_415_and_told_which_are_accepted(bystander: Customer) -> None:
    answer = bystander.http.patch(
        "/clients/me", content="[]", headers={"Content-Type": "application/json-patch+json"}
    )
    assert problem(answer) == (415, "unsupported-media-type")
    accepted = {part.strip() for part in answer.headers["accept-patch"].split(",")}
    assert accepted == {"application/merge-patch+json", "application/json"}


def test_a_change_with_the_current_etag_is_made(customer: Customer) -> None:
    etag = customer.http.get("/clients/me").headers["etag"]
    answer = customer.http.patch("/clients/me", json={"name": "Ana Maria"}, headers={"If-Match": etag})
    assert answer.status_code == 200


def test_a_change_with_an_old_etag_is_412_and_not_made(customer: Customer) -> None:
    etag = customer.http.get("/clients/me").headers["etag"]
    customer.http.patch("/clients/me", json={"name": "Ana Maria"})
    answer = customer.http.patch("/clients/me", json={"name": "Ana Paula"}, headers={"If-Match": etag})
    assert problem(answer) == (412, "changed-meanwhile")
    assert customer.http.get("/clients/me").json()["name"] == "Ana Maria"


def test_a_change_to_a_taken_email_is_409_and_not_made(customer: Customer, other: Customer) -> None:
    answer = customer.http.patch(
        "/clients/me", json={"email": other.email.upper(), "name": "Ben", "current_password": PASSWORD}
    )
    assert problem(answer) == (409, "email-taken")
    assert customer.http.get("/clients/me").json() == customer.client


def test_a_change_of_the_case_of_ones_own_email_is_made(customer: Customer) -> None:
    local, _, domain = customer.email.partition("@")
    answer = customer.http.patch(
        "/clients/me", json={"email": f"{local.upper()}@{domain}", "current_password": PASSWORD}
    )
    assert answer.json()["email"] == f"{local.upper()}@{domain}"


def test_after_a_change_of_email_the_log_in_is_by_the_new_one(customer: Customer, service: Service) -> None:
    email = new_email()
    change = {"email": email, "current_password": PASSWORD}
    assert customer.http.patch("/clients/me", json=change).json()["email"] == email
    assert service.log_in(email, PASSWORD)
    with service.visitor() as visitor:
        old = visitor.post("/auth/login", json={"email": customer.email, "password": PASSWORD})
    assert problem(old) == (401, "invalid-credentials")


def test_a_change_of_password_takes_the_current_one(bystander: Customer) -> None:
    answer = bystander.http.patch("/clients/me", json={"password": NEW_PASSWORD})
    assert problem(answer) == (422, "invalid-input")
    assert answer.json()["errors"][0]["location"] == "body.current_password"


def test_a_change_of_password_with_a_wrong_current_one_is_403_and_not_made(
    customer: Customer, service: Service
) -> None:
    change = {"password": NEW_PASSWORD, "current_password": "a guess at it"}
    assert problem(customer.http.patch("/clients/me", json=change)) == (403, "wrong-password")
    assert service.log_in(customer.email, PASSWORD)


def test_a_change_of_password_ends_all_sessions_and_the_old_password(
    customer: Customer, service: Service, visitor: httpx.Client
) -> None:
    elsewhere = service.log_in(customer.email, PASSWORD)
    change = {"password": NEW_PASSWORD, "current_password": PASSWORD}
    assert customer.http.patch("/clients/me", json=change, headers=MERGE_PATCH).status_code == 200
    for tokens in (customer.tokens, elsewhere):
        refresh = visitor.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        assert problem(refresh) == (401, "invalid-refresh-token")
    old = visitor.post("/auth/login", json={"email": customer.email, "password": PASSWORD})
    assert problem(old) == (401, "invalid-credentials")
    assert service.log_in(customer.email, NEW_PASSWORD)


@pytest.mark.parametrize("field", ["name", "email", "password"])
def test_null_is_no_value_of_any_field(bystander: Customer, field: str) -> None:
    answer = bystander.http.patch("/clients/me", json={field: None, "current_password": PASSWORD})
    assert problem(answer) == (422, "invalid-input")
    assert f"body.{field}" in [error["location"] for error in answer.json()["errors"]]


@pytest.mark.parametrize("field", ["role", "client_id", "created_at", "nickname"])
def test_a_field_that_cannot_be_changed_is_422(bystander: Customer, field: str) -> None:
    answer = bystander.http.patch("/clients/me", json={field: "admin"})
    assert problem(answer) == (422, "invalid-input")
    assert [error["location"] for error in answer.json()["errors"]] == [f"body.{field}"]


def test_the_client_of_another_cannot_be_changed(customer: Customer, other: Customer) -> None:
    assert problem(customer.http.patch(other.path, json={"name": "Eve"})) == (403, "forbidden")
    assert other.http.get("/clients/me").json() == other.client


def test_an_admin_changes_anybody(admin: httpx.Client, customer: Customer) -> None:
    assert admin.patch(customer.path, json={"name": "Ana Paula"}).json()["name"] == "Ana Paula"


def test_an_admin_sets_a_password_without_the_current_one(
    admin: httpx.Client, customer: Customer, service: Service
) -> None:
    assert admin.patch(customer.path, json={"password": NEW_PASSWORD}).status_code == 200
    assert service.log_in(customer.email, NEW_PASSWORD)


def test_changing_an_unknown_client_is_404_for_an_admin(admin: httpx.Client) -> None:
    assert problem(admin.patch(f"/clients/{uuid.uuid4()}", json={"name": "X"})) == (404, "unknown-client")


# ── DELETE /clients/{client_id} ───────────────────────────────────────────────────────────────────────────


def test_a_customer_removes_themselves(customer: Customer, admin: httpx.Client) -> None:
    answer = customer.http.delete("/clients/me")
    assert (answer.status_code, answer.content) == (204, b"")
    assert problem(admin.get(customer.path)) == (404, "unknown-client")


def test_a_removed_customer_cannot_log_in_nor_refresh(customer: Customer, visitor: httpx.Client) -> None:
    customer.http.delete(customer.path)
    log_in = visitor.post("/auth/login", json={"email": customer.email, "password": PASSWORD})
    assert problem(log_in) == (401, "invalid-credentials")
    refresh = visitor.post("/auth/refresh", json={"refresh_token": customer.tokens["refresh_token"]})
    assert problem(refresh) == (401, "invalid-refresh-token")


def test_the_email_of_a_removed_customer_is_free_and_their_favorites_are_gone(
    customer: Customer, service: Service
) -> None:
    customer.http.put("/favorites/1")
    customer.http.delete("/clients/me")
    again = service.register(email=customer.email)
    with again.http:
        assert again.client["client_id"] != customer.client["client_id"]
        assert again.http.get("/favorites").json()["items"] == []


def test_an_admin_removes_anybody_once(admin: httpx.Client, customer: Customer) -> None:
    assert admin.delete(customer.path).status_code == 204
    assert problem(admin.delete(customer.path)) == (404, "unknown-client")


def test_the_client_of_another_cannot_be_removed(customer: Customer, other: Customer) -> None:
    assert problem(customer.http.delete(other.path)) == (403, "forbidden")
    assert other.http.get("/clients/me").status_code == 200
