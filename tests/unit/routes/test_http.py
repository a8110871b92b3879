"""What holds for every function: who is calling, what may come in, how refusals look."""

import base64
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt
import pytest

from shared import errors
from shared.errors import DatabaseUnavailable, SecretUnavailable
from shared.platform import database, logs, secrets_manager
from tests.calls import NEEDING_A_CALLER, TAKING_A_BODY, TAKING_NEITHER, call, invoke, sample, token
from tests.unit.fakes import RETIRED_KEY, SIGNING_KEY, claims

pytestmark = pytest.mark.usefixtures("backends")

ANOTHER_KEY = "a-secret-that-this-service-never-signed-with"


def signed(key: str = SIGNING_KEY, header: Mapping[str, object] | None = None, **changes: object) -> str:
    headers: dict[str, object] = {"kid": "2026-11", "typ": "at+jwt"} | dict(header or {})
    headers = {name: value for name, value in headers.items() if value is not None or name == "typ"}
    return jwt.encode(claims(**changes), key, algorithm="HS256", headers=headers)


def unsigned(algorithm: str) -> str:
    """A token that says of itself that it has no signature, or one that is none."""
    header = {"alg": algorithm, "kid": "2026-11", "typ": "at+jwt"}
    return ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in (header, claims())
    ) + ("." if algorithm != "HS256" else ".AAAA")


BAD_TOKENS = {
    "expired": lambda: signed(exp=int(time.time()) - 1),
    "not issued yet": lambda: signed(iat=int(time.time()) + 3_600),
    "alg none": lambda: unsigned("none"),
    "alg None": lambda: unsigned("None"),
    "an algorithm of key pairs": lambda: unsigned("RS256") + "AAAA",
    "a made-up signature": lambda: unsigned("HS256"),
    "another key": lambda: signed(ANOTHER_KEY),
    "the key of another kid": lambda: signed(RETIRED_KEY),
    "an unknown kid": lambda: signed(header={"kid": "2020-01"}),
    "no kid": lambda: signed(header={"kid": None}),
    "an empty kid": lambda: signed(header={"kid": ""}),
    "another algorithm": lambda: jwt.encode(
        claims(), SIGNING_KEY * 2, algorithm="HS512", headers={"kid": "2026-11", "typ": "at+jwt"}
    ),
    "another audience": lambda: signed(aud="orders-api"),
    "no audience": lambda: signed(aud=None),
    "another issuer": lambda: signed(iss="orders-service"),
    "no issuer": lambda: signed(iss=None),
    "another type": lambda: signed(header={"typ": "JWT"}),
    "no type": lambda: signed(header={"typ": None}),
    "several audiences, none of them ours": lambda: signed(aud=["another-api"]),
    "not good yet": lambda: signed(nbf=int(time.time()) + 3_600),
    "an expiry that is no number": lambda: signed(exp="tomorrow"),
    "expired when time began": lambda: signed(exp=0),
    "a header that has to be understood": lambda: signed(header={"crit": ["exp"]}),
    "a key inside": lambda: signed(ANOTHER_KEY, {"jwk": {"kty": "oct", "k": ANOTHER_KEY}}),
    "alg none with a signature": lambda: unsigned("none") + "AAAA",
    "no signature": lambda: signed().rpartition(".")[0] + ".",
    "cut off": lambda: signed()[:-2],
    "no subject": lambda: signed(sub=None),
    "an empty subject": lambda: signed(sub=""),
    "a subject that is a number": lambda: signed(sub=7),
    "a subject that is no UUID": lambda: signed(sub="ana"),
    "no role": lambda: signed(role=None),
    "no time of issue": lambda: signed(iat=None),
    "no expiry": lambda: signed(exp=None),
    "no id": lambda: signed(jti=None),
    "a changed payload": lambda: ".".join(
        [signed().split(".")[0], signed(role="admin").split(".")[1], signed().split(".")[2]]
    ),
    "two parts": lambda: ".".join(signed().split(".")[:2]),
    "four parts": lambda: signed() + ".x",
    "no JSON in it": lambda: "eyJ.eyJ.eyJ",
    "an array for a header": lambda: "W10.e30.x",
    "nothing": lambda: "",
    "a word": lambda: "secret",
    "not ASCII": lambda: "tökén.💥.\ud800",
    "two tokens": lambda: f"{signed()} {signed()}",
    "very long": lambda: "x" * 10_000,
}


# ── Who is calling ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("bad", BAD_TOKENS.values(), ids=BAD_TOKENS)
def test_a_bad_token_is_401_with_invalid_token(bad: Any) -> None:
    answer = call("get_favorite", authorization=f"Bearer {bad()}")
    assert answer.problem == "invalid-token"
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'  # RFC 6750 §3.1


