"""Writes functions/get_docs/openapi.json, the description of the API: `python -m tools.openapi`.

Paths, parameters and bodies come from the handlers' types through Powertools. This module adds what types do
not say: who may call, the problems, the headers, and examples.
"""

from __future__ import annotations

import copy
import json
import re
import tomllib
from typing import Any

from aws_lambda_powertools.event_handler.openapi.merge import OpenAPIMerge
from pydantic.json_schema import models_json_schema

from shared.errors import ChangedMeanwhile
from shared.models import GatewayError, Problem
from tools import apps, errors
from tools.errors import headers, phrase

DOCUMENT = apps.ROOT / "functions" / "get_docs" / "openapi.json"

Json = dict[str, Any]

DESCRIPTION = """\
This API stores which products a customer likes.

Register (`POST /clients`), log in (`POST /auth/login`) and send the access token with every request that
needs a caller: `Authorization: Bearer …`. It is good for 15 minutes; `POST /auth/refresh` gives the next one.

Errors are problem details (RFC 9457): `type` tells them apart, `request_id` finds them in our log.
Lists come in pages: follow `Link: <…>; rel="next"`, or send `next_cursor` as `cursor`.
"""

TAGS = ("clients", "auth", "products", "favorites", "shares")  # beside "operation", which is everything else

# Examples of fields without one, by format or type.
_EXAMPLES = {
    "date-time": "2026-11-23T12:00:00.000000Z",
    "uuid": "6f1c8f3e-5d0b-4a53-9a0e-0c7a4c1f2b11",
    "string": "text",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "object": {},
    "null": None,
}

_PAGES = ("FavoritePage", "FavoriteIds")  # beside those that are only a Page of something

