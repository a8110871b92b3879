"""The page of `make run` in a browser: hearts, the guest's list, changed prices, text that stays text."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import simplejson

from local.stack import ROOT, Stack
from tests.e2e.api.service import new_email
from tests.e2e.browser import Browser, NoBrowser

PASSWORD = "correct horse battery"


class Shop(Browser):
    """The page as a person uses it."""

    url = ""

    def visit(self, page: str = "products") -> None:
        self.open(f"{self.url}/shop#{page}")
        self.reload()  # of two addresses that differ in the fragment only, the second one loads nothing
        self.settled()

    def settled(self) -> None:
        """Wait until the list and its hearts are there."""
        shown = "#list:not([aria-busy]):has(.card), #empty:not([hidden])"
        self.wait(lambda: bool(self.all(shown)), "the list is not there")
        self.wait(lambda: not self.all(".heart:disabled"), "the hearts are not known")

    def heart(self, product_id: str) -> Any:
        return self.find(f'.heart[data-product-id="{product_id}"]')

    def is_marked(self, product_id: str) -> bool:
        return bool(self.all(f'.heart[data-product-id="{product_id}"][aria-pressed=true]:not([aria-busy])'))

    def toggle(self, product_id: str) -> None:
        """Click on a heart; return when the service has answered."""
        before = self.is_marked(product_id)
        self.heart(product_id).click()
        quiet = f'.heart[data-product-id="{product_id}"]:not([aria-busy])'
        self.wait(lambda: bool(self.all(quiet)), "the heart has no answer")
        assert self.is_marked(product_id) is not before

    def card(self, product_id: str) -> str:
        card = '.card:has(.heart[data-product-id="{}"])'
        return self.find(card.format(product_id)).text()

    def register(self, name: str = "Ana") -> str:
        """Become a new client; return the e-mail."""
        email = new_email()
        self.find("#log-in").click()
        self.find("#mode").click()
        for field, value in (("name", name), ("email", email), ("password", PASSWORD)):
            self.find(f"input[name={field}]").type(value)
        self.find("#submit").click()
        self.find("#log-out:not([hidden])")
        self.settled()
        return email

    def requests(self, path: str) -> list[str]:
        """The addresses below `path` that this page has asked since it was loaded."""
        names = self.run("return performance.getEntriesByType('resource').map(each => each.name)")
        return [name for name in names if name.startswith(f"{self.url}{path}")]


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


def exact_prices(stack: Stack) -> dict[str, str]:
    """Each product's price as it is sent."""
    answer = httpx.get(f"{stack.url}/products", params={"limit": 100}, timeout=30).text
    items = simplejson.loads(answer, use_decimal=True)["items"]
    return {item["product_id"]: str(item["price"]) for item in items}


def guests_list(shop: Shop) -> list[dict[str, str]]:
    """What the browser keeps for a guest."""
    found: list[dict[str, str]] = shop.run("return JSON.parse(localStorage['shop.guest'])")
    return found


def favorites(shop: Shop, stack: Stack) -> dict[str, datetime]:
    """What the service has for the client of the page, newest first, and since when."""
    answer = httpx.get(f"{stack.url}/favorites", headers=authorization(shop), timeout=30).json()
    return {each["product_id"]: datetime.fromisoformat(each["favorited_at"]) for each in answer["items"]}


def authorization(shop: Shop) -> dict[str, str]:
    """The header of the client who is logged in."""
    token = shop.run("return JSON.parse(localStorage['shop.session']).access_token")
    return {"Authorization": f"Bearer {token}"}


def test_a_heart_is_kept_for_a_client_and_taken_back(shop: Shop) -> None:
    shop.register()
    shop.toggle("7")
    shop.visit()
    assert shop.is_marked("7")
    assert shop.text("#count") == "1"
    shop.visit("favorites")
    assert "Silicone Baking Mat" in shop.card("7")
    shop.toggle("7")
    shop.visit()
    assert not shop.is_marked("7")
    assert shop.faults() == []


