"""The documents tell the truth: tables, links, names and commands as the code has them."""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

import pytest

from local import settings
from shared.errors import DomainError
from tests import documents
from tests.documents import ROOT, Route, codes, table
from tests.unit.documents.test_names import TEMPLATE

OPENAPI: dict[str, Any] = json.loads((ROOT / "functions" / "get_docs" / "openapi.json").read_text())
SCHEMAS: dict[str, Any] = OPENAPI["components"]["schemas"]
CONTRACT = "docs/contract.md"
SETTINGS = "docs/settings.md"
EVENTS = "docs/events.md"

# Of these the contract tells once, above the table's shapes, which routes answer with them.
OF_EVERY_ROUTE = {"invalid-input", "internal-error"}
OF_A_BODY = {"body-too-large", "unsupported-media-type"}
OF_OUR_OWN_DATA = {"database-unavailable", "secret-unavailable"}

# ── Links ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("page", documents.pages())
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page: str) -> None:
    for link in documents.links(page):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (ROOT / page).parent / unquote(target) if target else ROOT / page
        assert file.exists(), f"{page}: there is no {link}"
        if anchor:
            there = documents.anchors(str(file.resolve().relative_to(ROOT)))
            assert anchor in there, f"{page}: {link} names no heading; the page has {there}"


def test_the_readme_leads_to_every_page() -> None:
    linked = {link.partition("#")[0] for link in documents.links("README.md")}
    assert {page for page in documents.pages() if page.startswith("docs/")} <= linked


def test_a_test_that_the_security_page_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", documents.prose("SECURITY.md"))
    assert len(named) > 10
    for file, name in named:
        assert f"def {name}(" in (ROOT / file).read_text(), f"SECURITY.md: there is no {name} in {file}"


# ── The contract ──────────────────────────────────────────────────────────────────────────────────────────


def operation(route: Route) -> dict[str, Any]:
    """The route in the OpenAPI document."""
    found: dict[str, Any] = OPENAPI["paths"][route.path][route.method.lower()]
    return found


def test_the_contract_has_the_routes_of_the_openapi_document_and_no_others() -> None:
    documented = {(route.method, route.path) for route in documents.contract()}
    served = {
        (method.upper(), path) for path, operations in OPENAPI["paths"].items() for method in operations
    }
    assert documented == served, (
        f"add a row to the table of {CONTRACT} for {sorted(served - documented)}, "
        f"take out {sorted(documented - served)}; or is the OpenAPI document older than the handlers?"
    )


@pytest.mark.parametrize("route", documents.contract(), ids=lambda route: f"{route.method} {route.path}")
def test_a_row_of_the_contract_is_what_the_openapi_document_says(route: Route) -> None:
    served = operation(route)
    name = f"{CONTRACT}, {route.method} {route.path}"
    query = [each["name"] for each in served.get("parameters", []) if each["in"] == "query"]
    assert sorted(route.query) == sorted(query), f"{name}: the query parameters"
    assert sorted(route.body) == sorted(body_fields(served)), f"{name}: the fields of the body"
    assert ("security" in served and served["security"] == []) == (route.who in ("anyone", "holder")), (
        f"{name}: who may call"
    )
    successes = {int(status): answer for status, answer in served["responses"].items() if status < "400"}
    documented = {int(status) for status in re.findall(r"\b[23]\d\d\b", route.success)}
    assert documented == set(successes), f"{name}: the statuses of success"
    for shape in filter(None, map(schema_of, successes.values())):
        words = re.sub(r"^Page_(\w+)_$", r"Page of \1", shape)
        assert words in route.success, f"{name}: it answers with {words}"
    # To HEAD the problems are the same, and have no body to tell them apart by.
    with_body = operation(route._replace(method="GET")) if route.method == "HEAD" else served
    assert route.failures == own_failures(route.path, with_body), (
        f"{name}: the statuses of the other failures"
    )


def body_fields(served: dict[str, Any]) -> Iterator[str]:
    """The fields of the body, with a `?` behind those that may be missing."""
    if "requestBody" in served:
        content = served["requestBody"]["content"]["application/json"]["schema"]
        schema = SCHEMAS[content["$ref"].rpartition("/")[2]]
        for name in schema["properties"]:
            yield name if name in schema.get("required", ()) else f"{name}?"


def schema_of(answer: dict[str, Any]) -> str:
    """The name of the shape that an answer has, empty where it has none."""
    content = answer.get("content", {}).get("application/json", {})
    return str(content.get("schema", {}).get("$ref", "")).rpartition("/")[2]


