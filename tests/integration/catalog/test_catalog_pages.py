"""Catalogs that page: by preset, by a mapping of one's own, and what a list that shifts may not do."""

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest

from shared.errors import CatalogUnavailable
from shared.products import product_copy
from shared.products.catalog import client, mapping, whole_list
from shared.products.catalog.availability import breaker
from shared.products.catalog.models import ProductFields
from shared.products.catalog.whole_list import CatalogList
from tests.integration.catalog import pages
from tests.integration.catalog.pages import PagedCatalog, Query, Reply

pytestmark = pytest.mark.usefixtures("environment")

BYTES = 16 * 1024 * 1024

DUMMYJSON = [
    {
        "id": number,
        "title": f"Mascara {number}",
        "description": "For lashes.",
        "category": "beauty",
        "price": 9.99,
        "rating": 4.94,
        "reviews": [{"rating": 2}, {"rating": 5}],
        "thumbnail": "https://cdn.example.com/thumbnail.png",
    }
    for number in range(1, 251)
]
WOOCOMMERCE = [
    {
        "id": 700 + number,
        "name": f"Premium Quality {number}",
        "price": "21.99",
        "short_description": "<p>A shirt.</p>",
        "categories": [{"id": 9, "name": "Clothing", "slug": "clothing"}],
        "images": [{"id": 792, "src": "https://example.com/front.jpg"}],
        "average_rating": "4.50",
        "rating_count": 12,
    }
    for number in range(101)
]
MEDUSA = [
    {
        "id": f"prod_01J{number}",
        "title": "Linen Shirt",
        "description": "A breathable shirt.",
        "thumbnail": "https://cdn.example.com/shirt.png",
        "categories": [{"id": "pcat_01", "name": "Shirts"}],
        "variants": [
            {"calculated_price": {"calculated_amount": 45, "currency_code": "eur"}},
            {"calculated_price": {"calculated_amount": 42.5, "currency_code": "eur"}},
        ],
    }
    for number in range(120)
]
KEY = "Basic " + b64encode(b"ck_key:cs_secret").decode()


@pytest.fixture
def served(environment: pytest.MonkeyPatch) -> Iterator[Any]:
    """Make a catalog the configured one, with a mapping and other settings."""
    running: list[PagedCatalog] = []

    def serve(catalog: PagedCatalog, given: object, **settings: str) -> PagedCatalog:
        running.append(catalog)
        environment.setenv("CATALOG_URL", catalog.url)
        environment.setenv("CATALOG_MAPPING", given if isinstance(given, str) else json.dumps(given))
        for name, value in settings.items():
            environment.setenv(name, value)
        return catalog

    yield serve
    for catalog in running:
        catalog.stop()


def fetch() -> tuple[CatalogList, list[ProductFields]]:
    with closing(whole_list.fetch_all(at_most=BYTES, timeout=10)) as listed:
        return listed, [product for chunk in listed.chunks() for product in chunk]


def test_a_catalog_like_dummyjson(served: Any) -> None:
    catalog = served(pages.dummyjson(DUMMYJSON), "dummyjson", CATALOG_CURRENCY="USD")
    listed, products = fetch()
    assert (len(products), listed.pages, listed.incomplete) == (250, 3, "")
    assert products[0] == (
        *("1", "Mascara 1", Decimal("9.99"), "USD", "For lashes.", "beauty"),
        *("https://cdn.example.com/thumbnail.png", Decimal("4.94"), 2),
    )
    assert catalog.requests[-1] == "/products?limit=100&skip=200"
    one = client.fetch_product("250")
    assert one is not None
    assert one.fields() == products[-1]
    assert client.fetch_product("251") is None


def test_a_catalog_like_woocommerce(served: Any) -> None:
    catalog = pages.woocommerce(WOOCOMMERCE, {"Authorization": KEY})
    served(catalog, "woocommerce", CATALOG_AUTHORIZATION=KEY, CATALOG_CURRENCY="BRL")
    listed, products = fetch()
    assert (len(products), listed.pages, listed.incomplete) == (101, 2, "")
    assert products[0] == (
        *("700", "Premium Quality 0", Decimal("21.99"), "BRL", "<p>A shirt.</p>", "Clothing"),
        *("https://example.com/front.jpg", Decimal("4.50"), 12),
    )
    assert client.fetch_product("700") is not None


def test_a_catalog_like_medusa(served: Any) -> None:
    catalog = pages.medusa(MEDUSA, {"x-publishable-api-key": "pk_1"})
    given = {
        "preset": "medusa",
        "query": {"region_id": "reg_1", "fields": "*variants.calculated_price,*categories"},
    }
    served(catalog, given, CATALOG_HEADERS='{"x-publishable-api-key": "pk_1"}')
    listed, products = fetch()
    assert (len(products), listed.pages, listed.incomplete) == (120, 2, "")
    assert (products[0].product_id, products[0].price, products[0].currency) == (
        *("prod_01J0", Decimal("42.5"), "EUR"),
    )
    assert client.fetch_product("prod_01J0") is not None


def test_a_key_that_is_wrong_is_named_as_such(served: Any, caplog: pytest.LogCaptureFixture) -> None:
    served(
        pages.woocommerce(WOOCOMMERCE, {"Authorization": KEY}), "woocommerce", CATALOG_AUTHORIZATION="Basic x"
    )
    with pytest.raises(CatalogUnavailable):
        fetch()
    reason = caplog.records[-1].__dict__["reason"]
    assert reason.endswith("/wp-json/wc/v3/products: it answered with status 401: see CATALOG_AUTHORIZATION")


