import io
import json
from decimal import Decimal
from typing import Any

import pytest

from shared.formats import json_items
from shared.formats.json_items import UNUSABLE, NotJson
from tests.unit.properties import given, st

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=15,
)
reads = st.integers(1, 40)  # bytes at a time: what is looked at ends anywhere, within characters too


def items(text: bytes, read: int = 65_536) -> list[Any]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(json_items, "_READ", read)
        return list(json_items.iterate(io.BytesIO(text)))


@given(array=st.lists(values), read=reads, indent=st.sampled_from([None, 0, 3]), ascii_only=st.booleans())
def test_the_items_are_those_of_the_whole_array(
    array: list[Any], read: int, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(array, indent=indent, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    assert items(text, read) == array
    assert json_items.loads(text) == array


@given(array=st.lists(values, min_size=1), read=reads, data=st.data())
def test_an_array_that_ends_too_early_is_refused(array: list[Any], read: int, data: st.DataObject) -> None:
    text = json.dumps(array, ensure_ascii=False).encode()
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    with pytest.raises(NotJson):
        items(cut, read)
    with pytest.raises(NotJson):
        json_items.loads(cut)


@given(st.binary(max_size=60), reads)
def test_any_bytes_are_an_array_or_refused_and_nothing_worse(text: bytes, read: int) -> None:
    try:
        whole = json_items.loads(text)
    except NotJson:
        whole = None
    if isinstance(whole, list):
        assert items(text, read) == whole
    else:
        with pytest.raises(NotJson):
            items(text, read)


@pytest.mark.parametrize("read", [1, 2, 3, 5, 65_536])
@pytest.mark.parametrize("number", ["12345", "-1", "0.10", "22.30", "1E+2", "109.95", "1" * 100])
def test_a_number_keeps_all_of_its_digits_wherever_it_is_cut(number: str, read: int) -> None:
    (item,) = items(f'[{{"price":{number}}}]'.encode(), read)
    price = item["price"]
    assert (str(price), type(price)) == (number, int if number.lstrip("-").isdigit() else Decimal)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "null", "7", "{}", '"[]"', "[", "]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1}", "[[1]"),
        *("[]]", "[] x", "[1],", "[NaN]", "[Infinity]", "[-Infinity]", "[tru]"),
        *("['a']", '["a]', '["\n"]', "[01]", "[+1]", "[.5]", "[1]\0", "[" * 100_000, '[{"a":' * 50_000),
    ],
    ids=lambda text: text[:12],
)
def test_what_is_no_array_is_refused(text: str) -> None:
    with pytest.raises(NotJson):
        items(text.encode())


@pytest.mark.parametrize("text", [b'["\xff"]', b'["\xc3"]', b"\xff\xfe[]", '["é"]'.encode("latin-1")])
def test_what_is_no_utf_8_is_refused(text: bytes) -> None:
    for read in (1, 65_536):
        with pytest.raises(NotJson):
            items(text, read)
    with pytest.raises(NotJson):
        json_items.loads(text)


def test_the_items_before_a_fault_are_given_out() -> None:
    iterator = json_items.iterate(io.BytesIO(b"[1, 2, oops]"))
    assert [next(iterator), next(iterator)] == [1, 2]
    with pytest.raises(NotJson):
        next(iterator)


def test_no_array_and_no_item_stands_in_memory_as_a_whole() -> None:
    file = io.BytesIO(b"[" + b",".join([b'{"id":1}'] * 100_000) + b"]")
    iterator = json_items.iterate(file)
    next(iterator)
    assert file.tell() < 200_000
    assert sum(1 for _ in iterator) == 99_999
    endless = io.BytesIO(b'["' + b"x" * 5_000_000)
    with pytest.raises(NotJson):
        list(json_items.iterate(endless))
    assert endless.tell() < 2_000_000


def test_megabytes_of_white_space_are_read_once() -> None:
    # Read again with every 64 KiB, as they once were, these took minutes.
    space = b" \n\t\r" * 2_500_000
    assert list(json_items.iterate(io.BytesIO(space + b"[" + space + b"1" + space + b"]" + space))) == [1]


@pytest.mark.parametrize("read", [7, 65_536])
@pytest.mark.parametrize(
    "odd",
    [
        *("1e9999999999999999999", "1" * 5_000),
        *("[" * 50_000 + "]" * 50_000, '{"a":' * 50_000 + "7" + "}" * 50_000),
    ],
    ids=lambda text: text[:12],
)
def test_a_value_that_no_program_can_use_is_passed_over(odd: str, read: int) -> None:
    text = f'\ufeff[{{"a": "]"}},{odd},"\\""]'.encode()  # with a byte order mark
    first, unusable, last = items(text, read if len(odd) < 10_000 else 65_536)
    assert (first, last) == ({"a": "]"}, '"')
    assert unusable is UNUSABLE
