"""The committed OpenAPI document as the judge of every answer that a test sees.

The document and the service cannot drift apart while tests ask the service: `judge` hangs in their HTTP
clients, and fails a test whose answer the document does not foresee to the last key.
"""

import copy
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
from openapi_schema_validator import OAS31Validator, oas31_format_checker

from local.stack import ROOT
from shared.web.headers import ALWAYS

DOCUMENT: dict[str, Any] = json.loads((ROOT / "functions/get_docs/openapi.json").read_text(encoding="utf-8"))

NoRoute = tuple[int, dict[str, str]]
"""Status and body of what a gateway itself answers where no route matches."""

PROBLEM_KEYS = {"type", "title", "status", "detail", "request_id"}

_INSIDES = re.compile(
    r"Traceback|File \"|\.py\b|psycopg|postgres|redis|valkey|urllib|pydantic|powertools"
    r"|\b(SELECT|INSERT|UPDATE|DELETE)\s|Exception\b",
    re.IGNORECASE,
)


def judge(response: httpx.Response, no_route: NoRoute) -> None:
    """Raise AssertionError unless the document foresees this answer to its request, or it is of no route."""
    response.read()
    seen = f"{response.request.method} {response.request.url} → {response.status_code} {response.text[:500]}"
    operation = operation_of(response.request)
    if operation is None:
        assert (response.status_code, response.json()) == no_route, f"not a route: {seen}"
        return
    assert response.status_code != 500, f"documented, and a fault all the same: {seen}"
    described = operation["responses"].get(str(response.status_code))
    assert described is not None, f"not a documented status: {seen}"
    described = resolved(described)
    for name, value in ALWAYS.items():
        assert response.headers.get(name) == value, f"without {name}: {seen}"
    faults = [*_faults_of_headers(response, described), *_faults_of_body(response, described)]
    assert not faults, f"not as documented: {'; '.join(faults)}: {seen}"


def operation_of(request: httpx.Request) -> dict[str, Any] | None:
    parts = urlsplit(request.url.raw_path.decode()).path.split("/")
    for path, operations in DOCUMENT["paths"].items():
        template = path.split("/")
        if len(template) == len(parts) and all(
            want == have or (want.startswith("{") and have)
            for want, have in zip(template, parts, strict=True)
        ):
            operation: dict[str, Any] | None = operations.get(request.method.lower())
            return operation
    return None


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def resolved(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema itself, where it may be a reference into the document."""
    found: Any = schema
    while "$ref" in found:
        target: Any = DOCUMENT
        for part in found["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        found = target
    return dict(found)


def _faults_of_headers(response: httpx.Response, described: Mapping[str, Any]) -> Iterator[str]:
    optional = {"Link"}  # only where there is a next page
    if response.status_code == 415:
        optional |= {"Accept-Patch", "Accept-Encoding"}  # of a PATCH, and where it was compressed
    for name, header in described.get("headers", {}).items():
        value = response.headers.get(name)
        if value is None:
            if name not in optional:
                yield f"no header {name}"
            continue
        schema = resolved(header)["schema"]
        typed = int(value) if schema["type"] == "integer" and value.isdigit() else value
        for error in OAS31Validator(schema).iter_errors(typed):
            yield f"header {name}: {error.message}"


def _faults_of_body(response: httpx.Response, described: Mapping[str, Any]) -> Iterator[str]:
    content = described.get("content")
    if content is None:
        if response.content:
            yield "a body where none is documented"
        return
    media_type = response.headers["content-type"].partition(";")[0]
    if media_type not in content:
        yield f"the content type {media_type}"
        return
    if media_type.endswith("json"):
        body = response.json()
        schema = {**content[media_type]["schema"], "components": _STRICT_COMPONENTS}
        for error in OAS31Validator(schema, format_checker=oas31_format_checker).iter_errors(body):
            yield f"{'.'.join(map(str, error.path)) or 'body'}: {error.message}"
        if response.status_code >= 400 and media_type == "application/problem+json":
            yield from _faults_of_problem(response, body, content[media_type])


def _faults_of_problem(
    response: httpx.Response, problem: Mapping[str, Any], content: Mapping[str, Any]
) -> Iterator[str]:
    types = {resolved(example)["value"]["type"] for example in content["examples"].values()}
    if response.status_code == 404:
        types.add("/problems/not-found")  # an id that no route matches: with a NUL in it, for example
    if problem.get("type") not in types:
        yield f"type is none of {sorted(types)}"
    if problem.get("status") != response.status_code:
        yield "status is not that of the answer"
    if not all(problem.get(name) for name in ("title", "detail", "request_id")):
        yield "an empty member"
    if problem.keys() != (PROBLEM_KEYS | {"errors"} if response.status_code == 422 else PROBLEM_KEYS):
        yield f"the members {sorted(problem)}"
    if response.status_code == 422 and not problem.get("errors"):
        yield "no errors"
    if response.headers.get("cache-control") != "no-store":
        yield "a problem that may be stored"
    if found := _INSIDES.search(response.text):
        yield f"tells of the inside: {found[0]!r}"


def _closed(schema: Any) -> Any:
    """The schema with no room for keys that it does not name."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if isinstance(closed.get("properties"), dict):
        closed.setdefault("additionalProperties", False)
    return closed


_STRICT_COMPONENTS = {"schemas": _closed(copy.deepcopy(DOCUMENT["components"]["schemas"]))}
