"""The catalog's products as foreign input, and when the catalog is left alone."""

import io
import time
from contextlib import closing
from decimal import Decimal

import pytest
import urllib3

from shared.errors import CatalogUnavailable
from shared.products import catalog
from shared.products.catalog import CatalogList, CatalogProduct
from tests.unit.fakes import Backends, FakeAnswer
from tests.unit.properties import given, st

pytestmark = pytest.mark.usefixtures("backends")

LIST_BYTES = 16 * 1024 * 1024

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
    """The product, changed, after its check."""
    return CatalogProduct.model_validate(GOOD | changes)


def sent(**fields: str) -> bytes:
    """A product as the catalog sends it, with other fields; each is JSON as it stands."""
    texts = {"id": "7", "title": '"Teapot"', "price": "22.30"} | fields
    return ("{" + ",".join(f'"{name}":{text}' for name, text in texts.items()) + "}").encode()


# ── A product as foreign input ────────────────────────────────────────────────────────────────────────────


def test_a_product_of_the_contract_passes() -> None:
    assert product().model_dump() == {
        "product_id": "7",
        "title": "Teapot",
        "price": Decimal("22.30"),
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
    ],
)
def test_an_id_becomes_a_text(value: object, product_id: str) -> None:
    assert product(id=value).product_id == product_id


@pytest.mark.parametrize(
    "value", [None, True, False, "", "a b", "7\n", "a/b", "é", "x" * 65, 10**64, Decimal("7.0"), [7], {}]
)
def test_an_id_that_no_path_could_hold_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="id"):
        product(id=value)


@pytest.mark.parametrize(
    ("value", "price"),
    [
        *(
            (22, "22"),
            (0, "0"),
            (Decimal("22.30"), "22.30"),
            (Decimal("1E+2"), "100"),
            (Decimal("0.1"), "0.1"),
        ),
        *((Decimal("0.000001"), "0.000001"), (Decimal("999999999999.999999"), "999999999999.999999")),
    ],
)
def test_a_price_keeps_its_digits(value: object, price: str) -> None:
    assert f"{product(price=value).price:f}" == price


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, "22.30", "", [], {}, 22.3, -1, Decimal("-0.01"), 10**12, Decimal("1E-21")),
        *(Decimal("NaN"), Decimal("Infinity"), Decimal("-Infinity"), Decimal("1E+13"), Decimal("1E-400")),
        *(Decimal("1E+99999999999"), Decimal("0E+99999999999")),  # which written out would fill the memory
    ],
)
def test_a_price_that_is_no_price_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="price"):
        product(price=value)


@given(st.decimals(min_value=0, max_value=10**12 - 1, places=20))
def test_any_price_passes_unchanged(price: Decimal) -> None:
    assert product(price=price).price == price


@pytest.mark.parametrize("field", ["description", "category", "image"])
def test_a_text_that_is_missing_or_null_is_empty(field: str) -> None:
    assert getattr(product(**{field: None}), field) == ""
    without = {name: value for name, value in GOOD.items() if name != field}
    assert getattr(CatalogProduct.model_validate(without), field) == ""


@pytest.mark.parametrize("field", ["title", "description", "category", "image"])
def test_texts_are_trimmed(field: str) -> None:
    assert getattr(product(**{field: " Opna Women's \n"}), field) == "Opna Women's"


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


@pytest.mark.parametrize("character", ["é", "€", "\x01"])
def test_texts_that_are_too_many_bytes_together_are_refused(character: str) -> None:
    with pytest.raises(ValueError, match="has texts of more than 51200 bytes"):
        product(description=character * 30_000)


@pytest.mark.parametrize("image", ["", "//images.test/7", "data:image/png;base64,AAAA", "no address"])
def test_an_image_may_be_any_text(image: str) -> None:
    assert product(image=image).image == image


@pytest.mark.parametrize(
    "rating",
    [
        None,
        {},
        {"rate": None, "count": None},
        {"stars": 5},
        {"rate": 4},
        {"count": 7},
        "4.6",
        4,
        True,
        [4, 120],
    ],
)
def test_half_a_review_or_none_is_none(rating: object) -> None:
    assert product(rating=rating).rating is None


