"""Sessions over HTTP: log in, refresh, log out."""

import base64
import json
import time
from typing import Any

import httpx
import pytest

from local.stack import Stack
from tests.e2e.api.service import PASSWORD, Customer, Service, new_email, problem

TOKENS_KEYS = {"access_token", "token_type", "expires_in", "refresh_token"}


def refresh(visitor: httpx.Client, token: str) -> httpx.Response:
    return visitor.post("/auth/refresh", json={"refresh_token": token})


def log_out(visitor: httpx.Client, token: str) -> httpx.Response:
    return visitor.post("/auth/logout", json={"refresh_token": token})


def part(token: str, index: int) -> dict[str, Any]:
    text = token.split(".")[index]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return decoded


# ── POST /auth/login ──────────────────────────────────────────────────────────────────────────────────────


def test_a_log_in_answers_200_with_tokens_that_nobody_may_store(
    visitor: httpx.Client, customer: Customer
) -> None:
    answer = visitor.post("/auth/login", json={"email": customer.email, "password": PASSWORD})
    assert answer.status_code == 200
    tokens = answer.json()
    assert tokens.keys() == TOKENS_KEYS
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 900)
    assert len(tokens["refresh_token"]) >= 43  # 256 bits in base64url
    assert answer.headers["cache-control"] == "no-store"


def test_an_access_token_says_what_the_design_says(customer: Customer) -> None:
    token = customer.tokens["access_token"]
    header, claims = part(token, 0), part(token, 1)
    assert (header["alg"], header["typ"]) == ("HS256", "at+jwt")
    assert header["kid"]
    assert claims.keys() == {*("iss", "aud", "sub", "role", "iat", "exp", "jti", "generation", "auth_time")}
    assert (claims["sub"], claims["role"]) == (customer.client["client_id"], "client")
    assert claims["exp"] - claims["iat"] == 900
    assert abs(claims["iat"] - time.time()) < 60
    assert claims["iat"] - 60 < claims["auth_time"] <= claims["iat"]


def test_the_case_of_the_email_does_not_matter_for_a_log_in(customer: Customer, service: Service) -> None:
    assert service.log_in(customer.email.upper(), PASSWORD)


def test_a_wrong_password_and_an_unknown_email_are_the_same_401(
    visitor: httpx.Client, customer: Customer
) -> None:
    refusals = [
        visitor.post("/auth/login", json={"email": email, "password": "a guess at it"})
        for email in (customer.email, new_email())
    ]
    assert [problem(refusal) for refusal in refusals] == [(401, "invalid-credentials")] * 2
    known, unknown = ({**refusal.json(), "request_id": ""} for refusal in refusals)
    assert known == unknown
    assert [refusal.headers["www-authenticate"] for refusal in refusals] == ["Bearer"] * 2


@pytest.mark.parametrize("missing", ["email", "password"])
def test_a_log_in_without_one_of_the_two_is_422(visitor: httpx.Client, missing: str) -> None:
    credentials = {"email": new_email(), "password": PASSWORD}
    del credentials[missing]
    answer = visitor.post("/auth/login", json=credentials)
    assert problem(answer) == (422, "invalid-input")
    assert [error["location"] for error in answer.json()["errors"]] == [f"body.{missing}"]


def fail_until_refused(visitor: httpx.Client, email: str) -> tuple[int, httpx.Response]:
    for attempt in range(1, 10):
        answer = visitor.post("/auth/login", json={"email": email, "password": "a guess at it"})
        if answer.status_code == 429:
            return attempt, answer
        assert answer.status_code == 401
    raise AssertionError("ten guesses and no 429")


def test_the_fifth_failed_log_in_is_429_with_the_seconds_to_wait(
    visitor: httpx.Client, customer: Customer
) -> None:
    attempt, answer = fail_until_refused(visitor, customer.email)
    assert attempt == 5
    assert problem(answer) == (429, "too-many-attempts")
    assert answer.headers["retry-after"] == "1"


def test_an_account_that_has_to_wait_is_not_heard_even_with_the_right_password(
    visitor: httpx.Client, customer: Customer
) -> None:
    fail_until_refused(visitor, customer.email)
    answer = visitor.post("/auth/login", json={"email": customer.email, "password": PASSWORD})
    assert problem(answer) == (429, "too-many-attempts")


def test_after_the_wait_the_right_password_is_heard_and_clears_the_count(
    visitor: httpx.Client, customer: Customer, service: Service
) -> None:
    _, answer = fail_until_refused(visitor, customer.email)
    time.sleep(int(answer.headers["retry-after"]))
    assert service.log_in(customer.email, PASSWORD)
    attempt, _ = fail_until_refused(visitor, customer.email)
    assert attempt == 5


def test_failures_of_one_account_do_not_hold_up_another(
    visitor: httpx.Client, customer: Customer, other: Customer, service: Service
) -> None:
    fail_until_refused(visitor, customer.email)
    assert service.log_in(other.email, PASSWORD)