@pytest.mark.parametrize("function", NEEDING_A_CALLER)
def test_each_function_that_needs_a_caller_refuses_a_forged_token_and_none(function: str) -> None:
    forged = call(function, authorization=f"Bearer {signed(ANOTHER_KEY, role='admin')}")
    assert (forged.status, forged.problem) == (401, "invalid-token")
    assert invoke(function, sample(function)).problem == "invalid-token"  # a placeholder is no token
    # Who is calling is asked before what they send.
    missing = call(function, authorization=None, body="not JSON")
    assert (missing.status, missing.problem) == (401, "missing-credentials")


@pytest.mark.parametrize(
    "authorization", ["", " ", "Basic YW5hOnNlY3JldA==", "Digest x", "Bearerx y", "JWT x", "Token"]
)
def test_without_a_token_it_is_401_without_an_error_code(authorization: str) -> None:
    answer = call("get_favorite", authorization=authorization)
    assert answer.problem == "missing-credentials"
    assert answer.headers["WWW-Authenticate"] == "Bearer"  # RFC 6750 §3: no code where no credentials came


@pytest.mark.parametrize("function", ["get_docs", "list_clients", "list_products", "get_client"])
def test_head_is_answered_as_get_without_the_body(function: str) -> None:
    event = sample(function)
    get = invoke(function, event)
    event["requestContext"]["http"]["method"] = "HEAD"
    head = invoke(function, event)
    assert (head.status, head.body) == (get.status, "")
    assert int(head.headers["Content-Length"]) == len(get.body.encode())


# ── What may come in ──────────────────────────────────────────────────────────────────────────────────────

NOT_JSON = {
    "nothing": "",
    "white space": " \n",
    "a word": "name=Ana",
    "half an object": '{"name": "Ana"',
    "single quotes": "{'name': 'Ana'}",
    "two values": "{} {}",
    "a trailing comma": '{"name": "Ana",}',
    "a NUL": "{}\0",
    "arrays without end": "[" * 20_000,
    "arrays as deep as the body is long": "[" * 30_000 + "]" * 30_000,
    "objects as deep as the body is long": '{"a":' * 10_000 + "1" + "}" * 10_000,
    "a number too long to be one": f'{{"name": {"1" * 5_000}}}',
}
NOT_AN_OBJECT = ["null", "[]", "[[]]", '"text"', "7", "true", "[" * 500 + "]" * 500]


@pytest.mark.parametrize("function", sorted({*NEEDING_A_CALLER, *TAKING_A_BODY, *TAKING_NEITHER}))
def test_a_query_parameter_that_the_route_does_not_have_is_422(function: str) -> None:
    assert call(function, query={"limt": "5"}).wrong == ["query.limt"]


@pytest.mark.parametrize("function", TAKING_A_BODY)
def test_a_body_that_is_no_json_object_is_422(function: str) -> None:
    for what, body in NOT_JSON.items():
        answer = call(function, body=body)
        assert (answer.wrong, answer.json["errors"][0]["type"]) == (["body"], "json_invalid"), what
    for body in NOT_AN_OBJECT:
        assert call(function, body=body).wrong == ["body"], body[:8]
    event = sample(function)
    del event["body"]
    event["headers"] |= {"authorization": token()}
    assert invoke(function, event).wrong == ["body"]


@pytest.mark.parametrize("function", TAKING_A_BODY)
def test_a_field_with_an_odd_name_is_422(function: str) -> None:
    for field in ("name\0", "\ud800", "__proto__", "", "x" * 50_000):
        answer = call(function, body=json.loads(sample(function)["body"]) | {field: 1})
        assert len(answer.wrong) == 1


@pytest.mark.parametrize("function", TAKING_A_BODY)
@pytest.mark.parametrize("encoded", [False, True], ids=["plain", "base64"])
def test_a_body_that_is_too_long_is_413(function: str, encoded: bool) -> None:
    for length in (64 * 1024 + 1, 1_000_000):
        body = '{"name": "' + "x" * (length - 12) + '"}'
        body = base64.b64encode(body.encode()).decode() if encoded else body
        answer = call(function, body=body, isBase64Encoded=encoded)
        assert (answer.status, answer.problem) == (413, "body-too-large")


def test_a_body_may_have_64_kibibytes() -> None:
    body = '{"name": "' + "x" * (64 * 1024 - 12) + '"}'
    assert "body.name" in call("create_client", body=body).wrong
    encoded = base64.b64encode(body.encode()).decode()
    assert "body.name" in call("create_client", body=encoded, isBase64Encoded=True).wrong
    assert call("create_client", body=body.replace("xx", "é", 1) + " ").problem == "body-too-large"


@pytest.mark.parametrize("function", TAKING_A_BODY)
def test_a_body_of_another_media_type_is_415(function: str) -> None:
    types = [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "json",
        "*/*",
    ]
    is_patch = function.startswith("update_")
    for media_type in types if is_patch else [*types, "application/merge-patch+json"]:
        answer = call(function, headers={"content-type": media_type})
        assert (answer.status, answer.problem) == (415, "unsupported-media-type"), media_type
        assert ("Accept-Patch" in answer.headers) == is_patch  # RFC 5789 §2.2


