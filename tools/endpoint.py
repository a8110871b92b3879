"""Writes the first files of a new endpoint: `make endpoint NAME=… ROUTE="GET /…" ROLE=callers`.

They are the handler, the block of the template, the sample event, a request of examples/favorites.http, and a
test that fails until the handler does its work.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from tools import apps

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

# The role of a function and its variables (template.yaml, Permissions).
ROLES = {
    "callers": ("CallersRole", "{ACCESS_TOKEN_KEYS: !Ref AccessTokenKeys}"),
    "visitors": ("VisitorsRole", ""),
    "products": ("ProductsRole", "{DATABASE_CREDENTIALS: !Ref CatalogCredentials}"),
}

# The banner that follows the group of a path's first word in the template; other paths are in Operation.
NEXT_GROUP = {
    "client": "Log-in",
    "auth": "Products",
    "product": "Favorites",
    "favorite": "Shared lists",
    "share": "Operation",
    "shared": "Operation",
}
AFTER_OPERATION = "Events in"

# The folder of its tests.
ROOMS = {
    "client": "clients",
    "auth": "clients",
    "product": "products",
    "favorite": "favorites",
    "share": "favorites",
    "shared": "favorites",
}

HANDLER = '''\
"""{method} {path}"""

from shared.platform import lean_imports

lean_imports.start()

from shared.web import responses, routing
{parameters}from shared.web.responses import Response

app = routing.resolver({public})


@app.{verb}("{rule}")
def {name}({arguments}) -> Response[None]:
    """Say here what it does."""
    return responses.no_content()


lambda_handler = routing.entry_point(app)
'''

TEST = '''\
"""{method} {path}"""

import pytest

from shared.accounts.access_tokens import Caller
from tests.integration.accounts import ask

pytestmark = pytest.mark.usefixtures("catalog")


def test_{name}_does_its_work(ana: Caller) -> None:
    answer = ask("{name}", ana)
    assert answer.status == 200
    assert answer.json == "say here what it answers"
'''

BLOCK = """\
  {resource}:
    Type: AWS::Serverless::Function
    Metadata: {{BuildMethod: makefile, ContextPath: functions}}
    Properties:
      FunctionName: !Sub ${{AWS::StackName}}-{name}
      CodeUri: functions/{name}/
      Handler: functions.{name}.handler.lambda_handler
      Role: !GetAtt {role}.Arn
      ReservedConcurrentExecutions: !If [ReservesConcurrency, 15, !Ref AWS::NoValue]
{environment}\
      Events:
        Http: {{Type: HttpApi, Properties: {{ApiId: !Ref Api, Method: {method}, Path: "{path}"}}}}
{head}
"""

# HEAD is answered wherever GET is (shared.web.routing).
HEAD = """\
        Head: {{Type: HttpApi, Properties: {{ApiId: !Ref Api, Method: HEAD, Path: "{path}"}}}}
