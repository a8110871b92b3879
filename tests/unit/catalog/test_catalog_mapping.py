"""CATALOG_MAPPING and CATALOG_URL: what is wrong with them is one sentence."""

import json
from decimal import Decimal
from typing import Any

import pytest

from shared.platform import settings
from shared.platform.settings import MissingSetting
from shared.products.catalog import mapping
from shared.products.catalog.mapping import FIELDS, PRESETS, Paging
from shared.products.catalog.whole_list import next_link

PLAIN = '"product_id": "id", "title": "title", "price": "price"'


def paging(**values: object) -> str:
    return f'{{{PLAIN}, "paging": {json.dumps(values)}}}'


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("shopify", "'shopify'; there are fake-store, dummyjson, woocommerce, medusa"),
        ("{", "is no JSON object"),
        ('{"preset": 7}', "the preset 7"),
        ('{"prise": "x"}', "'prise'; known are category, count, currency"),
        ("{}", "no expression for 'product_id'"),
        ('{"product_id": "id", "title": "t["}', "no expression for 'price'"),
        ('{"product_id": "id", "title": "t[", "price": "p"}', "invalid expression for 'title'"),
        ('{"product_id": 7, "title": "t", "price": "p"}', "expression for 'product_id' that is no text"),
        (f'{{{PLAIN}, "list": "products"}}', "'list' that is no path"),
        (f'{{{PLAIN}, "product": "/p"}}', "'product' without {product_id}"),
        (f'{{{PLAIN}, "query": {{"a": 1}}}}', "'query' that is no object of texts"),
        (paging(stile="page"), "'paging' that is no object of style, parameter"),
        (paging(style="scroll"), "paging style 'scroll'; there are none, link"),
        (paging(style="page"), "without the name of its 'parameter'"),
        (paging(style="page", parameter="p", size=0), "'size' that is no number from 1 to 10000"),
    ],
)
def test_a_bad_mapping_is_one_sentence_that_names_the_fault(text: str, named: str) -> None:
    with pytest.raises(MissingSetting, match=r"^CATALOG_MAPPING [^\n]+$") as refusal:
        mapping.parse(text)
    assert named in str(refusal.value)


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
    ("url", "named"),
    [
        ("https://shop.test/products", "write https://shop.test"),
        ("https://shop.test/api/products/", "write https://shop.test/api"),
        ("https://ana:secret@shop.test", "set CATALOG_AUTHORIZATION"),
        ("https://shop.test?key=secret", "'query' of CATALOG_MAPPING"),
        ("shop.test", "http:// or https://"),
        ("https://shop.test:port", "is no address"),
    ],
)
def test_a_bad_address_is_one_sentence_that_names_the_fault(url: str, named: str) -> None:
    with pytest.raises(MissingSetting, match=r"^CATALOG_URL [^\n]+$") as refusal:
        settings.checked_catalog_url(url)
    assert named in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_an_address_may_have_a_path_and_a_slash_at_its_end() -> None:
    assert settings.checked_catalog_url("https://shop.test:8443/api/") == "https://shop.test:8443/api"
