"""Who is calling: every route that needs a caller refuses everybody who cannot prove to be one."""

import base64
import hmac
import json
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.e2e.api.document import operations
from tests.e2e.api.service import Customer, Service, problem

PROTECTED = [
    (method, path.replace("{client_id}", "me").replace("{product_id}", "1"))
    for method, path, operation in operations()
    if operation["security"] and method != "HEAD"  # which has no body to tell why: test_authorization.py
]

ANOTHER_KEY = "another key, as long as it has to be"

protected = pytest.mark.parametrize(("method", "path"), PROTECTED)


@protected
def test_a_request_without_credentials_is_401_and_told_how_to_send_them(
    visitor: httpx.Client, method: str, path: str
) -> None:
    answer = visitor.request(method, path)
    assert problem(answer) == (401, "missing-credentials")
    assert answer.headers["www-authenticate"] == "Bearer"  # no error code where nothing came: RFC 6750 §3


@pytest.mark.smoke
@pytest.mark.parametrize(
    "authorization", ["", "Basic YW5hOnB3", "Bearer", "Token abc", "bearer", "eyJhbGciOi"]
)
def test_credentials_of_another_kind_are_401(visitor: httpx.Client, authorization: str) -> None:
    answer = visitor.get("/clients/me", headers={"Authorization": authorization})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_case_of_the_scheme_does_not_matter(
    visitor: httpx.Client, bystander: Customer, scheme: str
) -> None:
    authorization = f"{scheme} {bystander.tokens['access_token']}"
    assert visitor.get("/clients/me", headers={"Authorization": authorization}).status_code == 200


# ── Tokens that the service's key did not sign ────────────────────────────────────────────────────────────


def encoded(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def decoded(part: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return value


def signed(header: dict[str, Any], claims: dict[str, Any], key: str, digest: str = "sha256") -> str:
    """By hand: a library does not make what is not allowed."""
    text = f"{encoded(header)}.{encoded(claims)}"
    signature = hmac.digest(key.encode(), text.encode(), digest)
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def opened(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    header, claims, signature = token.split(".")
    return decoded(header), decoded(claims), signature


def unsigned(token: str) -> str:
    header, claims, _ = opened(token)
    return f"{encoded({**header, 'alg': 'none'})}.{encoded(claims)}."


def signed_with_another_key(token: str) -> str:
    header, claims, _ = opened(token)
    return signed(header, claims, ANOTHER_KEY)


def with_another_role(token: str) -> str:
    header, claims, signature = opened(token)
    return f"{encoded(header)}.{encoded({**claims, 'role': 'admin'})}.{signature}"


def with_a_kid_of_another_type(token: str) -> str:
    header, claims, signature = opened(token)
    return f"{encoded({**header, 'kid': ['local']})}.{encoded(claims)}.{signature}"


# What else can be wrong with one: BAD_TOKENS in tests/unit/routes/test_http.py.
FORGERIES = [unsigned, signed_with_another_key, with_another_role, with_a_kid_of_another_type]


def assert_refused(answer: httpx.Response) -> None:
    assert problem(answer) == (401, "invalid-token")
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_a_forged_token_is_401(service: Service, bystander: Customer, forge: Callable[[str], str]) -> None:
    with service.visitor(forge(bystander.tokens["access_token"])) as http:
        assert_refused(http.get("/clients/me"))


@pytest.mark.parametrize("token", ["x", "é.é.é", "x" * 5_000])
def test_what_is_no_token_at_all_is_401(visitor: httpx.Client, token: str) -> None:
    assert_refused(visitor.get("/clients/me", headers={b"Authorization": f"Bearer {token}".encode()}))


# ── Tokens that the service's key did sign ────────────────────────────────────────────────────────────────

Sign = Callable[..., str]


@pytest.fixture
def sign(service: Service, bystander: Customer) -> Sign:
    """Signs a token of the customer's with the service's own key, some of its claims changed or left out."""
    if service.access_token_keys is None:
        pytest.skip("the keys of E2E_BASE_URL are not known")
    key = next(iter(service.access_token_keys.values()))
    header, claims, _ = opened(bystander.tokens["access_token"])

    def sign_anew(
        *,
        without: str = "",
        header_changes: dict[str, Any] | None = None,
        digest: str = "sha256",
        **changes: Any,
    ) -> str:
        payload = {name: value for name, value in {**claims, **changes}.items() if name != without}
        return signed({**header, **(header_changes or {})}, payload, key, digest)

    return sign_anew


def test_a_token_signed_as_the_service_does_is_accepted(service: Service, sign: Sign) -> None:
    with service.visitor(sign()) as http:
        assert http.get("/clients/me").status_code == 200


def test_an_expired_token_and_a_forbidden_resource_can_be_told_apart(
    service: Service, sign: Sign, other: Customer
) -> None:
    with service.visitor(sign()) as http:
        assert http.get(other.path).status_code == 403
    with service.visitor(sign(exp=0)) as http:
        assert http.get(other.path).status_code == 401


def test_the_token_of_a_client_that_never_was_is_401(service: Service, sign: Sign) -> None:
    with service.visitor(sign(sub=str(uuid.uuid4()))) as http:
        assert_refused(http.get("/favorites"))
