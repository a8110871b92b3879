"""Who is logged in, when tokens are renewed while people come and go."""

import httpx

from local.stack import Stack
from tests.e2e.api.service import new_email
from tests.e2e.pages.shop import PASSWORD, Shop, favorites

# The page's requests for a new token wait until `answer()` is called; the service has renewed it by then.
HOLD_REFRESHES = """
const real = window.fetch;
window.answer = null;
window.fetch = async (url, options) => {
  const response = await real(url, options);
  if (String(url).endsWith('/auth/refresh')) await new Promise((resolve) => { window.answer = resolve; });
  return response;
};
"""


def register(stack: Stack, name: str) -> str:
    """A client made beside the page; returns the e-mail."""
    email = new_email()
    body = {"name": name, "email": email, "password": PASSWORD}
    assert httpx.post(f"{stack.url}/clients", json=body, timeout=30).status_code == 201
    return email


def test_an_access_token_that_is_over_is_refreshed_without_a_word(shop: Shop) -> None:
    shop.register()
    shop.expire()
    shop.visit()
    shop.toggle("7")
    assert len(shop.requests("/auth/refresh")) == 1
    assert shop.text("#problem") == ""


def test_a_refresh_that_ends_after_the_next_customer_has_logged_in_changes_nothing(
    shop: Shop, stack: Stack
) -> None:
    second = register(stack, "Bruno")
    shop.register("Ana")
    shop.run(HOLD_REFRESHES)
    shop.expire()
    shop.heart("7").click()
    shop.wait(lambda: bool(shop.run("return window.answer !== null")), "no token is renewed")
    shop.run("document.querySelector('#log-out').click()")
    shop.find("#log-in:not([hidden])")
    shop.find("#log-in").click()
    shop.submit(email=second, password=PASSWORD)
    shop.run("setTimeout(window.answer, 300)")
    shop.find("#log-out:not([hidden])")
    shop.settled()
    shop.visit()
    assert shop.text("#who") == "Bruno"
    assert favorites(shop, stack) == {}


def test_a_refresh_that_ends_after_the_log_out_leaves_no_session(shop: Shop) -> None:
    shop.register()
    shop.run(HOLD_REFRESHES)
    shop.expire()
    shop.heart("7").click()
    shop.wait(lambda: bool(shop.run("return window.answer !== null")), "no token is renewed")
    shop.run("document.querySelector('#log-out').click()")
    shop.run("window.answer()")
    shop.wait(lambda: len(shop.requests("/auth/logout")) == 2, "the new token was not ended")
    assert shop.run("return localStorage['shop.session'] ?? null") is None


def test_the_focus_is_on_the_title_after_logging_in_and_out(shop: Shop) -> None:
    shop.register()
    shop.wait(lambda: shop.focus() == "title", "the focus is elsewhere after the log-in")
    shop.log_out()
    shop.wait(lambda: shop.focus() == "title", "the focus is elsewhere after the log-out")


def test_what_is_wrong_with_an_account_is_said_once_and_for_customers(shop: Shop) -> None:
    shop.find("#log-in").click()
    shop.submit(email=new_email(), password="not the password")
    shop.wait(lambda: shop.text("#account-problem") != "", "there is no message")
    assert shop.text("#account-problem") == "The e-mail or the password is wrong."
    shop.find("#mode").click()
    shop.run("document.querySelector('#account-form').reset()")
    shop.submit(email="nobody", password="short")
    shop.wait(lambda: len(shop.all(".wrong")) == 3, "the fields have no message")
    assert [each.text() for each in shop.all(".wrong")] == [
        "Enter your name.",
        "Enter an e-mail address, such as ana@example.com.",
        "Use at least 8 characters.",
    ]
    assert shop.text("#account-problem") == ""
    assert shop.focus() == "name"
