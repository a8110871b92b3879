"""The naming rule, and who may know what: knowing one name gives all the others."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import documents
from tests.calls import NEEDING_A_CALLER

ROOT = Path(__file__).parents[3]
FOLDERS = sorted(folder.name for folder in (ROOT / "functions").iterdir() if any(folder.glob("*.py")))

# A new route begins with its row in the table of docs/contract.md.
CONTRACT = {(route.method, route.path): route.function for route in documents.contract()}
ISSUING_TOKENS = {"login", "refresh_token"}


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: `!Ref Name` becomes {"Ref": "Name"}."""


def _short_form(loader: Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.ScalarNode)
    return {name: loader.construct_scalar(node)}


Loader.add_multi_constructor("!", _short_form)  # type: ignore[no-untyped-call]


def _template() -> dict[str, Any]:
    # A SafeLoader that makes more dicts is still a safe one.
    template: dict[str, Any] = yaml.load((ROOT / "template.yaml").read_text(), Loader)  # noqa: S506
    return template


TEMPLATE = _template()
FUNCTIONS: dict[str, dict[str, Any]] = {
    name: resource["Properties"]
    for name, resource in TEMPLATE["Resources"].items()
    if resource["Type"] == "AWS::Serverless::Function"
}


def resource_of(folder: str) -> str:
    """The template's name for the function: create_client becomes CreateClientFunction."""
    return "".join(word.capitalize() for word in folder.split("_")) + "Function"


def variables(folder: str) -> dict[str, Any]:
    """The environment variables that only this function gets."""
    own: dict[str, Any] = FUNCTIONS[resource_of(folder)].get("Environment", {}).get("Variables", {})
    return own


def imports(path: Path) -> set[str]:
    """The modules that the file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


# ── One name gives all the others ─────────────────────────────────────────────────────────────────────────


def test_each_folder_is_a_function_of_the_template_and_nothing_else_is() -> None:
    assert sorted(FUNCTIONS) == sorted(map(resource_of, FOLDERS))


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_template_names_the_folder_and_its_handler(folder: str) -> None:
    properties = FUNCTIONS[resource_of(folder)]
    assert properties["CodeUri"] == f"functions/{folder}/"
    assert properties["Handler"] == f"functions.{folder}.handler.lambda_handler"
    tree = ast.parse((ROOT / "functions" / folder / "handler.py").read_text())
    defined = {
        name
        for node in tree.body
        for name in (
            [node.name]
            if isinstance(node, ast.FunctionDef)
            else [target.id for target in node.targets if isinstance(target, ast.Name)]
            if isinstance(node, ast.Assign)
            else []
        )
    }
    assert "lambda_handler" in defined


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_build_keeps_the_dotted_name(folder: str) -> None:
    resource = TEMPLATE["Resources"][resource_of(folder)]
    assert resource["Metadata"] == {"BuildMethod": "makefile", "ContextPath": "functions"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_function_has_its_test(folder: str) -> None:
    assert [*(ROOT / "tests").glob(f"*/**/test_{folder}.py")]


def test_each_function_has_its_sample_event_and_each_event_its_function() -> None:
    assert sorted(path.stem for path in (ROOT / "events").glob("*.json")) == FOLDERS


@pytest.mark.parametrize("folder", sorted(set(CONTRACT.values())))
def test_a_sample_event_is_of_a_route_of_its_function(folder: str) -> None:
    event = json.loads((ROOT / "events" / f"{folder}.json").read_text())
    method, _, path = event["routeKey"].partition(" ")
    assert CONTRACT[method, path] == folder
    assert event["requestContext"]["http"]["method"] == method
    assert event["requestContext"]["http"]["path"] == event["rawPath"]
    assert path.format(**event.get("pathParameters", {})) == event["rawPath"]
    assert event["version"] == "2.0"
    assert event["requestContext"]["stage"] == "$default"
    assert event.get("headers", {}).get("authorization") == (
        "Bearer <access token>" if folder in NEEDING_A_CALLER else None
    )


# ── Routes ────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_template_has_the_routes_of_the_contract_and_no_others() -> None:
    routes = {
        (event["Properties"]["Method"], event["Properties"]["Path"]): name
        for name, properties in FUNCTIONS.items()
        for event in properties.get("Events", {}).values()
        if event["Type"] == "HttpApi"
    }
    assert routes == {route: resource_of(folder) for route, folder in CONTRACT.items()}


def test_every_route_is_one_of_the_one_api() -> None:
    for properties in FUNCTIONS.values():
        for event in properties.get("Events", {}).values():
            assert event["Type"] != "Api"
            assert event["Properties"].get("ApiId") == (
                {"Ref": "Api"} if event["Type"] == "HttpApi" else None
            )


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_code_declares_the_routes_that_the_template_sends_it(folder: str) -> None:
    declared = {
        (match[1].upper(), re.sub(r"<(\w+)>", r"{\1}", match[2]))
        for path in (ROOT / "functions" / folder).glob("*.py")
        for match in re.finditer(r'@app\.(get|put|post|patch|delete)\(\s*"([^"]+)"', path.read_text())
    }
    declared |= {("HEAD", path) for method, path in declared if method == "GET"}  # shared.web.routing
    assert declared == {route for route, function in CONTRACT.items() if function == folder}


# ── Imports ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_function_imports_shared_code_and_its_own_folder_but_no_sibling(folder: str) -> None:
    for path in (ROOT / "functions" / folder).glob("**/*.py"):
        for module in imports(path):
            top = module.split(".")[0]
            assert top not in ("local", "tests", "tools", "events"), f"{path} imports {module}"
            if top == "functions":
                assert module.startswith(f"functions.{folder}."), f"{path} imports a sibling: {module}"


def test_shared_code_imports_no_function() -> None:
    for path in (ROOT / "shared").glob("**/*.py"):
        tops = {module.split(".")[0] for module in imports(path)}
        assert not tops & {"functions", "local", "tests", "tools"}, path


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("functions/**/*.py"), *ROOT.glob("shared/**/*.py")]), ids=str
)
def test_boto3_is_imported_only_inside_the_functions_that_call_aws(path: Path) -> None:
    for node in ast.parse(path.read_text()).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        assert not any(name.split(".")[0] in ("boto3", "botocore") for name in names)


# ── Keys ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("folder", FOLDERS)
def test_only_who_verifies_or_issues_tokens_gets_the_keys(folder: str) -> None:
    expected = folder in NEEDING_A_CALLER or folder in ISSUING_TOKENS
    assert ("ACCESS_TOKEN_KEYS" in variables(folder)) == expected
    handler = (ROOT / "functions" / folder / "handler.py").read_text()
    assert expected == ("routing.resolver()" in handler or folder in ISSUING_TOKENS)


def test_nobody_gets_the_keys_or_the_admins_password_from_globals() -> None:
    everybody = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    assert not {"ACCESS_TOKEN_KEYS", "ADMIN_EMAIL", "ADMIN_PASSWORD"} & everybody.keys()


@pytest.mark.parametrize("folder", FOLDERS)
def test_only_the_migrations_know_the_admins_password(folder: str) -> None:
    assert ("ADMIN_PASSWORD" in variables(folder)) == (folder == "run_migrations")


def test_no_secret_is_a_parameter() -> None:
    for name, declared in TEMPLATE["Parameters"].items():
        assert "NoEcho" not in declared
        assert not re.search("password|secret|key", name, re.IGNORECASE)


def test_every_setting_that_the_code_reads_is_declared() -> None:
    source = (ROOT / "shared" / "platform" / "settings.py").read_text()
    read = set(re.findall(r'"([A-Z]+(?:_[A-Z]+)+)"', source))
    declared = set(TEMPLATE["Globals"]["Function"]["Environment"]["Variables"])
    declared |= {name for folder in FOLDERS for name in variables(folder)}
    assert read
    assert read <= declared


# ── What is loaded ────────────────────────────────────────────────────────────────────────────────────────

HEAVY = ("pydantic", "psycopg", "boto3", "aws_lambda_powertools", "jwt", "argon2", "simplejson", "urllib3")


def run_python(program: str, **environment: str) -> str:
    """What the program prints in a fresh interpreter that knows no other settings."""
    result = subprocess.run(  # noqa: S603 — our own program
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("folder", ["get_product", "list_products"])
def test_a_cached_product_is_answered_before_anything_heavy_is_loaded(folder: str) -> None:
    program = f"""
