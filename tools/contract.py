"""Writes the tables of docs/contract.md from the OpenAPI document: `python -m tools.contract`.

Each table is between two comments. The rest of the page is written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tools import apps, openapi

PAGE = apps.ROOT / "docs" / "contract.md"

Json = dict[str, Any]

HEADERS = ("Location", "ETag", "Content-Disposition")
METHODS = ("POST", "GET", "PUT", "PATCH", "DELETE")

# The page describes these in sentences; the table does not repeat them.
OF_EVERY_ROUTE = {"invalid-input", "internal-error"}
OF_A_BODY = {"body-too-large", "unsupported-media-type"}
OF_OUR_OWN_DATA = {"database-unavailable", "secret-unavailable"}


def text(page: str, document: Json) -> str:
    """The page with the tables of the document."""
    for name, lines in {"routes": _routes(document), "shapes": _shapes(document)}.items():
        begin, end = f"<!-- {name}: written by `make generate` -->\n", f"\n<!-- {name}: end -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        table = begin + "\n" + "\n".join(lines) + "\n" + end
        page, found = pattern.subn(lambda _, table=table: table, page)  # type: ignore[misc]
        if found != 1:
            raise ValueError(f"{PAGE.name} has no place for the table of {name}")
    return page


def own_failures(path: str, operation: Json) -> list[str]:
    """The statuses from 400 on, without the problems that the page describes once for many routes."""
    named_once = OF_EVERY_ROUTE | OF_A_BODY
    if operation["security"] or path.split("/")[1] in ("clients", "auth"):
        named_once |= OF_OUR_OWN_DATA
    return [
        status
        for status, answer in operation["responses"].items()
        if status >= "400"
        and "$ref" not in answer  # one that API Gateway alone gives
        and (_problems(answer) is None or set(_problems(answer) or ()) - named_once)
    ]


def _problems(answer: Json) -> list[str] | None:
    """The problems of an answer; None if its body is not a problem."""
    examples = answer.get("content", {}).get("application/problem+json", {}).get("examples")
    return None if examples is None else list(examples)


def _routes(document: Json) -> Iterator[str]:
    yield "| function | route | who | success | other failures |"
    yield "|---|---|---|---|---|"
    for folder, operations in _by_function(document):
        # HEAD has no row: it answers as GET does.
        paths = {path: operation for _, path, operation in operations}
        routes = [f"`{method} {path}{_query(operation)}`" for method, path, operation in operations]
        body = next(filter(None, (_body(document, operation) for operation in paths.values())), "")
        whole = next(iter(paths.values()))
        success = "; ".join(dict.fromkeys(_success(operation) for operation in paths.values()))
        failures = sorted({code for path, it in paths.items() for code in own_failures(path, it)})
        who = _who(whole, operations[0][1], body)
        cells = (folder, f"{', '.join(routes)}{body}", who, success, ", ".join(failures))
        yield f"| {' | '.join(cells)} |"


def _by_function(document: Json) -> list[tuple[str, list[tuple[str, str, Json]]]]:
    """The operations of each function, by section and path."""
    tags = [*openapi.TAGS, "operation"]
    found = []
    for folder, app in apps.apps().items():
        routes = [(route.method, route.openapi_path) for route in apps.routes(app)]
        routes.sort(key=lambda route: (route[1], METHODS.index(route[0])))
        operations = [(method, path, document["paths"][path][method.lower()]) for method, path in routes]
        method, path, operation = operations[0]
        found.append((tags.index(operation["tags"][0]), path, METHODS.index(method), folder, operations))
    return [(folder, operations) for *_, folder, operations in sorted(found, key=lambda row: row[:4])]


def _query(operation: Json) -> str:
    names = [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"]
    return f"?{'&'.join(names)}" if names else ""


def _body(document: Json, operation: Json) -> str:
    """The fields of the body, optional ones with a `?`."""
    if "requestBody" not in operation:
        return ""
    schema = document["components"]["schemas"][
        _shape(operation["requestBody"]["content"]["application/json"]["schema"])
    ]
    required = schema.get("required", ())
    return f" `{{{','.join(name if name in required else f'{name}?' for name in schema['properties'])}}}`"


def _who(operation: Json, path: str, body: str) -> str:
    if not operation["security"]:
        return "holder" if "{refresh_token}" in body else "anyone"
    if "forbidden" in (_problems(operation["responses"].get("403", {})) or ()):
        return "self, admin" if "{client_id}" in path else "admin"
    return "self"


def _success(operation: Json) -> str:
    answers = {status: it for status, it in operation["responses"].items() if status < "400"}
    kinds: dict[str, list[str]] = {}
    for status, answer in answers.items():
        kinds.setdefault(_words(answer), []).append(status)
    return "; ".join(f"{', '.join(statuses)} {words}".strip() for words, statuses in kinds.items())


def _words(answer: Json) -> str:
    """The shape of a body, and the headers of this answer."""
    content = answer.get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    shapes = [_shape(each) for each in schema.get("anyOf", [schema])]
    words = " or ".join(re.sub(r"^Page_(\w+)_$", r"Page of \1", shape) for shape in shapes if shape)
    if not words and content:
        words = " or ".join(content)
    shown = [f"`{name}`" for name in HEADERS if name in answer.get("headers", {})]
    return ", ".join([words, *shown] if words else [])


def _shape(schema: Json) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _shapes(document: Json) -> Iterator[str]:
    """The fields of the shapes of all answers."""
    schemas = document["components"]["schemas"]
    answered = {
        _shape(each)
        for operations in document["paths"].values()
        for operation in operations.values()
        for answer in operation["responses"].values()
        for content in answer.get("content", {}).values()
        for schema in (content.get("schema", {}),)
        for each in schema.get("anyOf", [schema])
    } - {"", "Problem", "GatewayError"}
    names = {re.sub(r"^Page_(\w+)_$", r"\1", name) for name in answered}
    yield "| shape | fields |"
    yield "|---|---|"
    for name in sorted(names):
        yield f"| {name} | `{'`, `'.join(schemas[name]['properties'])}` |"
    yield "| Page | `items`, `next_cursor` |"


def write() -> None:
    """Write the tables anew."""
    PAGE.write_text(text(PAGE.read_text(encoding="utf-8"), openapi.document()), encoding="utf-8")


if __name__ == "__main__":
    write()
