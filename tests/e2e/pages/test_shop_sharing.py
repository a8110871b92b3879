"""Lists that are shared by a link: made, passed on, seen by others, ended."""

from tests.e2e.pages.shop import Shop, create_link

NO_DEVICE = (
    "navigator.share = undefined; navigator.clipboard.writeText = async (text) => { window.copied = text; };"
)


def test_a_link_shows_the_favorites_to_anybody_until_it_ends(shop: Shop) -> None:
    shop.register()
    for product_id in ("2", "7"):
        shop.toggle(product_id)
    token = create_link(shop, "Birthday")
    shop.run(NO_DEVICE)
    shop.find("#links [data-action=copy]").click()
    shop.wait(lambda: bool(shop.run("return window.copied")), "nothing is copied")
    assert shop.run("return window.copied") == f"{shop.url}/shop#shared/{token}"
    shop.run("localStorage.clear()")  # somebody else, a guest
    shop.visit(f"shared/{token}")
    assert shop.text("h1") == "Birthday"
    shown = shop.run("return [...document.querySelectorAll('.heart')].map(each => each.dataset.productId)")
    assert shown == ["7", "2"]
    shop.toggle("2")
    assert shop.text("#count") == "1"
    assert shop.faults() == []


def test_an_ended_link_says_so(shop: Shop) -> None:
    shop.register()
    shop.toggle("7")
    token = create_link(shop, "")
    shop.find("#links [data-action=end]").click()
    shop.wait(lambda: not shop.all("#links li"), "the link is still there")
    assert shop.text("#news") == "The link has ended."
    shop.open(f"{shop.url}/shop#shared/{token}")
    shop.reload()
    shop.wait(lambda: "no longer shared" in shop.text("#problem"), "there is no message")
