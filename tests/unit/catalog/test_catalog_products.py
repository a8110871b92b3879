"""The catalog's products as foreign input."""

from decimal import Decimal

import pytest

from shared.products.catalog.models import CatalogProduct
from tests.unit.properties import given, st

GOOD = {
    "id": 7,
    "title": "Teapot",
    "price": Decimal("22.30"),
    "description": "Holds a liter.",
    "category": "kitchen",
    "image": "https://images.test/7.png",
    "rating": {"rate": Decimal("4.6"), "count": 120},
}


def product(**changes: object) -> CatalogProduct:
    return CatalogProduct.model_validate(GOOD | changes)


def test_a_product_of_the_contract_passes() -> None:
    assert product().model_dump() == {
        "product_id": "7",
        "title": "Teapot",
        "price": Decimal("22.30"),
        "currency": None,
        "description": "Holds a liter.",
        "category": "kitchen",
        "image": "https://images.test/7.png",
        "rating": {"rate": Decimal("4.6"), "count": 120},
    }


@pytest.mark.parametrize(
    ("value", "product_id"),
    [
        (7, "7"),
        (0, "0"),
        (10**63, "1" + "0" * 63),
        ("7", "7"),
        ("sku-7.b_1~x", "sku-7.b_1~x"),
        ("007", "007"),
        # Percent-encoded where a path cannot take them as they are.
        ("AB/12", "AB%2F12"),
        ("gid://shopify/Product/1", "gid%3A%2F%2Fshopify%2FProduct%2F1"),
        ("SKU 12", "SKU%2012"),
        ("S\N{LATIN SMALL LETTER A WITH TILDE}o-1", "S%C3%A3o-1"),
        ("50%", "50%25"),
    ],
)
def test_an_id_becomes_a_text(value: object, product_id: str) -> None:
    assert product(id=value).product_id == product_id


@pytest.mark.parametrize(
    "value", [None, True, False, "", "x" * 65, "é" * 65, 10**64, Decimal("7.0"), [7], {}]
)
def test_an_id_that_is_none_or_too_long_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="id"):
        product(id=value)


@pytest.mark.parametrize(
    ("value", "price"),
    [
        *((22, "22"), (0, "0"), (Decimal("22.30"), "22.30"), (Decimal("1E+2"), "100")),
        *((Decimal("0.1"), "0.1"), (Decimal("999999999999.9999"), "999999999999.9999")),
        *(("22.30", "22.30"), (" 19 ", "19")),  # as text, where it is a plain decimal
        # What binary arithmetic adds is rounded away.
        *((Decimal("0.30000000000000004"), "0.3"), (Decimal("11.199999999999999"), "11.2")),
        *((Decimal("0.000001"), "0"), (Decimal("5.00004"), "5"), (Decimal("1E-20"), "0")),
    ],
)
def test_a_price_has_four_decimals_at_most(value: object, price: str) -> None:
    assert f"{product(price=value).price:f}" == price


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, "", "free", "1e3", "-1", "1,50", "\N{ARABIC-INDIC DIGIT TWO}", [], {}, 22.3, -1),
        *(Decimal("-0.01"), 10**12, Decimal("1E-21")),
        *(Decimal("NaN"), Decimal("Infinity"), Decimal("-Infinity"), Decimal("1E+13"), Decimal("1E-400")),
        *(Decimal("1E+99999999999"), Decimal("0E+99999999999")),  # which written out would fill the memory
    ],
)
def test_a_price_that_is_no_price_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="price"):
        product(price=value)


@given(st.decimals(min_value=0, max_value=10**12 - 1, places=4))
def test_any_price_of_four_decimals_passes_unchanged(price: Decimal) -> None:
    assert product(price=price).price == price


@pytest.mark.parametrize("field", ["title", "description", "category", "image"])
def test_texts_are_trimmed_and_only_the_title_is_needed(field: str) -> None:
    assert getattr(product(**{field: " Opna Women's \n"}), field) == "Opna Women's"
    if field != "title":
        assert getattr(product(**{field: None}), field) == ""
        without = {name: value for name, value in GOOD.items() if name != field}
        assert getattr(CatalogProduct.model_validate(without), field) == ""


UNKEEPABLE: dict[str, list[object]] = {
    "title": [None, "", "   ", "x" * 1_001, ["Teapot"]],
    "description": ["x" * 50_001, {}],
    "category": ["x" * 201, []],
    "image": ["x" * 4_001, True],
}


@pytest.mark.parametrize(
    ("field", "value"),
    # No text of a product is a number, or has a character that PostgreSQL could not keep.
    [(field, value) for field, own in UNKEEPABLE.items() for value in (*own, 7, "a\0b", "\ud800")],
    ids=lambda part: repr(part)[:12],
)
def test_a_text_that_cannot_be_kept_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        product(**{field: value})


def test_a_title_that_no_index_could_hold_is_refused() -> None:
    assert product(title="\N{CJK UNIFIED IDEOGRAPH-4E00}" * 833).title
    with pytest.raises(ValueError, match="has a title of more than 2500 bytes"):
        product(title="\N{CJK UNIFIED IDEOGRAPH-4E00}" * 834)


def test_titles_and_categories_have_one_normal_form() -> None:
    decomposed = "A\N{COMBINING ACUTE ACCENT}gua"
    found = product(title=decomposed, category=decomposed)
    assert found.title == found.category == "\N{LATIN CAPITAL LETTER A WITH ACUTE}gua"


@pytest.mark.parametrize("character", ["é", "€", "\x01", '"', "\\"])  # as Lambda will send them
def test_texts_that_are_too_many_bytes_together_are_refused(character: str) -> None:
    with pytest.raises(ValueError, match="has texts of more than 51200 bytes"):
        product(description=character * 26_000)


@pytest.mark.parametrize("image", ["", "//images.test/7", "data:image/png;base64,AAAA", "no address"])
def test_an_image_may_be_any_text(image: str) -> None:
    assert product(image=image).image == image


@pytest.mark.parametrize(
    "rating",
    [
        *(None, {}, {"rate": None, "count": None}, {"stars": 5}, {"rate": 4}, {"count": 7}, "4.6", 4, True),
        *([4, 120], {"rate": "good", "count": 120}, {"rate": True, "count": 120}),
        *({"rate": 1_000, "count": 120}, {"rate": -1, "count": 120}, {"rate": 4, "count": "120"}),
        *({"rate": 4, "count": Decimal("1.5")}, {"rate": 4, "count": -1}, {"rate": 4, "count": 2**31}),
        *({"rate": 4, "count": True}, {"rate": Decimal("NaN"), "count": 1}),
        {"rate": Decimal("1E-21"), "count": 1},
    ],
)
def test_half_a_review_or_a_bad_one_is_none_and_no_reason_to_refuse_the_product(rating: object) -> None:
    assert product(rating=rating).model_dump() == product().model_dump() | {"rating": None}


def test_other_fields_are_let_pass() -> None:
    assert product(stock=5, variants=[{}]) == product()


@pytest.mark.parametrize("value", ["text", 7, [], [GOOD], True])
def test_a_product_is_an_object(value: object) -> None:
    with pytest.raises(ValueError, match="CatalogProduct"):
        CatalogProduct.model_validate(value)
