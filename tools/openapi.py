"""Writes functions/get_docs/openapi.json, the description of the API: `python -m tools.openapi`.

Paths, parameters and bodies come from the handlers' types through Powertools; added here is what the types do
not say: who may call, the problems, the headers, and an example of everything.
"""

from __future__ import annotations

import copy
import json
import re
import tomllib
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler.openapi.merge import OpenAPIMerge
from pydantic.json_schema import models_json_schema

from shared import errors
from shared.errors import ChangedMeanwhile, DomainError
from shared.favorites.limits import MAX_FAVORITES
from shared.models import GatewayError, Problem
from tools import apps

DOCUMENT = apps.ROOT / "functions" / "get_docs" / "openapi.json"

Json = dict[str, Any]

DESCRIPTION = """\
Customers mark products as favorites; shops read and write that here.

Register (`POST /clients`), log in (`POST /auth/login`) and send the access token with every request that
needs a caller: `Authorization: Bearer …`. It is good for 15 minutes; `POST /auth/refresh` gives the next one.

Errors are problem details (RFC 9457): `type` tells them apart, `request_id` finds them in our log.
Lists come in pages: follow `Link: <…>; rel="next"`, or send `next_cursor` as `cursor`.
"""

TAGS = ("clients", "auth", "products", "favorites", "shares")  # beside "operation", which is everything else

_PROBLEM = "application/problem+json"

# Of a field that gives none itself, by its format or type.
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

# API Gateway's own errors: no such route, a body of more than 10 MB, throttling, a function that failed.
_GATEWAY_STATUSES = (404, 405, 413, 429, 500, 503)

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

    The model Client is called Account in it: clients that openapi-python-client generates have a class Client
    of their own, and would mistake one for the other.
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
    merged["components"]["examples"] = _problem_examples()
    merged["components"]["headers"] = _HEADERS
    merged["components"]["responses"] = _gateway_responses()
    renamed: Json = json.loads(re.sub(r'(?<=["/_])Client(?=_?")', "Account", json.dumps(merged)))
    return renamed


def _add_examples(document: Json) -> None:
    """Give every shape an example, and every body that has one of them."""
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        schema.setdefault("examples", [_example(schema, schemas)])
    bodies = [
        content
        for operations in document["paths"].values()
        for operation in operations.values()
        for answer in (operation.get("requestBody", {}), *operation["responses"].values())
        for kind, content in answer.get("content", {}).items()
        if kind != _PROBLEM
    ]
    for content in bodies:
        name = content["schema"].get("$ref", "").rpartition("/")[2]
        if name:
            content["example"] = schemas[name]["examples"][0]


def _example(schema: Json, schemas: Json, name: str = "") -> Any:
    """A value that fits the schema: its own first example, or one made of those of its parts.

    A field without one takes that of a field with its name.
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
    """Add to an operation what the types of its route do not say."""
    codes = operation.pop("x-errors")
    also = operation.pop("x-also")
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
        responses["304"] = {"description": "The caller has it already.", "headers": _headers(["ETag"])}
        operation.setdefault("parameters", []).append(_condition("If-None-Match"))
    if ChangedMeanwhile.code in codes:
        operation["parameters"] += map(_condition, ("If-Match", "If-None-Match"))

    if "requestBody" in operation:
        _complete_body(operation["requestBody"]["content"], method)
    codes = [*codes, *_common_errors(tag, public=public, has_body="requestBody" in operation)]
    for status, problems in _problems(codes).items():
        responses.setdefault(status, problems)
    _add_gateway_errors(responses)
    operation["responses"] = dict(sorted(responses.items()))


def _head(get: Json) -> Json:
    """HEAD is answered wherever GET is, without a body; no function declares it (shared.web.routing)."""
    head = copy.deepcopy(get)
    head["operationId"] = f"head_{get['operationId'].removeprefix('get_')}"
    head["summary"] = "Tell the same without a body"
    for status, response in head["responses"].items():
        if response.pop("$ref", None):
            response["description"] = _phrase(int(status))
        response.pop("content", None)
    return head


def _add_gateway_errors(responses: Json) -> None:
    """Add what API Gateway itself answers with, beside an answer of ours with the same status."""
    for status in _GATEWAY_STATUSES:
        response = responses.setdefault(str(status), {"$ref": f"#/components/responses/Gateway{status}"})
        if "content" in response:
            # In each media type: openapi-python-client makes its parser from the first one alone.
            for body in response["content"].values():
                body["schema"] = {"anyOf": [body["schema"], _GATEWAY_ERROR]}
            response["content"].setdefault("application/json", {"schema": _GATEWAY_ERROR})


_GATEWAY_ERROR = {"$ref": "#/components/schemas/GatewayError"}


def _gateway_responses() -> Json:
    # An HTTP API still uses the names of RFC 2616.
    messages = {413: "Request Entity Too Large"}
    return {
        f"Gateway{status}": {
            "description": f"{_phrase(status)}, from API Gateway.",
            "content": {
                "application/json": {
                    "schema": _GATEWAY_ERROR,
                    "example": {"message": messages.get(status, _phrase(status))},
                }
            },
        }
        for status in _GATEWAY_STATUSES
    }


def _complete_body(content: Json, method: str) -> None:
    """A PATCH may be a JSON Merge Patch (RFC 7396)."""
    if method == "patch":
        content["application/merge-patch+json"] = copy.deepcopy(content["application/json"])


def _common_errors(tag: str, *, public: bool, has_body: bool) -> list[str]:
    """The codes of the errors that many routes have, and that none of them names itself."""
    codes = ["invalid-input", "internal-error"]  # of any route: a query parameter that it does not have
    if not public:
        codes += ["missing-credentials", "invalid-token"]
    if has_body:
        codes += ["body-too-large", "unsupported-media-type"]
    if not public or tag in ("clients", "auth"):
        codes += ["database-unavailable", "secret-unavailable"]
    return codes


def _without_null(schema: Json) -> None:
    """A parameter that is not sent is not there; none is ever null, and generated clients need not ask."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema |= kinds[0]


