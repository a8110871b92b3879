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
from samcli.yamlhelper import yaml_parse

from tests import documents
from tests.calls import NEEDING_A_CALLER
from tests.unit.documents.test_rooms import imported

ROOT = Path(__file__).parents[3]
FOLDERS = sorted(folder.name for folder in (ROOT / "functions").iterdir() if any(folder.glob("*.py")))

# A new route begins with its row in the table of docs/contract.md.
CONTRACT = {(route.method, route.path): route.function for route in documents.contract()}


TEMPLATE: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text())
FUNCTIONS: dict[str, dict[str, Any]] = {
    name: resource["Properties"]
    for name, resource in TEMPLATE["Resources"].items()
    if resource["Type"] == "AWS::Serverless::Function"
}


def resource_of(folder: str) -> str:
    """The template's name for the function: create_client becomes CreateClientFunction."""
    return "".join(word.capitalize() for word in folder.split("_")) + "Function"


def variables(folder: str) -> dict[str, Any]:
    own: dict[str, Any] = FUNCTIONS[resource_of(folder)].get("Environment", {}).get("Variables", {})
    return own


# ── One name gives all the others ─────────────────────────────────────────────────────────────────────────


def test_each_folder_is_a_function_of_the_template_and_nothing_else_is() -> None:
    assert sorted(FUNCTIONS) == sorted(map(resource_of, FOLDERS))


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_function_has_the_name_of_its_folder_everywhere(folder: str) -> None:
    properties = FUNCTIONS[resource_of(folder)]
    assert properties["CodeUri"] == f"functions/{folder}/"
    assert properties["Handler"] == f"functions.{folder}.handler.lambda_handler"
    resource = TEMPLATE["Resources"][resource_of(folder)]
    assert resource["Metadata"] == {"BuildMethod": "makefile", "ContextPath": "functions"}
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
    routes = {}
    for name, properties in FUNCTIONS.items():
        for event in properties.get("Events", {}).values():
            assert event["Type"] != "Api"
            if event["Type"] == "HttpApi":
                assert event["Properties"]["ApiId"] == {"Ref": "Api"}
                routes[event["Properties"]["Method"], event["Properties"]["Path"]] = name
    assert routes == {route: resource_of(folder) for route, folder in CONTRACT.items()}


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


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("functions/**/*.py"), *ROOT.glob("shared/**/*.py")]), ids=str
)
def test_deployed_code_imports_only_shared_code_and_its_own_folder_and_boto3_late(path: Path) -> None:
    tree = ast.parse(path.read_text())
    own = ".".join(path.relative_to(ROOT).parts[:2])
    for module in imported(tree):
        top = module.partition(".")[0]
        assert top not in ("local", "tests", "tools", "events")
        assert top != "functions" or f"{module}.".startswith(f"{own}."), f"a sibling: {module}"
    at_once = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
    assert {module.partition(".")[0] for module in imported(at_once)}.isdisjoint({"boto3", "botocore"})


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


def test_importing_the_functions_neither_connects_nor_needs_a_setting() -> None:
    program = f"""
import socket
def refuse(*_, **__):
    raise AssertionError("connects at import")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
from importlib import import_module
for folder in {FOLDERS}:
    assert import_module(f"functions.{{folder}}.handler").lambda_handler
for folder in ("get_product", "list_products"):
    import_module(f"functions.{{folder}}.routes")
import sys
print("boto3" in sys.modules)
"""
    assert run_python(program) == "False\n"
