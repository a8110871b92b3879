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
from tests.documents import ROOT, codes, table
from tests.unit.documents.test_names import TEMPLATE
from tools import contract

OPENAPI: dict[str, Any] = json.loads((ROOT / "functions" / "get_docs" / "openapi.json").read_text())
SCHEMAS: dict[str, Any] = OPENAPI["components"]["schemas"]
CONTRACT = "docs/contract.md"
SETTINGS = "docs/settings.md"
EVENTS = "docs/events.md"

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


def test_the_tables_of_the_contract_are_what_the_openapi_document_says() -> None:
    page = (ROOT / CONTRACT).read_text()
    assert page == contract.text(page, OPENAPI), "run `make generate` and commit it"


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


def test_the_defaults_and_limits_of_the_settings_are_those_of_the_template() -> None:
    for parameter, _, default, *_, meaning in table(SETTINGS, "in the cloud"):
        if parameter in PARAMETERS:
            declared = PARAMETERS[parameter]
            assert default.strip("`") == str(declared["Default"]), parameter
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
def test_a_make_target_or_module_that_is_named_is_there(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for code in [*codes(documents.prose(page)), *(fence.text for fence in documents.fences(page))]:
        for target in re.findall(r"^(?:[A-Z_]+=\S* )*make ([a-z][a-z-]*)", code, re.MULTILINE):
            assert target in targets, f"{page}: make {target}"
        for module in re.findall(r"python -m ((?:local|tests|tools)[\w.]*)", code):
            assert find_spec(module.rstrip(".")) is not None, f"{page}: python -m {module}"


# ── Both languages ────────────────────────────────────────────────────────────────────────────────────────

ENGLISH, PORTUGUESE = "README.md", "README.pt-BR.md"


def test_both_readmes_have_the_same_headings_commands_and_answers_on_150_lines_at_most() -> None:
    levels = [[level for level, _ in documents.headings(page)] for page in (ENGLISH, PORTUGUESE)]
    assert levels[0] == levels[1]
    for here, there in zip(documents.fences(ENGLISH), documents.fences(PORTUGUESE), strict=True):
        assert here.language == there.language
        if here.language != "mermaid":  # whose labels are translated
            assert here == there
        assert here.text.count("\n") == there.text.count("\n")
    for page in (ENGLISH, PORTUGUESE):
        assert len(documents.text(page).splitlines()) <= 150, page


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