def _tag(path: str) -> str:
    """What the path is about, by its first word: `/favorite-ids` is about favorites."""
    word = path.split("/")[1].partition("-")[0]
    word = {"shared": "shares"}.get(word, word)
    return next((tag for tag in TAGS if tag in (word, f"{word}s")), "operation")


def _success(response: Json, status: str, path: str, method: str, *, is_tagged: bool) -> Json:
    response = copy.deepcopy(response)
    response["description"] = _phrase(int(status))
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
        response["headers"] = _headers(names)
    return response


def _problems(slugs: list[str]) -> dict[str, Json]:
    """The problems by status: a status may have several, told apart by their type."""
    responses: dict[str, Json] = {}
    for kind in DomainError.kinds():
        status, slug = kind.status, kind.code
        if slug not in slugs:
            continue
        response = responses.setdefault(str(status), {"description": _phrase(status)})
        if names := _PROBLEM_HEADERS.get(status):
            response["headers"] = _headers(names)
        content = response.setdefault("content", {_PROBLEM: {}})[_PROBLEM]
        content["schema"] = {"$ref": "#/components/schemas/Problem"}
        content.setdefault("examples", {})[slug] = {"$ref": f"#/components/examples/{slug}"}
    return responses


_PROBLEM_HEADERS = {
    401: ["WWW-Authenticate"],
    415: ["Accept-Patch", "Accept-Encoding"],
    429: ["Retry-After"],
    503: ["Retry-After"],
}


def _problem_examples() -> Json:
    examples = {}
    for kind in DomainError.kinds():
        value: Json = {
            "type": kind.type_uri(),
            "title": kind.title,
            "status": kind.status,
            "detail": "What exactly was refused, in a sentence.",
            "request_id": "b7c1f0a2-3d53-4c1e-8f4a-5a0f6f2f8f10",
        }
        if kind is errors.FavoritesFull:
            value["max"] = MAX_FAVORITES
        if kind is errors.InvalidInput:
            value["errors"] = [
                {
                    "location": "body.name",
                    "pointer": "/name",
                    "message": "Field required",
                    "type": "missing",
                }
            ]
        examples[kind.code] = {"summary": kind.title, "value": value}
    return examples


def _phrase(status: int) -> str:
    # Python 3.13 renamed these two to what RFC 9110 calls them; the document is the same whatever makes it.
    return {413: "Content Too Large", 422: "Unprocessable Content"}.get(status, HTTPStatus(status).phrase)


def _headers(names: list[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _condition(name: str) -> Json:
    return {"name": name, "in": "header", "required": False, "schema": {"type": "string"}}


def write() -> None:
    """Write the document anew."""
    DOCUMENT.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    write()