def test_all_hearts_of_a_page_are_one_request(shop: Shop) -> None:
    shop.register()
    shop.visit()
    assert len(shop.all(".heart")) == 24
    assert len(shop.requests("/favorite-ids")) == 1
    shop.find("#more").click()
    shop.wait(lambda: len(shop.all(".heart")) == 48, "there is no second page")
    shop.settled()
    assert len(shop.requests("/favorite-ids")) == 2


def test_the_list_of_a_guest_is_merged_at_log_in_by_one_request(shop: Shop, stack: Stack) -> None:
    shop.toggle("2")
    shop.toggle("7")
    shop.visit("favorites")
    assert shop.is_marked("2")
    assert "24.50" in shop.card("2")
    marked = {each["product_id"]: each["favorited_at"] for each in guests_list(shop)}
    shop.register()
    assert "2 added to your favorites" in shop.text("#said")
    assert len(shop.requests("/favorite-changes")) == 1
    assert guests_list(shop) == []
    kept = favorites(shop, stack)
    assert list(kept) == ["7", "2"]
    for product_id, favorited_at in marked.items():
        # The header Date is a whole second, and the way takes its time.
        assert abs(kept[product_id] - datetime.fromisoformat(favorited_at)).total_seconds() < 5
    shop.find("#log-out").click()
    shop.find("#log-in:not([hidden])")
    shop.settled()
    assert shop.text("#empty").startswith("Your list is empty")
    assert shop.faults() == []


@pytest.mark.parametrize("minutes", [-7, 7])
def test_a_guest_whose_clock_is_wrong_keeps_the_list(shop: Shop, stack: Stack, minutes: int) -> None:
    marked = datetime.now(UTC)
    shop.run(
        "const here = Date.now, ahead = arguments[0] * 60000;"
        "Date.now = () => here() + ahead;"
        "const time = new Date(Date.now()).toISOString();"
        "localStorage['shop.guest'] = JSON.stringify(["
        "  {product_id: '4', favorited_at: time},"
        "  {product_id: '1000', favorited_at: time},"
        "  {product_id: '3', favorited_at: '2020-01-01T00:00:00Z'}])",
        minutes,
    )
    shop.register()
    assert shop.text("#said").endswith("2 added to your favorites, 1 not accepted.")
    kept = favorites(shop, stack)
    assert abs(kept["4"] - marked).total_seconds() < 5
    assert (marked - kept["3"]).days in (89, 90)  # as far back as is allowed


@pytest.mark.faults
def test_a_price_that_falls_shows_in_the_favorites(shop: Shop, prices: Any, stack: Stack) -> None:
    assert exact_prices(stack)["9"] == "27.75"
    shop.register()
    shop.toggle("9")
    shop.toggle("4")
    shop.visit("favorites")
    assert "less" not in shop.card("9")
    prices("9", "20.30")

    def shows() -> bool:
        shop.run("dispatchEvent(new Event('focus'))")  # as when a person comes back from the second console
        shop.settled()
        return "▼ 7.45 less" in shop.card("9")

    shop.wait(shows, "the price has not fallen")
    assert "20.30" in shop.card("9").splitlines()
    shop.find("[name=price_dropped]").click()
    shop.wait(lambda: len(shop.all(".card")) == 1, "the filter shows others")
    assert shop.faults() == []


def test_prices_are_shown_digit_by_digit_as_they_are_sent(shop: Shop, stack: Stack) -> None:
    sent = exact_prices(stack)
    shown = {
        heart.attribute("data-product-id"): shop.card(str(heart.attribute("data-product-id")))
        for heart in shop.all(".heart")[:10]
    }
    assert (sent["4"], sent["8"]) == ("65", "89.00")
    for product_id, card in shown.items():
        assert sent[str(product_id)] in card.splitlines()


