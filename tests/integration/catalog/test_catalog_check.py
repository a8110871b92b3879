"""`python -m local catalog check`: what somebody sees who connects a catalog."""

import json

import pytest

from local.__main__ import main
from tests.integration.catalog import pages

PRODUCTS = [
    {"id": number, "title": f"Mat {number}", "price": "free" if number == 3 else 9.9}
    for number in range(1, 151)
]


@pytest.fixture
def shown(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> object:
    """Run the command against that catalog with a mapping; its status, and what it shows."""

    def run(mapping: str) -> tuple[int, str]:
        catalog = pages.dummyjson(PRODUCTS)
        environment.setenv("CATALOG_URL", catalog.url)
        environment.setenv("CATALOG_MAPPING", mapping)
        status = main(["catalog", "check"])
        catalog.stop()
        output = capsys.readouterr()
        return status, output.out + output.err

    return run


def test_the_first_product_is_shown_before_and_after_and_then_the_numbers(shown: object) -> None:
    status, text = shown("dummyjson")  # type: ignore[operator]
    assert status == 0
    assert json.loads(text[text.index("{") : text.index("and after")]) == PRODUCTS[0]
    assert '"product' not in text.partition("and after")[0]
    assert "refused 3: price: is not a number" in text
    assert "150 products on 2 pages; 149 can be used, 1 are refused." in text
    assert "_aws" not in text


def test_a_wrong_expression_is_shown_beside_the_item_that_it_failed_on(shown: object) -> None:
    status, text = shown('{"preset": "dummyjson", "price": "cost"}')  # type: ignore[operator]
    assert status == 1
    assert '"price": 9.9' in text
    assert '"price": null' in text
    assert text.rstrip().endswith("The catalog cannot be used: most products of its list fail the check.")


def test_another_shape_is_one_sentence(shown: object) -> None:
    status, text = shown("")  # type: ignore[operator]
    assert status == 1
    assert "its list is an object, not an array: see CATALOG_MAPPING" in text
