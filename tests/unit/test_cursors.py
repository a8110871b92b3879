import base64
import json
import typing
from contextlib import suppress
from datetime import datetime

import pytest

from shared import web
from shared.errors import InvalidCursor, InvalidInput
from shared.formats import cursors
from tests.unit.properties import given, st

# What a list is named by and sorted by comes out of PostgreSQL: any text but NUL and half characters.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50)
positions = st.tuples(texts, texts)
Position = tuple[str, str]


@given(list_name=texts, position=positions)
def test_any_position_comes_back_as_it_was(list_name: str, position: Position) -> None:
    cursor = cursors.encode(list_name, *position)
    assert cursors.decode(list_name, cursor, cursors.text, cursors.text) == position


@given(list_name=texts, position=positions)
def test_a_cursor_goes_into_an_address_as_it_is(list_name: str, position: Position) -> None:
    assert set(cursors.encode(list_name, *position)) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    )


@pytest.mark.parametrize("title", ["x" * 1_000, "茶" * 1_000, "🫖" * 1_000, '"' * 1_000])
def test_a_cursor_of_the_longest_title_is_taken_back(title: str) -> None:
    (annotation,) = typing.get_args(web.Cursor)[1:]
    longest = next(limit.max_length for limit in annotation.metadata if hasattr(limit, "max_length"))
    assert len(cursors.encode("products:title:=" + "c" * 200, title, "9" * 64)) <= longest


@given(own=texts, other=texts, position=positions)
def test_a_cursor_of_another_list_is_refused(own: str, other: str, position: Position) -> None:
    cursor = cursors.encode(own, *position)
    if own != other:
        with pytest.raises(InvalidCursor):
            cursors.decode(other, cursor, cursors.text, cursors.text)


@pytest.mark.parametrize(
    "payload",
    ["[]", '["a"]', '["a","b","c"]', "7", "null", '{"a":1}', "[1,2]", '["a",null]', '["a","\\u0000"]', "{"],
)
def test_a_payload_that_is_no_position_is_refused_even_under_a_true_checksum(payload: str) -> None:
    raw = cursors._checksum("list", payload.encode()) + payload.encode()
    with pytest.raises(InvalidCursor):
        cursors.decode("list", base64.urlsafe_b64encode(raw).decode(), cursors.text, cursors.text)


def test_a_position_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidCursor):
        cursors.decode("list", cursors.encode("list", "yesterday", "7"), datetime.fromisoformat, cursors.text)


@given(
    cursor=st.one_of(
        st.text(max_size=200), st.binary(max_size=150).map(base64.urlsafe_b64encode).map(bytes.decode)
    )
)
def test_what_nobody_gave_out_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        cursors.decode("list", cursor, cursors.text, cursors.text)


@given(position=positions, data=st.data())
def test_a_damaged_cursor_is_refused_or_still_says_the_same(position: Position, data: st.DataObject) -> None:
    cursor = cursors.encode("list", *position)
    at = data.draw(st.integers(0, len(cursor) - 1))
    character = data.draw(st.characters(exclude_characters=cursor[at]))
    change = data.draw(st.sampled_from(["replace", "insert", "remove", "cut"]))
    damaged = {
        "replace": cursor[:at] + character + cursor[at + 1 :],
        "insert": cursor[:at] + character + cursor[at:],
        "remove": cursor[:at] + cursor[at + 1 :],
        "cut": cursor[:at],
    }[change]
    with suppress(InvalidCursor):  # base64 writes some bytes in more than one way: those are no damage
        assert cursors.decode("list", damaged, cursors.text, cursors.text) == position


def test_a_changed_position_is_refused() -> None:
    raw = base64.urlsafe_b64decode(cursors.encode("list", "10", "7") + "==")
    for old, new in ((b'"10"', b'"11"'), (b'"7"', b'"8"')):
        forged = base64.urlsafe_b64encode(raw.replace(old, new)).decode().rstrip("=")
        with pytest.raises(InvalidCursor):
            cursors.decode("list", forged, cursors.text, cursors.text)


def test_a_position_without_a_checksum_is_refused() -> None:
    payload = json.dumps(["10", "7"]).encode()
    for raw in (payload, b"\0" * 8 + payload):
        with pytest.raises(InvalidCursor):
            cursors.decode("list", base64.urlsafe_b64encode(raw).decode(), cursors.text, cursors.text)


def test_the_refusal_names_the_parameter() -> None:
    error = InvalidCursor()
    assert isinstance(error, InvalidInput)
    assert error.location == "query.cursor"
