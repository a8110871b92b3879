"""CATALOG_MAPPING and CATALOG_URL: what is wrong with them is one sentence."""

from decimal import Decimal
from typing import Any

import pytest

from shared.platform import settings
from shared.platform.settings import MissingSetting
from shared.products.catalog import mapping
from shared.products.catalog.mapping import FIELDS, PRESETS, Paging
from shared.products.catalog.whole_list import next_link

PLAIN = '"product_id": "id", "title": "title", "price": "price"'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("shopify", "names the preset 'shopify'; there are fake-store, dummyjson, woocommerce, medusa"),
        ("{", "is no JSON object: Expecting property name"),
        ('{"preset": 7}', "names the preset 7"),
        ('{"prise": "x"}', "has 'prise'; known are category, count, currency"),
        ("{}", "has no expression for 'product_id'"),
        ('{"product_id": "id", "title": "t["}', "has no expression for 'price'"),
        ('{"product_id": "id", "title": "t[", "price": "p"}', "has an invalid expression for 'title': 't['"),
        (
            '{"product_id": 7, "title": "t", "price": "p"}',
            "has an expression for 'product_id' that is no text",
        ),
        (f'{{{PLAIN}, "list": "products"}}', "has a 'list' that is no path: it begins with a slash"),
        (f'{{{PLAIN}, "product": "/p"}}', "has a 'product' without {product_id} in it"),
        (f'{{{PLAIN}, "query": {{"a": 1}}}}', "has a 'query' that is no object of texts"),
        (
            f'{{{PLAIN}, "paging": {{"stile": "page"}}}}',
            "has a 'paging' that is no object of style, parameter",
        ),
        (
            f'{{{PLAIN}, "paging": {{"style": "scroll"}}}}',
            "has the paging style 'scroll'; there are none, link",
        ),
        (
            f'{{{PLAIN}, "paging": {{"style": "page"}}}}',
            "has paging by page without the name of its 'parameter'",
        ),
        (
            f'{{{PLAIN}, "paging": {{"style": "page", "parameter": "p", "size": 0}}}}',
            "has a paging 'size' that is no number from 1 to 10000",
        ),
    ],
)
def test_a_mapping_that_is_wrong_is_one_clear_sentence(text: str, sentence: str) -> None:
    with pytest.raises(MissingSetting) as refusal:
        mapping.parse(text)
    assert str(refusal.value).startswith(f"CATALOG_MAPPING {sentence}")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_mapping(name: str) -> None:
    contract = mapping.parse(name, "BRL")
    assert contract.fields is not None
    assert contract.fields.keys() <= set(FIELDS)
    assert contract.currency == "BRL"
    assert contract.may_have("anything")


def test_an_item_is_brought_into_the_form_of_the_fake_store() -> None:
    contract = mapping.parse(
        '{"product_id": "sku", "title": "names.pt || names.en", "price": "to_number(cost)",'
        ' "currency": "iso", "category": "path[-1]"}'
    )
    found = contract.mapped(
        {"sku": "A 1", "names": {"en": "Mat"}, "cost": "11.20", "iso": "brl", "path": ["a", "b"]}
    )
    assert found == {
        "id": "A 1",
        "title": "Mat",
        "price": Decimal("11.2"),
        "currency": "BRL",
        "description": None,
        "category": "b",
        "image": None,
        "rating": {"rate": None, "count": None},
    }


def test_an_expression_that_an_item_does_not_suit_finds_nothing() -> None:
    contract = mapping.parse('{"product_id": "id", "title": "title", "price": "sum(prices)"}')
    assert contract.mapped({"id": 1, "title": "Mat", "prices": "free"})["price"] is None


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('<https://a.test/p?page=2>; rel="next"', "https://a.test/p?page=2"),
        ('</p?page=2>; rel=next, </p>; rel="first"', "https://a.test/p?page=2"),
        ('</p>; rel="first", <?page=3>; title="x"; rel="prev next"', "https://a.test/p?page=3"),
        ('</p>; rel="first"', None),
        ("", None),
        ("nonsense", None),
    ],
)
def test_the_next_page_is_that_of_rfc_8288(header: str, found: str | None) -> None:
    assert next_link(header, "https://a.test/p?page=1") == found


@pytest.mark.parametrize(
    ("total", "answer", "headers", "found"),
    [
        ("", {"total": 5}, {}, None),
        ("total", {"total": 5}, {}, 5),
        ("total", {"total": "5"}, {}, 5),
        ("total", {"total": True}, {}, None),
        ("meta.count", {"meta": {"count": 7}}, {}, 7),
        ("header:X-Total", {}, {"x-total": "9"}, 9),
        ("header:X-Total", {}, {}, None),
    ],
)
def test_a_total_is_where_the_mapping_says(
    total: str, answer: Any, headers: dict[str, str], found: int | None
) -> None:
    assert mapping.total_of(Paging(total=total), answer, headers) == found


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("https://shop.test/products", "ends in /products, which is added to it: write https://shop.test"),
        (
            "https://shop.test/api/products/",
            "ends in /products, which is added to it: write https://shop.test/api",
        ),
        ("https://ana:secret@shop.test", "has a user or password: set CATALOG_AUTHORIZATION instead"),
        ("https://shop.test?key=secret", "has a query: it belongs into the 'query' of CATALOG_MAPPING"),
        ("shop.test", "must begin with http:// or https:// and name a host"),
        ("https://shop.test:port", "is no address"),
    ],
)
def test_an_address_of_another_form_is_one_clear_sentence(url: str, sentence: str) -> None:
    with pytest.raises(MissingSetting) as refusal:
        settings.checked_catalog_url(url)
    assert str(refusal.value).startswith(f"CATALOG_URL {sentence}")
    assert "secret" not in str(refusal.value)


def test_an_address_may_have_a_path_and_a_slash_at_its_end() -> None:
    assert settings.checked_catalog_url("https://shop.test:8443/api/") == "https://shop.test:8443/api"
