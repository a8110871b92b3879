"""The benchmarks' own rules: what a bounded plan is, when a figure is over, and the page that shows them."""

import json
from dataclasses import asdict

import pytest

from local.aws.template import template_data
from local.settings import TEMPLATE
from tests.benchmarks import operations, page
from tests.benchmarks.figures import FIGURES, Part
from tests.benchmarks.fixtures import built

GOOD = {"rows": 21, "sorted": 21, "pages": 110, "whole_tables": []}


def test_the_page_shows_what_was_found() -> None:
    shown = page.PAGE.read_text()
    assert shown == page.render(json.loads(page.FOUND.read_text()))
    assert ", over**" not in shown


def test_a_figure_that_is_over_or_missing_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    limit = FIGURES["scale.p99"].at_most
    assert Part("scale", values={"scale.p99": limit}).print()
    over = Part("scale", values={"scale.p99": limit + 0.01})
    assert not over.print()
    assert capsys.readouterr().out.count("OVER") == 1
    shown = page.render({"parts": [asdict(over) | {"measured": []}]})
    assert shown.count(", over**") == 1
    assert shown.count("not measured") == len(FIGURES) - 1


@pytest.mark.parametrize(
    "bad", [{"whole_tables": ["favorites: Seq Scan"]}, {"rows": 2_500}, {"sorted": 2_500}, {"pages": 7_604}]
)
def test_a_plan_that_reads_more_than_it_answers_is_unbounded(bad: dict[str, object]) -> None:
    assert not operations.unbounded(GOOD, 21)
    assert len(operations.unbounded(GOOD | bad, 21)) == 1


def test_the_benchmarks_give_a_function_the_memory_of_the_template() -> None:
    assert template_data(TEMPLATE)["Globals"]["Function"]["MemorySize"] == built.MEMORY