_HEADERS: dict[str, Json] = {
    "Location": {"description": "Where the new resource can be read.", "schema": {"type": "string"}},
    "Content-Disposition": {
        "description": "A file, to be saved (RFC 6266).",
        "schema": {"type": "string", "examples": ['attachment; filename="favorites-export.json"']},
    },
    "Link": {
        "description": 'The next page, if there is one: `<…>; rel="next"` (RFC 8288).',
        "schema": {"type": "string"},
    },
    "ETag": {"description": "The strong entity tag of the body.", "schema": {"type": "string"}},
    "Age": {
        "description": "Seconds since the catalog confirmed the body.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Cache-Control": {
        "description": "How long a client may keep the body.",
        "schema": {
            "type": "string",
            "examples": ["public, max-age=300, stale-while-revalidate=60, stale-if-error=86400"],
        },
    },
    "X-Cache": {
        "description": "What this service's cache had to do with the answer.",
        "schema": {"type": "string", "enum": ["hit", "stale", "miss"]},
    },
    "WWW-Authenticate": {"description": "RFC 6750 §3.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
    "Accept-Encoding": {
        "description": "How a body may be encoded (RFC 9110 §12.5.3).",
        "schema": {"type": "string"},
    },
    "Accept-Patch": {"description": "What a PATCH may be (RFC 5789).", "schema": {"type": "string"}},
}


def document() -> Json:
    """The OpenAPI 3.1 document of all functions that have routes.

    The model Client is called Account there: openapi-python-client generates a class Client of its own.
    """
    merge = OpenAPIMerge(
        title="Favorites",
        version=tomllib.loads((apps.ROOT / "pyproject.toml").read_text())["project"]["version"],
        description=DESCRIPTION,
        openapi_version="3.1.0",
        on_conflict="error",
        tags=[*TAGS, "operation"],
        security_schemes={"accessToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},  # type: ignore[dict-item]
    )
    for app in apps.apps().values():
        schema = app.get_openapi_schema().model_dump(by_alias=True, exclude_none=True, mode="json")
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                route = next(
                    route
                    for route in apps.routes(app)
                    if route.openapi_path == path and route.method == method.upper()
                )
                _complete(operation, path, method, public=app.public, source=route.func)
            if "get" in operations:
                operations["head"] = _head(operations["get"])
        merge.add_schema(schema)
    merged: Json = merge.get_openapi_schema()
    schemas = merged["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError", "ResponseValidationError"):
        schemas.pop(name, None)  # Powertools' own; ours are problems
    _, refusals = models_json_schema(
        [(Problem, "serialization"), (GatewayError, "serialization")],
        ref_template="#/components/schemas/{model}",
    )
    schemas |= refusals["$defs"]
    _add_examples(merged)
    merged["paths"] = dict(sorted(merged["paths"].items()))
    merged["components"]["schemas"] = dict(sorted(schemas.items()))
    merged["components"]["examples"] = errors.examples()
    merged["components"]["headers"] = _HEADERS
    merged["components"]["responses"] = errors.gateway_responses()
    renamed: Json = json.loads(re.sub(r'(?<=["/_])Client(?=_?")', "Account", json.dumps(merged)))
    return renamed


def _add_examples(document: Json) -> None:
    """Add an example to every shape, and to every body of such a shape."""
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        schema.setdefault("examples", [_example(schema, schemas)])
    bodies = [
        content
        for operations in document["paths"].values()
        for operation in operations.values()
        for answer in (operation.get("requestBody", {}), *operation["responses"].values())
        for kind, content in answer.get("content", {}).items()
        if kind != errors.PROBLEM
    ]
    for content in bodies:
        name = content["schema"].get("$ref", "").rpartition("/")[2]
        if name:
            content["example"] = schemas[name]["examples"][0]


def _example(schema: Json, schemas: Json, name: str = "") -> Any:
    """A valid value: the schema's first example, or one composed of the examples of its parts.

    A field without an example takes that of a field with the same name.
    """
    if "examples" in schema:
        return schema["examples"][0]
    for key, value in schema.items():
        match key:
            case "$ref":
                return _example(schemas[value.rpartition("/")[2]], schemas)
            case "anyOf" | "oneOf":
                return _example(value[0], schemas, name)
            case "const" | "default":
                return value
            case "enum":
                return value[0]
            case "properties":
                return {field: _example(part, schemas, field) for field, part in value.items()}
            case "items":
                return [_example(value, schemas)]
    namesakes = (other.get("properties", {}).get(name, {}) for other in schemas.values())
    fallback = _EXAMPLES[schema.get("format") or schema["type"]]
    return next((field["examples"][0] for field in namesakes if "examples" in field), fallback)


def text() -> str:
    """The document as it is committed."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _complete(operation: Json, path: str, method: str, *, public: bool, source: Any) -> None:
    """Add the parts of an operation that the types of its route do not give."""
    codes = operation.pop("x-errors", [])
    also = operation.pop("x-also", [])
    tag = _tag(path)
    operation["operationId"] = source.__name__
    operation["tags"] = [tag]
    operation["summary"] = source.__doc__.strip().split("\n")[0].rstrip(".")
    operation.pop("description", None)
    operation["security"] = [] if public else [{"accessToken": []}]

    for parameter in operation.get("parameters", []):
        _without_null(parameter["schema"])
        if parameter["in"] == "path":  # Swagger UI fills it in; it does not read the schema's `examples`
            parameter["example"] = parameter["schema"]["examples"][0]
    responses = operation["responses"]
    responses.pop("422")
    success = next(status for status in responses if status.startswith("2"))
    is_tagged = 304 in also
    for status in [success, *(str(status) for status in also if status != 304)]:
        responses[status] = _success(
            responses[success], status, path, method, is_tagged=is_tagged or method == "patch"
        )
    if is_tagged:
        responses["304"] = {"description": "The caller has it already.", "headers": headers(["ETag"])}
        operation.setdefault("parameters", []).append(_condition("If-None-Match"))
    if ChangedMeanwhile.code in codes:
        operation["parameters"] += map(_condition, ("If-Match", "If-None-Match"))

    if "requestBody" in operation:
        _complete_body(operation["requestBody"]["content"], method)
    codes = [*codes, *errors.common(tag, public=public, has_body="requestBody" in operation)]
    for status, problems in errors.problems(codes).items():
        responses.setdefault(status, problems)
    errors.add_gateway_errors(responses)
    operation["responses"] = dict(sorted(responses.items()))


def _head(get: Json) -> Json:
    """HEAD on every route with GET (shared.web.routing); no function declares it."""
    head = copy.deepcopy(get)
    head["operationId"] = f"head_{get['operationId'].removeprefix('get_')}"
    head["summary"] = "Answer as GET does, without the body"
    for status, response in head["responses"].items():
        if response.pop("$ref", None):
            response["description"] = phrase(int(status))
        response.pop("content", None)
    return head


def _complete_body(content: Json, method: str) -> None:
    """A PATCH may be a JSON Merge Patch (RFC 7396)."""
    if method == "patch":
        content["application/merge-patch+json"] = copy.deepcopy(content["application/json"])


def _without_null(schema: Json) -> None:
    """Remove null from the schema of a parameter: one that is left out is absent, never null."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema |= kinds[0]


def _tag(path: str) -> str:
    """The tag of a path, by its first word: `/favorite-ids` belongs to favorites."""
    word = path.split("/")[1].partition("-")[0]
    word = {"shared": "shares"}.get(word, word)
    return next((tag for tag in TAGS if tag in (word, f"{word}s")), "operation")


def _success(response: Json, status: str, path: str, method: str, *, is_tagged: bool) -> Json:
    response = copy.deepcopy(response)
    response["description"] = phrase(int(status))
    if status == "204":
        response.pop("content", None)
        return response
    names = []
    if path.startswith("/products"):
        names = ["Age", "Cache-Control", "ETag", "X-Cache"]
    elif is_tagged:
        names = ["ETag"]
    elif path.endswith("/export"):
        names = ["Content-Disposition"]
    if method == "post" and status == "201":
        names.append("Location")
    content = response["content"]
    if path == "/docs":
        response["content"] = {
            "text/html": content["application/json"],
            "application/json": {"schema": {"type": "object"}},  # ?format=json
        }
    elif path.startswith("/problems/"):
        response["content"] = {"text/html": content["application/json"]}
    reference = content["application/json"]["schema"].get("$ref", "").rpartition("/")[2]
    if reference in _PAGES or reference.startswith("Page_"):
        names.append("Link")
    if names:
        response["headers"] = headers(names)
    return response


def _condition(name: str) -> Json:
    return {"name": name, "in": "header", "required": False, "schema": {"type": "string"}}


def write() -> None:
    """Write the document anew."""
    DOCUMENT.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    write()
