"""The page /docs, where people try the API out."""

import pytest

from local.stack import Stack
from tests.e2e.pages.shop import Shop


@pytest.fixture
def docs(browser: Shop, stack: Stack) -> Shop:
    """The page, at the route that reads a client."""
    browser.open(f"{stack.url}/docs#/clients/get_client")
    browser.reload()
    return browser


def test_a_refused_request_leads_to_the_text_of_its_problem(docs: Shop) -> None:
    assert docs.find("#operations-clients-get_client input").attribute("value") == "me"
    docs.find("#operations-clients-get_client .execute").click()
    link = docs.find("#operations-clients-get_client .problem-link")
    assert link.attribute("href") == "/problems/missing-credentials"
    assert docs.run("return document.title") == "Favorites API"


def test_a_token_survives_a_reload(docs: Shop) -> None:
    docs.find(".btn.authorize").click()
    docs.find(".auth-container input").type("a-token")
    docs.find(".auth-container .btn.authorize").click()
    docs.reload()
    docs.find(".btn.authorize.locked")


def test_the_page_fits_on_a_phone(docs: Shop) -> None:
    docs.emulate(width=390, scheme="light")
    docs.find("#operations-clients-get_client .execute")
    assert docs.run("return document.documentElement.scrollWidth") <= 390
