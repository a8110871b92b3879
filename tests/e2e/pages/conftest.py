"""One browser for each file of tests, and the sample catalog's prices."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from local.stack import ROOT, Stack
from tests.e2e.pages.browser import NoBrowser
from tests.e2e.pages.shop import Shop, exact_prices


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    try:
        opened = Shop(tmp_path_factory.mktemp("browser"))
    except NoBrowser as error:
        pytest.skip(str(error))
    yield opened
    opened.close()


@pytest.fixture
def shop(browser: Shop, stack: Stack) -> Shop:
    """The page of a guest whose list is empty."""
    browser.url = stack.url
    browser.open(f"{stack.url}/shop")
    browser.run("localStorage.clear()")
    browser.visit()
    browser.faults()  # of the tests before
    return browser


@pytest.fixture
def prices(stack: Stack) -> Iterator[Any]:
    """`catalog price …` in a second console; what it changed is changed back."""
    changed: dict[str, str] = {}

    def change(product_id: str, price: str) -> None:
        subprocess.run(  # noqa: S603 - a list, no shell
            [sys.executable, "-m", "local", "catalog", "price", product_id, price],
            env={**os.environ, "LOCAL_DATA": str(stack._data)},
            cwd=ROOT,
            check=True,
            capture_output=True,
        )

    def change_once(product_id: str, price: str) -> None:
        changed.setdefault(product_id, exact_prices(stack)[product_id])
        change(product_id, price)

    yield change_once
    for product_id, price in changed.items():
        change(product_id, price)