import json, sys, time
from shared.platform import valkey
from shared.products import product_cache

asked = json.load(open("events/{folder}.json")).get("queryStringParameters") or {{}}
place = product_cache.slot_for(
    limit=asked.get("limit", "20"), cursor=None, category=asked.get("category"), sort=asked.get("sort")
)

def found(command, key, *_):
    if command == "HMGET":
        return [b"1", b"1", b"0", str(time.time()).encode()]
    product, page = f"200 1 {{time.time():.3f}} etag", f"{{place.name}} 1 etag "
    header = product if key.startswith("product:") else page
    return (header + "\\n{{}}").encode()

valkey.pipeline = lambda *commands: [found(*command) for command in commands]
from functions.{folder}.handler import lambda_handler

answer = lambda_handler(json.load(open("events/{folder}.json")), None)
assert (answer["statusCode"], answer["headers"]["X-Cache"], answer["body"]) == (200, "hit", "{{}}"), answer
print(json.dumps(sorted(set(module.split(".")[0] for module in sys.modules))))
"""
    loaded = json.loads(run_python(program, REDIS_URL="redis://valkey.test").splitlines()[-1])
    assert not set(HEAVY) & set(loaded)


def test_importing_the_functions_neither_connects_nor_needs_a_setting() -> None:
    program = f"""
import socket
def refuse(*_, **__):
    raise AssertionError("connects at import")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
from importlib import import_module
for folder in {FOLDERS}:
    import_module(f"functions.{{folder}}.handler")
for folder in ("get_product", "list_products"):
    import_module(f"functions.{{folder}}.routes")
import sys
print("boto3" in sys.modules)
"""
    assert run_python(program) == "False\n"