"""

REQUEST = """
### {name}. 200
{method} {{{{api}}}}{path}
{authorization}"""


AUTHORIZATION = "Authorization: Bearer {{login.response.body.$.access_token}}\n"


def write(root: Path, name: str, method: str, path: str, role: str) -> list[Path]:
    """Write the files of the endpoint, and return them. Raises FileExistsError."""
    parameters = re.findall(r"{(\w+)}", path)
    tests = root / "tests" / "integration" / "routes" / ROOMS.get(_word(path), "")
    files = {
        root / "functions" / name / "handler.py": _handler(name, method, path, role, parameters),
        root / "events" / f"{name}.json": json.dumps(_event(root, method, path, role), indent=2) + "\n",
        tests / f"test_{name}.py": TEST.format(name=name, method=method, path=path),
    }
    for file, text in files.items():
        file.parent.mkdir(exist_ok=True)
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
    template = root / "template.yaml"
    template.write_text(_with_block(template.read_text(), name, method, path, role))
    examples = root / "examples" / "favorites.http"
    authorization = AUTHORIZATION if role == "callers" else ""
    request = REQUEST.format(name=name, method=method, path=_sample(path), authorization=authorization)
    with examples.open("a", encoding="utf-8") as requests:
        requests.write(request)
    return [*files, template, examples]


def _handler(name: str, method: str, path: str, role: str, parameters: list[str]) -> str:
    types = {"product_id": "ProductRef", "client_id": "ClientRef"}
    names = sorted(types[each] for each in parameters)
    return HANDLER.format(
        name=name,
        method=method,
        path=path,
        verb=method.lower(),
        rule=re.sub(r"{(\w+)}", r"<\1>", path),
        public="" if role == "callers" else "public=True",
        parameters=f"from shared.web.parameters import {', '.join(names)}\n" if names else "",
        arguments=", ".join(f"{each}: {types[each]}" for each in parameters),
    )


def _event(root: Path, method: str, path: str, role: str) -> dict[str, Any]:
    """The sample event: a copy of that of a similar route."""
    like = "get_favorite" if role == "callers" else "get_product"
    event: dict[str, Any] = json.loads((root / "events" / f"{like}.json").read_text(encoding="utf-8"))
    event["routeKey"] = event["requestContext"]["routeKey"] = f"{method} {path}"
    event["rawPath"] = event["requestContext"]["http"]["path"] = _sample(path)
    event["requestContext"]["http"]["method"] = method
    del event["pathParameters"]
    if parameters := re.findall(r"{(\w+)}", path):
        event["pathParameters"] = {each: _sample(f"{{{each}}}") for each in parameters}
    if method in ("POST", "PATCH"):
        event["headers"]["content-type"] = "application/json"
        event["body"] = "{}"
    return event


def _with_block(template: str, name: str, method: str, path: str, role: str) -> str:
    """The template with the function at the end of the group of its path."""
    place = re.search(rf"^  # ── {NEXT_GROUP.get(_word(path), AFTER_OPERATION)}", template, re.MULTILINE)
    if place is None:
        raise ValueError(f"template.yaml has no group behind that of {path}")
    role_name, variables = ROLES[role]
    block = BLOCK.format(
        resource="".join(part.capitalize() for part in name.split("_")) + "Function",
        name=name,
        method=method,
        path=path,
        role=role_name,
        head=HEAD.format(path=path) if method == "GET" else "",
        environment=f"      Environment: {{Variables: {variables}}}\n" if variables else "",
    )
    return template[: place.start()] + block + template[place.start() :]


def _word(path: str) -> str:
    """What the path is about: `favorite` for /favorites/{product_id} and /favorite-count."""
    return path.split("/")[1].partition("-")[0].removesuffix("s")


def _sample(path: str) -> str:
    """The path with an example of each parameter."""
    return path.replace("{product_id}", "7").replace("{client_id}", "me")


def main() -> None:
    """Write the files for the arguments, and print the next steps."""
    parser = argparse.ArgumentParser(prog="make endpoint", description=__doc__)
    parser.add_argument("name", help="a verb and a noun: count_favorites")
    parser.add_argument("route", help='"GET /favorite-count"')
    parser.add_argument("role", choices=sorted(ROLES), help="what it may do")
    given = parser.parse_args()
    method, _, path = given.route.partition(" ")
    if not re.fullmatch(r"[a-z]+(_[a-z]+)+", given.name):
        parser.error("NAME is a verb and a noun: count_favorites")
    if method not in METHODS or not re.fullmatch(r"(/([a-z.-]+|{(product|client)_id}))+", path):
        parser.error('ROUTE is a method and a path: "GET /favorite-count"')
    try:
        written = write(apps.ROOT, given.name, method, path, given.role)
    except FileExistsError as error:
        parser.error(f"{error.filename} is there already")
    for file in written:
        print(file.relative_to(apps.ROOT))
    print("Next: the work and the handler, its tests, `make generate`, a line in CHANGELOG.md.")


if __name__ == "__main__":
    main()