PLAIN = {"product_id": "id", "title": "title", "price": "price"}


def item(number: int, **changes: object) -> dict[str, Any]:
    return {"id": number, "title": f"Product {number}", "price": 5, **changes}


def test_pages_that_are_linked(served: Any) -> None:
    items = [item(number) for number in range(25)]
    served(pages.linked(items, size=10), {**PLAIN, "paging": {"style": "link"}})
    listed, products = fetch()
    assert [product.product_id for product in products] == [str(number) for number in range(25)]
    assert listed.is_whole


def test_a_link_to_another_origin_is_not_followed(served: Any) -> None:
    def listed(_: Query) -> Reply:
        return 200, {"Link": '<http://127.0.0.1:9/products?page=2>; rel="next"'}, [item(1)]

    served(PagedCatalog({"/products": listed}), {**PLAIN, "paging": {"style": "link"}})
    with pytest.raises(CatalogUnavailable, match="another origin"):
        fetch()


def test_pages_until_one_is_empty_whatever_size_the_catalog_makes_them(served: Any) -> None:
    items = [item(number) for number in range(25)]

    def listed(query: Query) -> Reply:
        page = int(query["p"])
        return 200, {}, {"data": {"rows": items[page * 10 : page * 10 + 10]}}

    given = {**PLAIN, "items": "data.rows", "paging": {"style": "page", "parameter": "p", "first": 0}}
    catalog = served(PagedCatalog({"/products": listed}), given)
    listed_, products = fetch()
    assert len(products) == 25
    assert listed_.is_whole
    assert catalog.requests == [f"/products?p={page}" for page in range(4)]


def _all(items: list[Any], skip: int) -> Reply:
    return 200, {}, {"rows": items[skip : skip + 10], "total": len(items)}


def _an_item_twice(items: list[Any], skip: int) -> Reply:
    return _all([*items[:10], *items[9:19], *items[20:]], skip)


def _a_total_that_changes(items: list[Any], skip: int) -> Reply:
    return 200, {}, {"rows": items[skip : skip + 10], "total": 20 + (skip == 10)}


def _a_total_that_is_not_reached(items: list[Any], skip: int) -> Reply:
    return 200, {}, {"rows": items[skip:20][:10], "total": 30}


def _less_than_its_headers_say(items: list[Any], skip: int) -> Reply:
    return 200, {"X-Total-Count": "21"}, {"rows": items[skip:20][:10], "total": 20}


@pytest.mark.parametrize(
    "shifts",
    [_an_item_twice, _a_total_that_changes, _a_total_that_is_not_reached, _less_than_its_headers_say],
)
def test_a_list_that_shifts_or_lacks_some_removes_nothing(served: Any, shifts: Any) -> None:
    items = [item(number) for number in range(1, 31)]
    answers = [_all]
    paging = {"style": "offset", "parameter": "skip", "size": 10, "total": "total"}
    routes = {"/products": lambda query: answers[-1](items, int(query["skip"]))}
    served(PagedCatalog(routes), {**PLAIN, "items": "rows", "paging": paging})
    for answer, is_whole in ((_all, True), (shifts, False), (shifts, False), (shifts, False)):
        answers.append(answer)
        with closing(whole_list.fetch_all(at_most=BYTES, timeout=10)) as listed:
            assert listed.is_whole is is_whole, listed.incomplete
            for _ in product_copy.sync(listed):
                pass
    rows = product_copy.find_all([str(number) for number in range(1, 31)])
    assert [row.removed_at for row in rows] == [None] * 30


def test_a_pause_that_the_catalog_asks_for_is_kept_between_pages(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    answers = iter(
        [(200, {}, [item(1)]), (429, {"Retry-After": "3"}, {}), (200, {}, [item(2)]), (200, {}, [])]
    )

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        breaker.throttled_until = 0

    monkeypatch.setattr("time.sleep", pause)
    served(
        PagedCatalog({"/products": lambda _: next(answers)}),
        {**PLAIN, "paging": {"style": "page", "parameter": "page"}},
    )
    _, products = fetch()
    assert [product.product_id for product in products] == ["1", "2"]
    assert 2 < pauses[0] <= 3


@pytest.mark.parametrize(
    "catalog_id",
    ["AB/12", "gid://shopify/Product/1", "SKU 12", "S\N{LATIN SMALL LETTER A WITH TILDE}o-1", "50%"],
)
def test_an_odd_id_is_decoded_again_when_the_catalog_is_asked(served: Any, catalog_id: str) -> None:
    path = f"/products/{quote(catalog_id, safe='')}"
    one = item(1, id=catalog_id)
    catalog = served(
        PagedCatalog({"/products": lambda _: (200, {}, [one]), path: lambda _: (200, {}, one)}), PLAIN
    )
    _, (listed,) = fetch()
    found = client.fetch_product(listed.product_id)
    assert found is not None
    assert found.product_id == listed.product_id
    assert catalog.requests[-1] == path


def test_the_contract_of_the_fake_store_is_the_default() -> None:
    assert mapping.parse("") == mapping.parse("fake-store")
    assert mapping.parse("").is_plain
