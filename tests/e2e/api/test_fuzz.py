"""Every operation of the document under requests that nobody thought of.

Each is tried with some that are as the document wants them, some that nearly are and some that are not at
all. What has to hold is what `judge` asks of every answer (a documented status, the documented body, nothing
of the inside), and that nothing is ever an error of the service.

The requests are the same in every run; E2E_FUZZ=1000 tries so many per operation, and others each time.
"""

import json
import os
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.e2e.api.document import operations, resolved
from tests.e2e.api.service import Customer, Service, is_text

EXAMPLES = int(os.environ.get("E2E_FUZZ", "17"))
OPERATIONS = [pytest.param(*found, id=found[2]["operationId"]) for found in operations()]


@dataclass(frozen=True)
class Request:
    """What is sent."""

    method: str
    path: str
    query: list[tuple[str, str | int | float | bool | None]] = field(default_factory=list)
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes | None = None
    caller: str = "nobody"


NASTY = [
    *(
        "",
        " ",
        ".",
        "..",
        "%",
        "%00",
        "\0",
        "\n",
        "\r\n",
        "\t",
        "'",
        '"',
        "\\",
        "/",
        "//",
        "?",
        "#",
        ";",
        "&",
        "=",
    ),
    *(
        "null",
        "None",
        "true",
        "0",
        "-1",
        "1e9",
        "NaN",
        "[]",
        "{}",
        "\u202e",
        "\ufeff",
        "é",
        "e\u0301",
        "🍒",
        "ﬀ",
    ),
    *(
        "me",
        "ME",
        "1",
        "01",
        "x" * 300,
        "' OR 1=1 --",
        "{{7*7}}",
        "${7*7}",
        "../../etc/passwd",
        str(uuid.UUID(int=0)),
    ),
]
texts = st.sampled_from(NASTY) | st.text(max_size=40)
header_values = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f"), min_size=1, max_size=60
).map(lambda text: text.encode("latin-1"))
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)

# Values as the document wants them, by the name of their parameter or property.
GOOD: dict[str, st.SearchStrategy[Any]] = {
    "limit": st.integers(1, 100).map(str),
    "cursor": st.sampled_from(["fRBMgZkV9x1bIjEiLCIyIl0", "AAAA"]),
    "category": st.sampled_from(["kitchen", "garden", "books"]),
    "sort": st.sampled_from(["price", "-price", "title", "-title", "favorited_at", "-favorited_at"]),
    "available": st.sampled_from(["true", "false"]),
    "price_dropped": st.sampled_from(["true", "false"]),
    "product_id": st.integers(1, 80).map(str),
    "format": st.just("json"),
    "add": st.lists(st.fixed_dictionaries({"product_id": st.integers(1, 80).map(str)}), max_size=9),
    "remove": st.lists(st.integers(1, 80).map(str), max_size=9),
    "client_id": st.just("me") | st.uuids().map(str),
    "name": st.text(min_size=1, max_size=20),
    "email": st.emails().filter(lambda email: len(email) < 80),
    "password": st.just("correct horse battery") | st.text(min_size=8, max_size=20),
    "current_password": st.just("correct horse battery"),
    "refresh_token": st.text("abcXYZ019-_", min_size=43, max_size=43),
    "If-None-Match": st.sampled_from(["*", '"x"', 'W/"x", "y"']),
    "If-Match": st.sampled_from(["*", '"x"', '"x", "y"']),
}


def values(name: str) -> st.SearchStrategy[Any]:
    return GOOD[name] | texts


@st.composite
def requests(draw: st.DrawFn, method: str, path: str, operation: dict[str, Any]) -> Request:
    """A request to the operation, well or badly made."""
    parameters = operation.get("parameters", [])
    for parameter in parameters:
        if parameter["in"] == "path":
            name = parameter["name"]
            # Without an id, with dots that a client resolves or a slash, it is another path.
            value = draw(values(name).filter(lambda value: value not in ("", ".", "..") and "/" not in value))
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
    query: list[tuple[str, str | int | float | bool | None]] = [
        (parameter["name"], draw(values(parameter["name"])))
        for parameter in parameters
        if parameter["in"] == "query" and draw(st.booleans())
    ]
    query += draw(st.lists(st.tuples(texts, texts), max_size=1))
    headers = {
        parameter["name"].encode(): draw(GOOD[parameter["name"]].map(str.encode) | header_values)
        for parameter in parameters
        if parameter["in"] == "header" and draw(st.booleans())
    }
    if draw(st.integers(0, 9)) == 0:
        headers[b"Authorization"] = draw(header_values | header_values.map(lambda value: b"Bearer " + value))
    if draw(st.integers(0, 3)) == 0:
        headers[b"Accept"] = draw(header_values)
    # As an admin only reading: nobody shall rename or remove the first admin.
    callers = ["customer"] * 4 + ["nobody"] + ["admin"] * 3 * (method == "GET")
    body = draw(bodies(operation)) if "requestBody" in operation or draw(st.integers(0, 9)) == 0 else None
    if body is not None:
        headers[b"Content-Type"] = draw(
            st.just(b"application/json") | st.sampled_from([b"application/json; charset=x", b"text/plain"])
        )
    return Request(method, path, query, headers, body, draw(st.sampled_from(callers)))


@st.composite
def bodies(draw: st.DrawFn, operation: dict[str, Any]) -> bytes:
    """A body for the operation: an object of its schema more or less, some other JSON, or anything."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(st.binary(max_size=60))
    if kind == 1 or "requestBody" not in operation:
        return json.dumps(draw(json_values)).encode()
    schema = resolved(operation["requestBody"]["content"]["application/json"]["schema"])
    body: dict[str, Any] = {}
    for name in schema["properties"]:
        choice = draw(st.integers(0, 9))
        if choice >= 2:
            body[name] = draw(GOOD[name])
        elif choice == 1:
            body[name] = draw(json_values)
    if draw(st.integers(0, 9)) == 0:
        body[draw(texts)] = draw(json_values)
    return json.dumps(body).encode()


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_no_request_makes_the_service_fail_or_leave_its_document(
    service: Service, admin: httpx.Client, method: str, path: str, operation: dict[str, Any]
) -> None:
    customer: Customer = service.register()

    @settings(
        max_examples=EXAMPLES,
        derandomize="E2E_FUZZ" not in os.environ,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(requests(method, path, operation))
    def ask(request: Request) -> None:
        assume(service.gateway.passes_bytes or is_text(request.body or b""))
        http = {"admin": admin, "customer": customer.http, "nobody": nobody}[request.caller]
        answer = http.request(
            request.method,
            request.path,
            params=request.query,
            headers=request.headers,
            content=request.body,
        )
        assert answer.status_code < 500

    with service.visitor() as nobody, customer.http:
        ask()