def test_an_email_that_nobody_has_is_held_up_as_well(visitor: httpx.Client) -> None:
    attempt, _ = fail_until_refused(visitor, new_email())
    assert attempt == 5


def test_guesses_from_one_address_do_not_keep_the_owner_at_another_waiting(stack: Stack) -> None:
    """The address is the connection's own, whatever the headers say."""
    service = Service(stack.url, stack.admin_email, stack.admin_password, access_token_keys=None)
    email = new_email()
    with service.visitor() as visitor:
        new = {"name": "Ana", "email": email, "password": PASSWORD}
        assert visitor.post("/clients", json=new).status_code == 201
    forged = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "X-Real-IP": "203.0.113.9"}
    with _from("127.0.0.2", stack) as guesser, _from("127.0.0.3", stack) as owner:
        assert fail_until_refused(guesser, email)[0] == 5
        right = {"email": email, "password": PASSWORD}
        assert guesser.post("/auth/login", json=right, headers=forged).status_code == 429
        assert owner.post("/auth/login", json=right).status_code == 200


def _from(address: str, stack: Stack) -> httpx.Client:
    return httpx.Client(base_url=stack.url, transport=httpx.HTTPTransport(local_address=address), timeout=30)


# ── POST /auth/refresh ────────────────────────────────────────────────────────────────────────────────────


def test_a_refresh_gives_new_tokens_that_work(
    visitor: httpx.Client, customer: Customer, service: Service
) -> None:
    answer = refresh(visitor, customer.tokens["refresh_token"])
    assert answer.status_code == 200
    tokens = answer.json()
    assert tokens.keys() == TOKENS_KEYS
    assert tokens["refresh_token"] != customer.tokens["refresh_token"]
    assert answer.headers["cache-control"] == "no-store"
    with service.visitor(tokens["access_token"]) as http:
        assert http.get("/clients/me").json() == customer.client
    assert refresh(visitor, tokens["refresh_token"]).status_code == 200


def test_a_refresh_that_is_sent_again_is_answered_as_before(
    visitor: httpx.Client, customer: Customer
) -> None:
    old = customer.tokens["refresh_token"]
    answers = [refresh(visitor, old) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert refresh(visitor, answers[-1].json()["refresh_token"]).status_code == 200


def test_a_refresh_token_older_than_the_one_before_revokes_its_session(
    visitor: httpx.Client, customer: Customer
) -> None:
    first = customer.tokens["refresh_token"]
    second = refresh(visitor, first).json()["refresh_token"]
    third = refresh(visitor, second).json()["refresh_token"]
    assert problem(refresh(visitor, first)) == (401, "invalid-refresh-token")
    assert problem(refresh(visitor, third)) == (401, "invalid-refresh-token")


def test_a_revoked_session_leaves_the_other_sessions_alone(
    visitor: httpx.Client, customer: Customer, service: Service
) -> None:
    elsewhere = service.log_in(customer.email, PASSWORD)
    first = customer.tokens["refresh_token"]
    refresh(visitor, refresh(visitor, first).json()["refresh_token"])
    assert refresh(visitor, first).status_code == 401
    assert refresh(visitor, elsewhere["refresh_token"]).status_code == 200


@pytest.mark.parametrize(
    "token", ["never given out", "0GcV0i9y0Yw3pX7mJ3bZb7h6k2c1l5n8q4r9s2t6u1w", "\0", "é"]
)
def test_a_refresh_token_that_was_never_given_out_is_401(visitor: httpx.Client, token: str) -> None:
    answer = refresh(visitor, token)
    assert problem(answer) == (401, "invalid-refresh-token")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_an_access_token_is_no_refresh_token(visitor: httpx.Client, customer: Customer) -> None:
    answer = refresh(visitor, customer.tokens["access_token"])
    assert problem(answer) == (401, "invalid-refresh-token")


def test_a_refresh_token_is_no_access_token(service: Service, customer: Customer) -> None:
    with service.visitor(customer.tokens["refresh_token"]) as http:
        assert problem(http.get("/clients/me")) == (401, "invalid-token")


# ── POST /auth/logout ─────────────────────────────────────────────────────────────────────────────────────


def test_a_log_out_answers_204_and_ends_the_session(visitor: httpx.Client, customer: Customer) -> None:
    answer = log_out(visitor, customer.tokens["refresh_token"])
    assert (answer.status_code, answer.content) == (204, b"")
    assert problem(refresh(visitor, customer.tokens["refresh_token"])) == (401, "invalid-refresh-token")


def test_a_log_out_leaves_the_other_sessions_alone(
    visitor: httpx.Client, customer: Customer, service: Service
) -> None:
    elsewhere = service.log_in(customer.email, PASSWORD)
    log_out(visitor, customer.tokens["refresh_token"])
    assert refresh(visitor, elsewhere["refresh_token"]).status_code == 200


def test_a_second_log_out_is_401(visitor: httpx.Client, customer: Customer) -> None:
    log_out(visitor, customer.tokens["refresh_token"])
    answer = log_out(visitor, customer.tokens["refresh_token"])
    assert problem(answer) == (401, "invalid-refresh-token")