@pytest.mark.parametrize("encoding", ["gzip", "br", "x"])
def test_an_encoded_body_is_415(encoding: str) -> None:
    answer = call("login", headers={"content-encoding": encoding})
    assert (answer.problem, answer.headers["Accept-Encoding"]) == ("unsupported-media-type", "identity")


@pytest.mark.parametrize("encoded", [False, True], ids=["plain", "base64"])
def test_a_byte_order_mark_is_skipped(encoded: bool) -> None:
    body = base64.b64encode("\ufeff{}".encode()).decode() if encoded else "\ufeff{}"
    answer = call("login", headers={"content-encoding": "identity"}, body=body, isBase64Encoded=encoded)
    assert answer.wrong == ["body.email", "body.password"]


@pytest.mark.parametrize("body", ["!!!!", "e30", "gICA", base64.b64encode(b"\xff\xfe{}").decode()])
def test_base64_that_carries_no_json_is_422(body: str) -> None:
    assert call("login", body=body, isBase64Encoded=True).wrong[0] == "body"


# ── How refusals look ─────────────────────────────────────────────────────────────────────────────────────

Fail = Callable[[Exception], None]


@pytest.fixture
def work_fails(monkeypatch: pytest.MonkeyPatch) -> Fail:
    """Let what the functions do with the database raise an error."""

    def fail(error: Exception) -> None:
        def fetch_one(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(database, "fetch_one", fetch_one)

    return fail


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []

    class Log:
        def error(self, message: str, **fields: Any) -> None:
            lines.append({"message": message} | fields)

        def debug(self, message: str, **fields: Any) -> None:
            """These tests do not read them."""

    monkeypatch.setattr(logs, "logger", Log)
    return lines


def test_a_refusal_carries_the_id_of_its_request(work_fails: Fail) -> None:
    work_fails(DatabaseUnavailable("Try later.", retry_after=1))
    for function in ("login", "get_client"):
        expected = sample(function)["requestContext"]["requestId"]
        assert call(function).json["request_id"] == expected
    assert call("get_client", authorization=None).json["request_id"] == expected


def test_an_unforeseen_error_is_500_a_metric_and_a_line_of_the_log_and_does_not_show(
    work_fails: Fail, logged: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    call("get_favorite", authorization=None)
    assert "InternalErrors" not in capsys.readouterr().out
    error = ZeroDivisionError("secret of the house")
    work_fails(error)
    answer = call("get_favorite")
    assert (answer.status, answer.problem) == (500, "internal-error")
    assert [word for word in ("secret", "ZeroDivision", "Traceback", ".py") if word in answer.body] == []
    assert json.loads(capsys.readouterr().out)["InternalErrors"] == 1
    assert logged == [{"message": "unforeseen", "exc_info": error, "request_id": answer.json["request_id"]}]


def test_a_database_that_does_not_answer_leaves_one_line_with_the_reason_and_the_id_of_the_request(
    work_fails: Fail, logged: list[dict[str, Any]]
) -> None:
    reason = "could not extend file: No space left on device"
    work_fails(DatabaseUnavailable("Later.", retry_after=1, reason=f"{reason}\nDETAIL: somebody's data"))
    answer = call("get_favorite")
    assert answer.status == 503
    told = {"message": "database-unavailable", "reason": reason}
    assert logged == [told | {"request_id": answer.json["request_id"]}]
    assert "No space" not in answer.body


def test_keys_that_cannot_be_read_are_503_with_retry_after_and_the_reason_in_the_log(
    monkeypatch: pytest.MonkeyPatch, logged: list[dict[str, Any]]
) -> None:
    authorization, reason = token(), "arn:keys could not be read: 400 throttled"

    def read(_: str) -> str:
        raise SecretUnavailable(reason)

    secrets_manager.forget()
    monkeypatch.setattr(secrets_manager, "read", read)
    monkeypatch.setenv("ACCESS_TOKEN_KEYS", "arn:keys")
    answer = call("get_favorite", authorization=authorization)
    assert (answer.status, answer.problem) == (503, "secret-unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert "arn:keys" not in answer.body
    told = {"message": "secret-unavailable", "reason": reason}
    assert logged == [told | {"request_id": answer.json["request_id"]}]


def test_a_missing_setting_is_500_and_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    authorization = token()
    monkeypatch.delenv("ACCESS_TOKEN_KEYS")
    answer = call("get_favorite", authorization=authorization)
    assert (answer.status, answer.problem) == (500, "internal-error")
    assert "ACCESS_TOKEN" not in answer.body


def test_every_error_of_the_domain_has_a_problem_type_of_its_own() -> None:
    kinds = errors.DomainError.kinds()
    assert len({kind.code for kind in kinds}) == len({kind.title for kind in kinds}) == len(kinds)
    assert all(400 <= kind.status <= 599 for kind in kinds)