def own_failures(path: str, served: dict[str, Any]) -> set[int]:
    """The statuses from 400 on, without the problems that the contract tells once for many routes."""
    told_once = OF_EVERY_ROUTE | OF_A_BODY
    if served["security"] or path.split("/")[1] in ("clients", "auth"):
        told_once |= OF_OUR_OWN_DATA
    found = set()
    for status, answer in served["responses"].items():
        problems = answer.get("content", {}).get("application/problem+json", {}).get("examples")
        if status >= "400" and (problems is None or set(problems) - told_once):
            found.add(int(status))
    return found


def test_only_a_public_route_of_products_tells_itself_that_the_database_may_not_answer() -> None:
    problems: dict[str, Any] = {"application/problem+json": {"examples": {"database-unavailable": {}}}}
    public = {"security": [], "responses": {"503": {"content": problems}}}
    assert own_failures("/categories", public) == {503}
    assert own_failures("/auth/login", public) == set()
    assert own_failures("/favorites", public | {"security": [{"accessToken": []}]}) == set()


def test_the_shapes_of_the_contract_have_the_fields_of_the_openapi_document() -> None:
    told = dict(re.findall(r"^- \*\*(\w+)\*\* `\{([^}]*)\}`", documents.prose(CONTRACT), re.MULTILINE))
    answered = {
        shape.removeprefix("Page_").rstrip("_")
        for route in documents.contract()
        for shape in map(schema_of, operation(route)["responses"].values())
        if shape
    }
    untold = sorted(answered - told.keys())
    assert not untold, (
        f"{CONTRACT} tells no fields of {untold}: - **{untold[0]}** `{{one,another}}`, all flat"
    )
    for shape, fields in told.items():
        schema = SCHEMAS["Page_Account_" if shape == "Page" else shape]
        assert sorted(fields.split(",")) == sorted(schema["properties"]), f"{CONTRACT}: the fields of {shape}"


def test_the_errors_of_the_contract_are_the_problems_in_the_code() -> None:
    told = {codes(kind)[0]: int(status) for kind, status, _ in table(CONTRACT, "type")}
    known = {kind.type_uri(): kind.status for kind in DomainError.kinds()}
    assert told == known, f"the table of errors in {CONTRACT} and shared/errors.py differ"


# ── Settings ──────────────────────────────────────────────────────────────────────────────────────────────

PARAMETERS: dict[str, Any] = TEMPLATE["Parameters"]


def test_the_settings_are_those_that_make_run_takes() -> None:
    told = {codes(variable)[0] for _, variable, *_ in table(SETTINGS, "in the cloud")}
    known = {re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper() for name in settings.PARAMETERS}
    assert told == known | set(settings.VARIABLES)


def test_the_defaults_of_the_settings_are_those_of_the_template() -> None:
    for parameter, _, default, *_ in table(SETTINGS, "in the cloud"):
        if parameter in PARAMETERS:
            assert default.strip("`") == str(PARAMETERS[parameter]["Default"]), parameter


def test_the_limits_of_the_settings_are_those_of_the_template() -> None:
    for parameter, *_, meaning in table(SETTINGS, "in the cloud"):
        declared = PARAMETERS.get(parameter, {})
        if "MinValue" in declared:
            assert f"{declared['MinValue']} to {declared['MaxValue']}" in meaning, parameter


def test_every_parameter_of_the_template_is_told_of() -> None:
    told = documents.text(SETTINGS) + documents.text("docs/deploying.md")
    assert [name for name in PARAMETERS if not re.search(rf"\b{name}\b", told)] == []


def test_the_settings_of_make_run_alone_are_those_that_it_reads() -> None:
    told = {codes(variable)[0] for variable, *_ in table(SETTINGS, "variable")}
    source = "".join(file.read_text() for file in (ROOT / "local").glob("*.py"))
    assert told == {"PORT", "EVENTS_URL"} | set(re.findall(r"\"(LOCAL_[A-Z]+(?:_[A-Z]+)*)\"", source))


@pytest.mark.parametrize("page", [*documents.pages(), "functions/get_docs/openapi.json"])
def test_an_answer_that_is_shown_is_fresh_for_as_long_as_by_default(page: str) -> None:
    shown = set(re.findall(r"public, max-age=(\d+), stale", documents.text(page)))
    assert shown <= {str(PARAMETERS["ProductCacheTtlSeconds"]["Default"])}


# ── Events and metrics ────────────────────────────────────────────────────────────────────────────────────


def test_the_events_are_those_that_have_a_schema() -> None:
    tables = [rows for head, rows in documents.tables(EVENTS) if head[0] == "detail type"]
    told = {name for rows in tables for first, *_ in rows for name in codes(first)}
    schemas = {file.stem.partition(".")[2] for file in (ROOT / "events" / "schemas").glob("*.json")}
    assert told == schemas


