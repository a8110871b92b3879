"""docs/scale.md: what it calls measured was measured, and what it takes from the template is there."""

import json
import re
from typing import Any

import pytest

from local.aws.template import template_data
from local.documents import scale
from local.settings import TEMPLATE
from tests.benchmarks import built

PAGE = scale.DOCUMENT.read_text(encoding="utf-8")
FOUND: dict[str, Any] = json.loads(scale.MEASURED.read_text(encoding="utf-8"))
WRITTEN = template_data(TEMPLATE)
AWAY = (
    0.25  # of a figure that is rounded on the page: a new run must not make it false, nor break this by noise
)


def measured(command: str) -> dict[str, Any]:
    (part,) = [part for part in FOUND["parts"] if part["command"] == command]
    assert isinstance(part, dict)
    return part


def rows(title: str) -> dict[str, list[str]]:
    """The table of favorites at 10 million rows that begins so, by its first column."""
    (table,) = [table for table in measured("scale")["tables"] if table["title"].startswith(title)]
    return {first: cells for first, *cells in table["rows"]}


def number(pattern: str) -> float:
    """What the page says at this place."""
    found = re.search(pattern, PAGE)
    assert found, f"{scale.DOCUMENT.name} does not say {pattern}"
    return float(found[1].replace(",", ""))


def test_the_tables_of_time_and_money_are_worked_out_from_what_was_measured() -> None:
    assert scale.section() in PAGE, "run `python -m local.documents.scale`"
    assert scale.document(PAGE) == PAGE


@pytest.mark.parametrize("table", ["favorites", "clients", "products"])
def test_the_size_of_a_row_is_about_what_was_measured(table: str) -> None:
    _, own, indexes, _ = rows("Size")[table]
    assert number(rf"\| `{table}` \| [^|]+ \| (\d+)") == pytest.approx(float(own), rel=AWAY)
    assert number(rf"\| `{table}` \| [^|]+ \| [^|]+ \| (\d+)") == pytest.approx(float(indexes), rel=AWAY)


def test_a_page_of_favorites_reads_about_as_many_pages_as_was_measured() -> None:
    pages = [
        int(cells[2]) for name, cells in rows("How each statement reads").items() if name.startswith("first")
    ]
    assert number(r"A page costs (\d+) to") == pytest.approx(min(pages), rel=AWAY)
    assert number(r"A page costs \d+ to (\d+) pages") == pytest.approx(max(pages), rel=AWAY)


def test_the_publisher_sends_about_as_many_events_as_was_measured() -> None:
    (rate,) = re.findall(r"takes 20 ms a call: ([\d,]+) a second", " ".join(measured("scale")["notes"]))
    said = number(r"the publisher of the outbox \(m\) \| ([\d,]+) events")
    assert said == pytest.approx(float(rate.replace(",", "")), rel=AWAY)


def reserved(*functions: str) -> str:
    """What the template reserves for each, as the page adds it up."""
    found = [WRITTEN["Resources"][name]["Properties"]["ReservedConcurrentExecutions"] for name in functions]
    return " + ".join(str(each["Fn::If"][1]) for each in found)


PROD = WRITTEN["Mappings"]["Stages"]["prod"]
FROM_THE_TEMPLATE = (
    f"A function has {WRITTEN['Globals']['Function']['MemorySize']:,} MB (t)",
    f"`AuthRate` of prod (t) | {PROD['AuthRate']} |",
    f"`LoginFunction`'s reserved {reserved('LoginFunction')} (t)",
    f"product functions: {reserved('ListProductsFunction', 'GetProductFunction')} reserved (t)",
    "favorites reads: "
    f"{reserved('ListFavoritesFunction', 'ListFavoriteIdsFunction', 'GetFavoriteFunction')} reserved (t)",
    f"`Rate` of prod (t) | {PROD['Rate']:,} |",
    f"`CacheEcpu` of prod (t) | {PROD['CacheEcpu']:,} ECPU",
    f"of the {PROD['CacheEcpu']:,} in prod (t)",
    f"rings at {WRITTEN['Resources']['DatabaseConnectionsAlarm']['Properties']['Threshold']} (t)",
)


@pytest.mark.parametrize("said", FROM_THE_TEMPLATE)
def test_what_the_page_takes_from_the_template_is_there(said: str) -> None:
    assert said in PAGE


def test_nothing_else_is_said_to_be_in_the_template() -> None:
    explained = len(re.findall(r"written in `template.yaml` \(t\)", PAGE))
    assert PAGE.count("(t)") == explained + sum(said.count("(t)") for said in FROM_THE_TEMPLATE)


def test_the_benchmarks_give_a_function_the_memory_of_the_template() -> None:
    assert WRITTEN["Globals"]["Function"]["MemorySize"] == built.MEMORY
