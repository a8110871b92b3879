import base64
import json
import string
import typing
from collections.abc import Callable

import pytest

from shared.errors import InvalidCursor
from shared.formats import cursors
from shared.web import parameters
from tests.unit.properties import given, st

# What a list is named by and sorted by comes out of PostgreSQL: any text but NUL and half characters.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50)
positions = st.tuples(texts, texts)
Position = tuple[str, str]
Kind = Callable[[str], object]


def decode(list_name: str, cursor: str) -> Position:
    return cursors.decode(list_name, cursor, cursors.text, cursors.text)


def of(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@given(list_name=texts, position=positions)
def test_any_position_comes_back_and_its_cursor_fits_into_an_address(
    list_name: str, position: Position
) -> None:
    cursor = cursors.encode(list_name, *position)
    assert decode(list_name, cursor) == position
    assert set(cursor) <= set(string.ascii_letters + string.digits + "-_")


@pytest.mark.parametrize("title", ["x" * 1_000, "茶" * 1_000, "🫖" * 1_000, '"' * 1_000])
def test_a_cursor_of_the_longest_title_is_taken_back(title: str) -> None:
    (annotation,) = typing.get_args(parameters.Cursor)[1:]
    longest = next(limit.max_length for limit in annotation.metadata if hasattr(limit, "max_length"))
    assert len(cursors.encode("products:title:=" + "c" * 200, title, "9" * 64)) <= longest


@given(own=texts, other=texts, position=positions)
def test_a_cursor_of_another_list_is_refused(own: str, other: str, position: Position) -> None:
    if own != other:
        with pytest.raises(InvalidCursor):
            decode(other, cursors.encode(own, *position))


@pytest.mark.parametrize(
    "payload",
    [
        *("[]", '["a"]', '["a","b","c"]', "7", "null", '{"a":1}', "[1,2]", '["a",null]', "{"),
        *('["a","\\u0000"]', '["a", "b"]', '["a","\\u0062"]', '["a","\\ud800"]'),
    ],
)
def test_a_payload_that_is_no_position_is_refused_even_under_a_true_checksum(payload: str) -> None:
    with pytest.raises(InvalidCursor):
        decode("list", of(cursors._checksum("list", payload.encode()) + payload.encode()))


@pytest.mark.parametrize(
    ("kind", "good"),
    [
        (cursors.integer, ["0", "7", "2147483647", "9" * 18]),
        (cursors.decimal, ["0", "22.30", "0.0000001", "999999999999", "0.00000000000000000001"]),
        (cursors.moment, ["2026-11-24T12:00:00.000001Z", "0001-01-01T00:00:00.000000Z"]),
        (cursors.uuid, ["5f0c1d8e-6d1b-4e0e-9d57-2f6a7c1b9e10"]),
    ],
)
def test_a_value_of_its_kind_is_taken(kind: Kind, good: list[str]) -> None:
    for value in good:
        cursor = cursors.encode("list", value, "7")
        assert cursors.decode("list", cursor, kind, cursors.text)[1] == "7"


NO_NUMBERS = [
    *("", " 1", "1 ", "+1", "-1", "01", "1_0", "\uff11\uff12", "\u0663", "1e3", "1E-20000", "NaN"),
    *("Infinity", "0x1"),
]
NO_MOMENTS = [
    *("yesterday", "2026-11-24", "2026-11-24T12:00:00Z", "2026-11-24T12:00:00.000001"),
    *("2026-11-24T12:00:00.000001+00:00", "2026-11-24 12:00:00.000001Z", "2026-02-30T12:00:00.000001Z"),
    *("20261124T120000.000001Z", "\uff12026-11-24T12:00:00.000001Z", "2026-11-24T12:00:00.0000001Z"),
    "0001-01-01T00:00:00.000000+23:59",
]
NO_UUIDS = [
    *("me", "5F0C1D8E-6D1B-4E0E-9D57-2F6A7C1B9E10", "5f0c1d8e6d1b4e0e9d572f6a7c1b9e10"),
    *("{5f0c1d8e-6d1b-4e0e-9d57-2f6a7c1b9e10}", "urn:uuid:5f0c1d8e-6d1b-4e0e-9d57-2f6a7c1b9e10"),
]


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        (cursors.integer, [*NO_NUMBERS, "1.0", "9" * 19]),
        (cursors.decimal, [*NO_NUMBERS, ".5", "1.", "1.2.3", "1" * 13, "0." + "1" * 21, "1,5"]),
        (cursors.moment, NO_MOMENTS),
        (cursors.uuid, NO_UUIDS),
    ],
)
def test_another_spelling_of_a_value_is_refused(kind: Kind, bad: list[str]) -> None:
    for value in bad:
        with pytest.raises(InvalidCursor):
            cursors.decode("list", cursors.encode("list", value, "7"), kind, cursors.text)


@given(cursor=st.text(max_size=200) | st.binary(max_size=150).map(of))
def test_an_invented_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        decode("list", cursor)


@given(position=positions, data=st.data())
def test_a_damaged_cursor_is_refused(position: Position, data: st.DataObject) -> None:
    cursor = cursors.encode("list", *position)
    at = data.draw(st.integers(0, len(cursor) - 1))
    character = data.draw(st.characters(exclude_characters=cursor[at]) | st.just(""))
    end = data.draw(st.sampled_from([cursor[at:], cursor[at + 1 :], ""]))  # inserted, replaced, cut
    damaged = cursor[:at] + character + end
    if damaged != cursor:
        with pytest.raises(InvalidCursor):
            decode("list", damaged)


def test_a_changed_position_or_one_without_its_checksum_is_refused() -> None:
    raw = base64.urlsafe_b64decode(cursors.encode("list", "10", "7") + "==")
    payload = json.dumps(["10", "7"]).encode()
    forged = [raw.replace(b'"10"', b'"11"'), raw.replace(b'"7"', b'"8"'), payload, b"\0" * 8 + payload]
    for each in forged:
        with pytest.raises(InvalidCursor) as refused:
            decode("list", of(each))
    assert refused.value.location == "query.cursor"