@pytest.mark.parametrize(
    "rating",
    [
        *({"rate": "4.6", "count": 120}, {"rate": True, "count": 120}, {"rate": 1_000, "count": 120}),
        *({"rate": -1, "count": 120}, {"rate": 4, "count": "120"}, {"rate": 4, "count": Decimal("1.5")}),
        *({"rate": 4, "count": -1}, {"rate": 4, "count": 2**31}, {"rate": 4, "count": True}),
        *({"rate": Decimal("NaN"), "count": 1}, {"rate": Decimal("1E-21"), "count": 1}),
    ],
)
def test_a_review_of_another_shape_is_none_and_no_reason_to_refuse_the_product(rating: object) -> None:
    assert product(rating=rating) == product(rating=None)


def test_fields_that_nobody_asked_for_are_let_pass() -> None:
    assert product(stock=5, variants=[{}]) == product()


@pytest.mark.parametrize("value", ["text", 7, [], [GOOD], True])
def test_what_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="CatalogProduct"):
        CatalogProduct.model_validate(value)


# ── One product ───────────────────────────────────────────────────────────────────────────────────────────


NO_PRODUCT: dict[str, FakeAnswer | Exception] = {
    **{f"status {status}": FakeAnswer(sent(), status) for status in (201, 301, 302, 400, 403, 429, 500, 503)},
    "HTML": FakeAnswer(b"<html>"),
    "truncated": FakeAnswer(sent()[:-1]),
    "deep": FakeAnswer(b"[" * 100_000),
    "no UTF-8": FakeAnswer(sent(title='"Tea"').replace(b"Tea", b"\xff")),
    "a number": FakeAnswer(b"7"),
    "a list": FakeAnswer(b"[" + sent() + b"]"),
    "an empty object": FakeAnswer(b"{}"),
    "NaN": FakeAnswer(sent(price="NaN")),
    "Infinity": FakeAnswer(sent(price="Infinity")),
    "a huge exponent": FakeAnswer(sent(price="1e999999")),
    "a huge integer": FakeAnswer(sent(price="1" * 5_000)),
    "a price in quotes": FakeAnswer(sent(price='"22.30"')),
    "another product": FakeAnswer(sent(id="8")),
    "another spelling of the id": FakeAnswer(sent(id='"07"')),
    "too long": FakeAnswer(sent() + b" " * catalog.PRODUCT_BYTES),
    "compressed": FakeAnswer(sent(), headers={"Content-Encoding": "gzip"}),
    "a broken connection": urllib3.exceptions.ProtocolError(),
    "a name that nobody knows": urllib3.exceptions.HTTPError(),
    "a refused connection": ConnectionRefusedError(),
    "silence": TimeoutError(),
}


@pytest.mark.parametrize("answer", NO_PRODUCT.values(), ids=NO_PRODUCT)
def test_an_answer_that_is_no_product_is_as_good_as_none(
    backends: Backends, answer: FakeAnswer | Exception
) -> None:
    backends.catalog.on("/products/7", answer)
    with pytest.raises(CatalogUnavailable) as refusal:
        catalog.fetch_product("7")
    assert refusal.value.retry_after == 5


NOTHING = {
    "null": FakeAnswer(b"null"),
    "null with space": FakeAnswer(b" null\n"),
    "no body": FakeAnswer(b""),
    "white space": FakeAnswer(b"\r\n"),
    "404": FakeAnswer(b"<html>", 404),
    "410": FakeAnswer(b"", 410),
}


@pytest.mark.parametrize("answer", NOTHING.values(), ids=NOTHING)
def test_the_catalog_says_in_many_ways_that_there_is_none(backends: Backends, answer: FakeAnswer) -> None:
    backends.catalog.on("/products/7", answer)
    assert catalog.fetch_product("7") is None


def test_a_price_never_passes_through_a_binary_float(backends: Backends) -> None:
    backends.catalog.on("/products/7", FakeAnswer(sent(price="0.1000")))
    found = catalog.fetch_product("7")
    assert found is not None
    assert str(found.price) == "0.1000"


