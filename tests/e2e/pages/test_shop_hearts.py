"""Hearts, the favorites of a client and the list of a guest, and the prices beside them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from local.stack import Stack
from tests.e2e.pages.shop import Shop, authorization, exact_prices, favorites, guest_list


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


def test_a_heart_is_a_button_with_a_name_and_a_state_and_works_by_keyboard(shop: Shop) -> None:
    heart = shop.heart("7")
    assert heart.role() == "button"
    assert heart.label() == "Favorite: Silicone Baking Mat, Pack of 2"
    shop.run("document.querySelector('.heart[data-product-id=\"7\"]').focus()")
    shop.type(" ")
    shop.wait(lambda: shop.is_marked("7"), "a space does not mark it")
    assert shop.text("#news") == "Silicone Baking Mat, Pack of 2 is a favorite now."


def test_good_news_let_clicks_through(shop: Shop) -> None:
    shop.toggle("7")
    assert shop.run(
        "const {x, y, width, height} = document.querySelector('#news').getBoundingClientRect();"
        "return width > 0 && document.elementFromPoint(x + width / 2, y + height / 2).id !== 'news'"
    )


def test_a_heart_that_the_service_does_not_take_is_taken_back_and_says_so(shop: Shop) -> None:
    shop.register()
    shop.run("window.fetch = () => Promise.reject(new TypeError('no way there'))")
    shop.heart("7").click()
    shop.wait(lambda: "cannot be reached" in shop.text("#problem"), "there is no message")
    assert not shop.is_marked("7")


def test_the_list_of_a_guest_is_merged_at_log_in_by_one_request(shop: Shop, stack: Stack) -> None:
    shop.toggle("2")
    shop.toggle("7")
    shop.visit("favorites")
    assert shop.is_marked("2")
    assert "24.50" in shop.card("2")
    marked = {each["product_id"]: each["favorited_at"] for each in guest_list(shop)}
    shop.register()
    assert "2 added to your favorites" in shop.text("#news")
    assert len(shop.requests("/favorite-changes")) == 1
    assert guest_list(shop) == []
    kept = favorites(shop, stack)
    assert list(kept) == ["7", "2"]
    for product_id, favorited_at in marked.items():
        # The header Date is a whole second, and the way takes its time.
        assert abs(kept[product_id] - datetime.fromisoformat(favorited_at)).total_seconds() < 5
    shop.log_out()
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
    assert shop.text("#news").endswith("2 added to your favorites, 1 not sold any more.")
    kept = favorites(shop, stack)
    assert abs(kept["4"] - marked) < timedelta(seconds=5)
    assert marked - kept["3"] > timedelta(days=89)


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
        return "7.45 less" in shop.card("9")

    shop.wait(shows, "the price has not fallen")
    assert "20.30" in shop.card("9")
    shop.find("[name=price_dropped]").click()
    shop.wait(lambda: len(shop.all(".card")) == 1, "the filter shows others")
    assert shop.faults() == []


def test_no_digit_of_a_price_is_lost(shop: Shop) -> None:
    product = '{"product_id": "1", "title": "A", "price": 123456789012.123456, "currency": "BRL"}'
    shop.run(
        'const page = `{"items": [${arguments[0]}], "next_cursor": null}`;'
        "window.fetch = async () => new Response(page)",
        product,
    )
    shop.run("location.hash = '#products?sort=price'")
    shop.wait(lambda: shop.text(".card .price") == "R$123,456,789,012.123456", "it is another price")


def test_a_session_that_was_ended_elsewhere_makes_a_guest_of_the_client(shop: Shop, stack: Stack) -> None:
    shop.register()
    ended = httpx.delete(f"{stack.url}/clients/me/sessions", headers=authorization(shop), timeout=30)
    assert ended.status_code == 204
    shop.heart("7").click()
    shop.wait(lambda: "Please log in again" in shop.text("#problem"), "there is no message")
    shop.settled()
    assert shop.text("#log-in") == "Log in"
    assert not shop.is_marked("7")
