"""The page around the hearts: addresses, languages, sizes, errors, and what assistive technology gets."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.stack import ROOT, Stack
from tests.e2e.pages.browser import NoBrowser
from tests.e2e.pages.shop import Shop, create_link

HOSTILE = '<img src=x onerror="document.title=1"><b>bold</b>'


def test_order_filter_search_and_pages_survive_a_reload(shop: Shop) -> None:
    shop.run(
        "const order = document.querySelector('#products-form select'); order.value = '-price';"
        "order.dispatchEvent(new Event('change', {bubbles: true}))"
    )
    shop.wait(lambda: "sort=-price" in str(shop.run("return location.hash")), "the address has no order")
    shop.settled()
    shop.find("#more").click()
    shop.wait(lambda: len(shop.all(".card")) == 48, "there is no second page")
    titles = [each.text() for each in shop.all(".card h2")]
    shop.visit("products?sort=-price&pages=2")
    shop.wait(lambda: len(shop.all(".card")) == 48, "the second page is lost")
    assert [each.text() for each in shop.all(".card h2")] == titles
    shop.find(".category a").click()
    shop.find("#category:not([hidden])")
    shop.settled()
    shop.wait(lambda: shop.focus() == "title", "the focus is lost")
    category = shop.text("#category").removesuffix(" ✕")
    shop.reload()
    shop.settled()
    assert {each.text() for each in shop.all(".category")} == {category}


def test_a_search_finds_words_without_case_and_accents(shop: Shop) -> None:
    shop.find("input[name=q]").type("máT baking\n")
    shop.wait(lambda: len(shop.all(".card")) == 1, "it finds others")
    assert "Silicone Baking Mat" in shop.text(".card h2")
    shop.visit("products?q=zzzz")
    assert shop.text("#empty") == "Nothing was found for “zzzz”."


def test_a_product_has_an_address_and_a_title(shop: Shop) -> None:
    shop.find('.card:has([data-product-id="7"]) h2 a').click()
    shop.wait(lambda: shop.text("h1") == "Silicone Baking Mat, Pack of 2", "it is not shown")
    assert shop.run("return document.title") == "Silicone Baking Mat, Pack of 2 \N{EN DASH} A small shop"
    shop.toggle("7")
    shop.reload()
    shop.settled()
    assert shop.is_marked("7")
    shop.run("history.back()")
    shop.wait(lambda: shop.text("h1") == "Products", "back leads elsewhere")
    shop.open(f"{shop.url}/shop#product/no-such-product")
    shop.wait(lambda: "not sold here" in shop.text("#problem"), "there is no message")


def test_without_the_service_no_view_shows_what_is_of_another(shop: Shop) -> None:
    shop.register()
    shop.run("window.real = window.fetch; window.fetch = () => Promise.reject(new TypeError('no way there'))")
    shop.run("location.hash = '#favorites'")
    shop.wait(lambda: "cannot be reached" in shop.text("#problem"), "there is no message")
    assert shop.text("h1") == "Favorites"
    assert shop.all(".card") == []
    shop.run("window.fetch = window.real")
    shop.find("#problem button").click()
    shop.wait(lambda: "no favorites yet" in shop.text("#empty"), "it is not tried again")
    assert shop.text("#problem") == ""


def test_text_of_the_catalog_and_of_people_is_never_html(shop: Shop) -> None:
    shop.register(name=HOSTILE)
    assert shop.text("#who") == HOSTILE
    product = {"product_id": HOSTILE, "title": HOSTILE, "category": HOSTILE, "price": 1, "review": None}
    shop.run(
        "const page = JSON.stringify({items: [arguments[0]], next_cursor: null});"
        "window.fetch = async (url) => new Response(page);"
        "location.hash = '#products?sort=price'",
        product,
    )
    shop.wait(lambda: shop.text(".card h2") == HOSTILE, "the product is not there")
    assert shop.text(".card .category") == HOSTILE
    assert shop.all("main img, main b, header b") == []


def test_the_page_asks_nobody_but_the_service(shop: Shop) -> None:
    asked = shop.run("return performance.getEntriesByType('resource').map(each => new URL(each.name).origin)")
    assert set(asked) == {shop.url}
    for file in (ROOT / "local" / "shop").iterdir():
        text = file.read_text(encoding="utf-8")
        for makes_html in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert makes_html not in text, file


# ── Languages ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def portuguese(tmp_path: Path, stack: Stack) -> Iterator[Shop]:
    """The page in a browser whose language is Brazilian Portuguese."""
    try:
        opened = Shop(tmp_path, "--lang=pt-BR", "--accept-lang=pt-BR")
    except NoBrowser as error:
        pytest.skip(str(error))
    opened.url = stack.url
    yield opened
    opened.close()


def test_the_page_speaks_the_language_of_the_browser(portuguese: Shop) -> None:
    portuguese.visit()
    assert portuguese.text("h1") == "Produtos"
    assert portuguese.run("return document.documentElement.lang") == "pt-BR"
    assert "11,20" in portuguese.card("7")
    assert portuguese.heart("7").label() == "Favorito: Silicone Baking Mat, Pack of 2"


def test_both_languages_have_the_same_texts(shop: Shop) -> None:
    keys = shop.run_async(
        "const done = arguments[arguments.length - 1];"
        "import('/shop/texts.js').then(({LANGUAGES}) => done(Object.values(LANGUAGES).map(Object.keys)))"
    )
    assert len(keys) == 2
    assert keys[0] == keys[1]


# ── Sizes and assistive technology ────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, a checker of accessibility."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("axe")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(Path(__file__).parent / "axe" / name, folder)
    command = [npm, "ci", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)  # noqa: S603 — our own
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_view_fits_and_is_accessible(shop: Shop, axe: str, width: int, scheme: str) -> None:
    shop.emulate(width=width, scheme=scheme)
    shop.register("Maximiliana Auxiliadora de Albuquerque e Souza")
    shop.toggle("7")
    token = create_link(shop, "Presentes para o aniversário da Maria Auxiliadora")
    for address in ("products", "products?category=kitchen", "product/7", "favorites", f"shared/{token}"):
        shop.visit(address)
        assert shop.run("return document.documentElement.scrollWidth") <= width, address
        if address == "favorites":
            shop.find("#share").click()
            shop.wait(lambda: bool(shop.all("#links li")), "the links are not there")
        shop.run(axe)
        found = shop.run_async(
            "const done = arguments[arguments.length - 1];"
            "const found = ({id, nodes}) => [id, nodes.map(({html}) => html)];"
            "axe.run().then(({violations}) => done(violations.map(found)))"
        )
        assert found == [], address