def test_the_metrics_are_those_that_the_code_writes() -> None:
    told = {codes(name)[0] for name, *_ in table(EVENTS, "name")}
    written = {
        name
        for folder in ("shared", "functions")
        for file in (ROOT / folder).glob("**/*.py")
        for name in metric_names(ast.parse(file.read_text()))
    }
    assert told == written, (
        f"the table of metrics in {EVENTS} and the calls of shared.platform.metrics differ"
    )


def metric_names(tree: ast.Module) -> Iterator[str]:
    """The names that metrics.count("…") or ("…" if … else "…"), and metrics.put({"…": …}) are called with."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "metrics"
            and node.args
        ):
            match node.args[0]:
                case ast.Dict(keys=names):
                    pass
                case ast.IfExp(body=one, orelse=other):
                    names = [one, other]
                case name:
                    names = [name]
            yield from (str(name.value) for name in names if isinstance(name, ast.Constant))


# ── Names and commands ────────────────────────────────────────────────────────────────────────────────────


def code_of(page: str) -> list[str]:
    """What the page shows as code: spans and fenced blocks."""
    return [*codes(documents.prose(page)), *(fence.text for fence in documents.fences(page))]


@pytest.mark.parametrize("page", [page for page in documents.pages() if page != "CHANGELOG.md"])
def test_a_file_that_is_named_is_there(page: str) -> None:
    folders = {"docs", "events", "functions", "layers", "local", "shared", "tests", "tools"}
    for span in codes(documents.prose(page)):
        path = PurePosixPath(span)
        if re.fullmatch(r"[\w./-]+", span) and len(path.parts) > 1 and path.parts[0] in folders:
            is_example = "count_favorites" in span  # the endpoint that the guide adds
            assert is_example or (ROOT / span).exists(), f"{page}: there is no {span}"


def test_what_mutation_testing_tries_and_runs_is_there() -> None:
    mutmut = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]
    for pattern in (*mutmut["only_mutate"], *mutmut["pytest_add_cli_args_test_selection"]):
        assert list(ROOT.glob(pattern)), f"[tool.mutmut]: there is no {pattern}"


@pytest.mark.parametrize("page", documents.pages())
def test_a_make_target_that_is_named_is_in_the_makefile(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for code in code_of(page):
        for target in re.findall(r"^(?:[A-Z_]+=\S* )*make ([a-z][a-z-]*)", code, re.MULTILINE):
            assert target in targets, f"{page}: make {target}"


@pytest.mark.parametrize("page", documents.pages())
def test_a_module_that_is_named_can_be_run(page: str) -> None:
    for code in code_of(page):
        for module in re.findall(r"python -m ((?:local|tests|tools)[\w.]*)", code):
            assert find_spec(module.rstrip(".")) is not None, f"{page}: python -m {module}"


# ── Both languages ────────────────────────────────────────────────────────────────────────────────────────

ENGLISH, PORTUGUESE = "README.md", "README.pt-BR.md"


def test_the_readme_is_read_in_three_minutes() -> None:
    for page in (ENGLISH, PORTUGUESE):
        assert len(documents.text(page).splitlines()) <= 150, page


def test_both_readmes_have_the_same_headings() -> None:
    english, portuguese = documents.headings(ENGLISH), documents.headings(PORTUGUESE)
    assert [level for level, _ in english] == [level for level, _ in portuguese]


def test_both_readmes_have_the_same_commands_and_answers() -> None:
    english, portuguese = documents.fences(ENGLISH), documents.fences(PORTUGUESE)
    assert [fence.language for fence in english] == [fence.language for fence in portuguese]
    for here, there in zip(english, portuguese, strict=True):
        if here.language != "mermaid":  # whose labels are translated
            assert here == there
        assert here.text.count("\n") == there.text.count("\n")


def test_both_readmes_have_the_same_links() -> None:
    def targets(page: str) -> list[str]:
        other = {ENGLISH: PORTUGUESE, PORTUGUESE: ENGLISH}[page]
        own = documents.anchors(page)
        return [
            f"#{own.index(link[1:])}" if link.startswith("#") else link.replace(other, "the other one")
            for link in documents.links(page)
        ]

    assert targets(ENGLISH) == targets(PORTUGUESE)


def test_a_picture_is_in_a_language_that_the_forge_draws() -> None:
    for page in documents.pages():
        for fence in documents.fences(page):
            if fence.language == "mermaid":
                assert re.match(r"(flowchart (TD|LR|TB)|sequenceDiagram)\n", fence.text), page
