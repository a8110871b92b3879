import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from pydantic import BaseModel

from shared.formats import json_text
from shared.formats.json_text import Rendered
from tests.unit.properties import given, st

# What PostgreSQL's numeric keeps and the catalog's check lets through.
decimals = st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=0, max_value=10**12)


@given(decimals | st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_keeps_all_of_its_digits(number: Decimal) -> None:
    text = json_text.dumps({"price": number})
    back = json.loads(text, parse_float=Decimal, parse_int=Decimal)["price"]
    assert back.as_tuple() == number.as_tuple() or (number == 0 == back)


@given(st.integers(0, 10**12 - 1), st.integers(-6, 3))
def test_a_plain_decimal_is_the_same_number_without_an_exponent(digits: int, exponent: int) -> None:
    number = Decimal(digits).scaleb(exponent)
    plain = json_text.plain_decimal(number)
    assert plain == number
    assert str(plain) == f"{number:f}" or abs(plain) < Decimal("0.000001")


@pytest.mark.parametrize(
    ("number", "plain"), [("1E+2", "100"), ("2.50", "2.50"), ("1.5E1", "15"), ("0E+3", "0")]
)
def test_an_exponent_becomes_digits(number: str, plain: str) -> None:
    assert str(json_text.plain_decimal(Decimal(number))) == plain


def test_a_time_is_rfc_3339_in_utc_to_the_microsecond() -> None:
    sao_paulo = timezone(timedelta(hours=-3))
    moment = datetime(2026, 11, 23, 9, 0, 0, 1, tzinfo=sao_paulo)
    assert json_text.dumps([moment]) == '["2026-11-23T12:00:00.000001Z"]'
    assert json_text.timestamp(moment.replace(microsecond=0)) == "2026-11-23T12:00:00.000000Z"


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_times_sort_as_their_texts_do(one: datetime, other: datetime) -> None:
    assert (one < other) == (json_text.timestamp(one) < json_text.timestamp(other))
    assert datetime.fromisoformat(json_text.timestamp(one)) == one


def test_a_model_is_written_by_its_fields_however_deep() -> None:
    class Inner(BaseModel):
        price: Decimal

    class Outer(BaseModel):
        id: UUID
        inner: list[Inner]

    value = Outer(id=UUID(int=7), inner=[Inner(price=Decimal("1.10"))])
    inner = '[{"price":1.10}]'
    assert json_text.dumps(value) == f'{{"id":"00000000-0000-0000-0000-000000000007","inner":{inner}}}'


def test_text_and_what_was_rendered_before_are_left_alone() -> None:
    assert json_text.dumps({"name": "Zoë 李 🎈"}) == '{"name":"Zoë 李 🎈"}'
    assert json_text.dumps(Rendered('{"price" : 1.10}')) == '{"price" : 1.10}'


@pytest.mark.parametrize("value", [object(), {1, 2}, [print]])
def test_what_has_no_json_form_is_an_error(value: object) -> None:
    with pytest.raises(TypeError):
        json_text.dumps(value)