def test_an_answer_may_come_in_pieces(backends: Backends) -> None:
    long = "x" * 49_000
    backends.catalog.on("/products/7", FakeAnswer(sent(description=f'"{long}"', tags="[]" + " " * 99_000)))
    found = catalog.fetch_product("7")
    assert found is not None
    assert found.description == long


def test_an_answer_that_trickles_is_not_waited_for(
    backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Trickle(FakeAnswer):
        def read1(self, _amount: int) -> bytes:
            time.sleep(0.03)
            return b" "

    monkeypatch.setattr(backends.catalog, "request", lambda *_, **__: Trickle())
    started = time.monotonic()
    with pytest.raises(CatalogUnavailable):
        catalog.fetch_all(timeout=0.1, at_most=LIST_BYTES)
    assert time.monotonic() - started < 1


# ── The list ──────────────────────────────────────────────────────────────────────────────────────────────


def answer_with(backends: Backends, *products: bytes) -> None:
    """Let the catalog list these."""
    backends.catalog.on("/products", FakeAnswer(b"[" + b",".join(products) + b"]"))


@pytest.mark.parametrize("size", [1, 2, 3, 1_000])
def test_the_list_keeps_the_catalogs_order(backends: Backends, size: int) -> None:
    answer_with(backends, sent(id="9"), sent(id='"b"'), sent(id="1"))
    before = catalog.now_version()
    with closing(catalog.fetch_all(at_most=LIST_BYTES)) as listed:
        chunks = list(listed.chunks(size))
    assert listed.ids == ["9", "b", "1"] == [found.product_id for chunk in chunks for found in chunk]
    assert [len(chunk) for chunk in chunks[:-1]] == [size] * (len(chunks) - 1)
    assert before <= listed.version <= catalog.now_version()
    assert listed.refused == frozenset()


def test_a_few_bad_products_are_left_out_and_told(backends: Backends) -> None:
    answer_with(backends, sent(id="1"), sent(id="2", price='"free"'), sent(id="3"), b"null")
    with closing(catalog.fetch_all(at_most=LIST_BYTES)) as listed:
        assert listed.ids == ["1", "3"]
        assert listed.refused == {"2", "?"}


def test_of_two_with_one_id_the_first_counts(backends: Backends) -> None:
    answer_with(backends, sent(title='"first"'), sent(title='"second"'), sent(price="true"))
    with closing(catalog.fetch_all(at_most=LIST_BYTES)) as listed:
        assert [found.title for chunk in listed.chunks(10) for found in chunk] == ["first"]
        assert listed.ids == ["7"]
        assert listed.refused == frozenset()


def test_an_empty_list_is_a_list(backends: Backends) -> None:
    answer_with(backends)
    with closing(catalog.fetch_all(at_most=LIST_BYTES)) as listed:
        assert (listed.ids, list(listed.chunks(10))) == ([], [])


@pytest.mark.parametrize("body", [b"null", b"{}", b'{"products":[]}', b"", b"7", b"[null]", b"[{}]", b"[1,2"])
def test_what_is_no_list_is_no_answer(backends: Backends, body: bytes) -> None:
    backends.catalog.on("/products", FakeAnswer(body))
    with pytest.raises(CatalogUnavailable):
        catalog.fetch_all(at_most=LIST_BYTES)


@pytest.mark.parametrize("status", [404, 410, 500])
def test_a_list_that_is_not_there_is_no_answer(backends: Backends, status: int) -> None:
    backends.catalog.on("/products", FakeAnswer(status=status))
    with pytest.raises(CatalogUnavailable):
        catalog.fetch_all(at_most=LIST_BYTES)


def test_a_list_may_be_longer_than_a_product(backends: Backends) -> None:
    answer_with(backends, *(sent(id=str(number), tags="[]" + " " * 100_000) for number in range(20)))
    with closing(catalog.fetch_all(at_most=LIST_BYTES)) as listed:
        assert len(listed.ids) == 20


def test_a_list_without_end_is_no_answer(backends: Backends) -> None:
    backends.catalog.on("/products", FakeAnswer(b"[" + b" " * 1_000))
    with pytest.raises(CatalogUnavailable):
        catalog.fetch_all(at_most=1_000)


# ── The breaker ───────────────────────────────────────────────────────────────────────────────────────────


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time that the breaker sees."""
    clock = Clock()
    monkeypatch.setattr(
        "shared.products.catalog.time", type("time", (), {"monotonic": clock, "time_ns": time.time_ns})
    )
    return clock


def fail(times: int) -> None:
    """Ask for a product that is not answered."""
    for _ in range(times):
        with pytest.raises(CatalogUnavailable):
            catalog.fetch_product("7")


def test_after_five_failures_in_a_row_the_catalog_is_left_alone(backends: Backends, clock: Clock) -> None:
    backends.catalog.on("/products/7", OSError())
    fail(5)
    assert len(backends.catalog.asked) == 5
    fail(3)
    assert len(backends.catalog.asked) == 5
    clock.now += catalog.OPEN_SECONDS - 0.1
    fail(1)
    assert len(backends.catalog.asked) == 5


def test_while_it_is_left_alone_the_seconds_that_are_left_are_told(backends: Backends, clock: Clock) -> None:
    backends.catalog.on("/products/7", OSError())
    fail(5)
    clock.now += 0.2
    with pytest.raises(CatalogUnavailable) as refusal:
        catalog.fetch_product("7")
    assert refusal.value.retry_after == 3


def test_after_its_time_one_request_tries_again(backends: Backends, clock: Clock) -> None:
    backends.catalog.on("/products/7", OSError())
    fail(5)
    clock.now += catalog.OPEN_SECONDS
    fail(2)
    assert len(backends.catalog.asked) == 6


def test_a_success_closes_it_again(backends: Backends, clock: Clock) -> None:
    backends.catalog.on("/products/7", OSError())
    fail(5)
    clock.now += 10
    backends.catalog.on("/products/7", FakeAnswer(sent()))
    assert catalog.fetch_product("7") is not None
    backends.catalog.on("/products/7", OSError())
    fail(4)
    assert len(backends.catalog.asked) == 10


@pytest.mark.parametrize(
    "success", [FakeAnswer(sent()), FakeAnswer(b"null"), FakeAnswer(status=404)], ids=str
)
@pytest.mark.usefixtures("clock")
def test_failures_with_a_success_between_them_do_not_open_it(backends: Backends, success: FakeAnswer) -> None:
    for _ in range(3):
        backends.catalog.on("/products/7", FakeAnswer(status=500))
        fail(4)
        backends.catalog.on("/products/7", success)
        catalog.fetch_product("7")
    assert len(backends.catalog.asked) == 15


@pytest.mark.parametrize("nonsense", [b'{"id":7}', b"[]", sent(id="8")])
@pytest.mark.usefixtures("clock")
def test_a_catalog_that_talks_nonsense_is_not_down(backends: Backends, nonsense: bytes) -> None:
    backends.catalog.on("/products/7", FakeAnswer(nonsense))
    fail(8)
    assert len(backends.catalog.asked) == 8


@pytest.mark.usefixtures("clock")
def test_the_list_and_the_products_have_one_breaker(backends: Backends) -> None:
    backends.catalog.on("/products", FakeAnswer(status=503))
    for _ in range(5):
        with pytest.raises(CatalogUnavailable):
            catalog.fetch_all(at_most=LIST_BYTES)
    fail(1)
    assert backends.catalog.asked == ["/products"] * 5


def test_a_list_of_nothing_but_nonsense_is_given_up_early(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at, check = 0, CatalogProduct.model_validate

    def look(item: object) -> CatalogProduct:
        nonlocal looked_at
        looked_at += 1
        return check(item)

    monkeypatch.setattr(CatalogProduct, "model_validate", look)
    with pytest.raises(CatalogUnavailable):
        CatalogList(1, io.BytesIO(b"[" + b"1," * 50_000 + b"1]"))
    assert looked_at == 1_001