def test_a_heart_is_a_button_with_a_name_and_a_state_and_works_by_keyboard(shop: Shop) -> None:
    heart = shop.heart("7")
    assert heart.role() == "button"
    assert heart.label() == "Favorite: Silicone Baking Mat, Pack of 2"
    shop.run("arguments[0]; document.querySelector('.heart[data-product-id=\"7\"]').focus()")
    shop.type(" ")
    shop.wait(lambda: shop.is_marked("7"), "a space does not mark it")
    assert shop.text("#said") == "Silicone Baking Mat, Pack of 2 is a favorite."
    unnamed = [each for each in shop.all("button, select, input, a") if not each.label() and each.text()]
    assert unnamed == []


def test_problems_are_shown_where_they_belong(shop: Shop) -> None:
    shop.find("#log-in").click()
    shop.find("input[name=email]").type(new_email())
    shop.find("input[name=password]").type("not the password")
    shop.find("#submit").click()
    shop.wait(lambda: shop.text("#account-problem") != "", "nothing is said")
    assert "request " in shop.text("#account-problem")
    shop.find("#mode").click()
    shop.find("#submit").click()
    shop.wait(lambda: len(shop.all(".wrong")) > 0, "the fields say nothing")
    assert shop.run("return document.activeElement.name") == "name"


def test_a_heart_that_the_service_does_not_take_is_taken_back_and_says_so(shop: Shop) -> None:
    shop.register()
    shop.run("window.fetch = () => Promise.reject(new TypeError('no way there'))")
    shop.heart("7").click()
    shop.wait(lambda: "cannot be reached" in shop.text("#problem"), "nothing is said")
    assert not shop.is_marked("7")


def test_a_session_that_was_ended_elsewhere_makes_a_guest_of_the_client(shop: Shop, stack: Stack) -> None:
    shop.register()
    ended = httpx.delete(f"{stack.url}/clients/me/sessions", headers=authorization(shop), timeout=30)
    assert ended.status_code == 204
    shop.heart("7").click()
    shop.wait(lambda: "Please log in again" in shop.text("#problem"), "nothing is said")
    shop.settled()
    assert shop.text("#log-in") == "Log in"
    assert not shop.is_marked("7")


def test_an_access_token_that_is_over_is_refreshed_without_a_word(shop: Shop) -> None:
    shop.register()
    shop.run(
        "const session = JSON.parse(localStorage['shop.session']); session.refreshAt = 0;"
        "localStorage['shop.session'] = JSON.stringify(session)"
    )
    shop.visit()
    shop.toggle("7")
    assert len(shop.requests("/auth/refresh")) == 1
    assert shop.text("#problem") == ""


HOSTILE = '<img src=x onerror="document.title=1"><b>bold</b>'


def test_text_of_the_catalog_and_of_people_is_never_html(shop: Shop) -> None:
    shop.register(name=HOSTILE)
    assert shop.text("#who") == HOSTILE
    product = {"product_id": HOSTILE, "title": HOSTILE, "category": HOSTILE, "price": 1, "review": None}
    shop.run(
        "const page = JSON.stringify({items: [arguments[0]], next_cursor: null});"
        "window.fetch = async (url) => url.startsWith('/products') ? new Response(page)"
        "  : new Response(JSON.stringify({title: arguments[1], detail: arguments[1]}),"
        "      {status: 503, headers: {'Content-Type': 'application/problem+json'}});"
        "document.querySelector('#products-form select').dispatchEvent(new Event('change', {bubbles: true}))",
        product,
        HOSTILE,
    )
    shop.wait(lambda: shop.text(".card h2") == HOSTILE, "the product is not there")
    shop.wait(lambda: HOSTILE in shop.text("#problem"), "the problem is not there")
    assert shop.text(".card .category") == HOSTILE
    assert shop.all("main img, main b, header b") == []


def test_the_page_asks_nobody_but_the_service(shop: Shop) -> None:
    asked = shop.run("return performance.getEntriesByType('resource').map(each => new URL(each.name).origin)")
    assert set(asked) == {shop.url}
    for file in (ROOT / "local" / "shop").iterdir():
        text = Path(file).read_text(encoding="utf-8")
        for makes_html in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert makes_html not in text, file
