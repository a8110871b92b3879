"""Calling a function as Lambda does: its real handler, with its sample event or a variation of it."""

import copy
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

from shared.accounts import access_tokens
from shared.accounts.access_tokens import Caller
from shared.web.headers import ALWAYS
from tools import apps

EVENTS = Path(__file__).parents[1] / "events"

# Clients by their tokens; of no database.
ANA = UUID("5f0c1d8e-6d1b-4e0e-9d57-2f6a7c1b9e10")
ADMIN = UUID("0a6e7c52-93a5-4f0b-8f3c-1c7f1f0f7a11")
SOMEBODY_ELSE = UUID("c2b9a7d4-58f3-4f3e-a9c6-7f4de0a3b822")

NEEDING_A_CALLER = apps.needing_a_caller()
TAKING_A_BODY = apps.taking_a_body()
TAKING_NEITHER = tuple(sorted(apps.apps().keys() - {*NEEDING_A_CALLER, *TAKING_A_BODY}))

_PLACEHOLDER = "Bearer <access token>"


@dataclass(frozen=True)
class Answer:
    """What a function returned to API Gateway."""

    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def json(self) -> Any:
        """The body's value, its decimals exact."""
        return json.loads(self.body, parse_float=Decimal)

    @property
    def problem(self) -> str:
        """The kind of problem it is (`email-taken`), after checking that it is a whole one (RFC 9457)."""
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.headers["Cache-Control"] == "no-store"
        value = self.json
        assert value["status"] == self.status
        assert value["request_id"]
        assert value["title"]
        assert value["detail"]
        expected = {"type", "title", "status", "detail", "request_id"}
        assert value.keys() == (
            expected | {"errors"} if value["type"] == "/problems/invalid-input" else expected
        )
        for error in value.get("errors", ()):
            where, *parts = error["location"].split(".")
            place = "parameter" if where == "query" else "pointer"
            assert error.keys() == {"location", place, "message", "type"}
            if "/" not in error["location"] and "~" not in error["location"]:
                assert error[place] == (parts[0] if where == "query" else "".join(f"/{it}" for it in parts))
        kind: str = value["type"]
        assert kind.startswith("/problems/")
        return kind.removeprefix("/problems/")

    @property
    def wrong(self) -> list[str]:
        """Where the input was wrong, as a 422 says."""
        assert self.problem == "invalid-input"
        return [error["location"] for error in self.json["errors"]]


def sample(function: str) -> dict[str, Any]:
    """The function's sample event, to change at will."""
    return copy.deepcopy(_sample(function))


def caller(client_id: UUID = ANA, role: str = "client") -> Caller:
    return Caller(client_id, role, token_generation=0, authenticated_at=int(time.time()))


def token(client_id: UUID = ANA, role: str = "client") -> str:
    """A good Authorization header for the client, who logged in just now."""
    return f"Bearer {access_tokens.issue(caller(client_id, role))}"


def call(
    function: str,
    *,
    authorization: str | None = _PLACEHOLDER,
    body: object = ...,
    headers: Mapping[str, str | None] | None = None,
    path: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    **changes: object,
) -> Answer:
    """What the function answers to its sample event, with these parts of it changed.

    A `body` that is no string is sent as JSON; a header of None is taken out; where the sample has a
    placeholder for an access token and the test gives none, it is ANA's. `changes` are top-level fields.
    """
    event = sample(function)
    sent: dict[str, str] = event["headers"]
    if sent.get("authorization") == _PLACEHOLDER:
        del sent["authorization"]
        if authorization is not None:
            sent["authorization"] = token() if authorization == _PLACEHOLDER else authorization
    for name, value in (headers or {}).items():
        sent.pop(name, None)
        if value is not None:
            sent[name] = value
    if body is not ...:
        event["body"] = body if isinstance(body, str) else json.dumps(body)
        sent["content-length"] = str(len(event["body"].encode(errors="surrogatepass")))
    if path is not None:
        event["pathParameters"] = dict(path)
        raw = event["routeKey"].partition(" ")[2]
        for name, value in path.items():
            raw = raw.replace(f"{{{name}}}", quote(value, safe="", errors="surrogatepass"))
        event["rawPath"] = event["requestContext"]["http"]["path"] = raw
    if query is not None:
        event["queryStringParameters"] = dict(query)
        event["rawQueryString"] = urlencode(query, errors="surrogatepass")
    return invoke(function, event | changes)


def invoke(function: str, event: dict[str, Any]) -> Answer:
    """What the function answers to the event: something that API Gateway can send."""
    result = import_module(f"functions.{function}.handler").lambda_handler(event, None)
    assert result["isBase64Encoded"] is False
    json.dumps(result)  # as the Lambda runtime does
    body = result.get("body") or ""
    body.encode()  # as API Gateway does
    sent = dict(result["headers"])
    for name, value in ALWAYS.items():  # on every answer: looked at here, and in no test again
        assert sent.pop(name) == value
    return Answer(result["statusCode"], sent, body)


@cache
def _sample(function: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / f"{function}.json").read_text())
    return event
