"""The shop page of `make run` in Chromium, as a person uses it, and what the service has for that person."""

from datetime import datetime
from typing import Any

import httpx
import simplejson

from local.stack import Stack
from tests.e2e.api.service import new_email
from tests.e2e.pages.browser import Browser

PASSWORD = "correct horse battery"


class Shop(Browser):
    url = ""

    def visit(self, address: str = "products") -> None:
        self.open(f"{self.url}/shop#{address}")
        self.reload()  # of two addresses that differ in the fragment only, the second one loads nothing
        self.settled()

    def settled(self) -> None:
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
        return self.find(f'.card:has(.heart[data-product-id="{product_id}"])').text()

    def register(self, name: str = "Ana") -> str:
        email = new_email()
        self.find("#log-in").click()
        self.find("#mode").click()
        self.submit(name=name, email=email, password=PASSWORD)
        self.find("#log-out:not([hidden])")
        self.settled()
        return email

    def log_out(self) -> None:
        self.find("#log-out").click()
        self.find("#log-in:not([hidden])")
        self.settled()

    def submit(self, **fields: str) -> None:
        """Fill in the dialog of the account and send it."""
        for field, value in fields.items():
            self.find(f"input[name={field}]").type(value)
        self.find("#submit").click()

    def expire(self) -> None:
        """Let the access token be over by the browser's clock."""
        self.run(
            "const session = JSON.parse(localStorage['shop.session']); session.refreshAt = 0;"
            "localStorage['shop.session'] = JSON.stringify(session)"
        )

    def focus(self) -> str:
        """The id, or the name, of the element that has the focus."""
        found: str = self.run("return document.activeElement.id || document.activeElement.name")
        return found

    def requests(self, path: str) -> list[str]:
        """The addresses below `path` that this page has asked since it was loaded."""
        names = self.run("return performance.getEntriesByType('resource').map(each => each.name)")
        return [name for name in names if name.startswith(f"{self.url}{path}")]


def exact_prices(stack: Stack) -> dict[str, str]:
    answer = httpx.get(f"{stack.url}/products", params={"limit": 100}, timeout=30).text
    items = simplejson.loads(answer, use_decimal=True)["items"]
    return {item["product_id"]: str(item["price"]) for item in items}


def guest_list(shop: Shop) -> list[dict[str, str]]:
    found: list[dict[str, str]] = shop.run("return JSON.parse(localStorage['shop.guest'])")
    return found


def favorites(shop: Shop, stack: Stack) -> dict[str, datetime]:
    answer = httpx.get(f"{stack.url}/favorites", headers=authorization(shop), timeout=30).json()
    return {each["product_id"]: datetime.fromisoformat(each["favorited_at"]) for each in answer["items"]}


def authorization(shop: Shop) -> dict[str, str]:
    token = shop.run("return JSON.parse(localStorage['shop.session']).access_token")
    return {"Authorization": f"Bearer {token}"}


def create_link(shop: Shop, title: str) -> str:
    """Share the favorites by the dialog; return the token."""
    shop.visit("favorites")
    shop.find("#share").click()
    shop.find("#sharing-form input[name=title]").type(f"{title}\n")
    shop.wait(lambda: bool(shop.all("#links li")), "there is no link")
    href: str = shop.run("return document.querySelector('#links a').hash")
    return href.removeprefix("#shared/")
