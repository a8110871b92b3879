import string
import unicodedata
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from shared.accounts.models import ClientChanges, Name, NewClient
from shared.favorites.models import NewFavorite
from shared.products.models import ProductId
from tests.unit.properties import given, st

names: TypeAdapter[str] = TypeAdapter(Name)
product_ids: TypeAdapter[str] = TypeAdapter(ProductId)

UNRESERVED = string.ascii_letters + string.digits + "-._~"  # RFC 3986 §2.3: nothing to escape in a path
GOOD = {
    "name": "Ana Souza",
    "email": "ana@example.com",
    "password": "correct horse battery",
    "current_password": "incorrect zebra staple",
}


# ── Product ids ───────────────────────────────────────────────────────────────────────────────────────────


@given(st.text(UNRESERVED, min_size=1, max_size=64))
def test_a_product_id_is_any_word_that_needs_no_escaping(text: str) -> None:
    assert product_ids.validate_python(text) == text


@given(st.text().filter(lambda text: not (set(text) <= set(UNRESERVED) and 1 <= len(text) <= 64)))
def test_no_other_text_is_a_product_id(text: str) -> None:
    with pytest.raises(ValidationError):
        product_ids.validate_python(text)


@given(
    st.text(UNRESERVED, min_size=65, max_size=80)
    | st.text(UNRESERVED, max_size=63).map(lambda text: text + "\n")
)
def test_a_product_id_is_neither_too_long_nor_ends_with_a_line(text: str) -> None:
    with pytest.raises(ValidationError):
        NewFavorite(product_id=text)


# ── Names ─────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=220))
def test_a_name_is_1_to_200_characters_after_trimming_and_shows_something(text: str) -> None:
    trimmed = rust_trimmed(text)
    has_controls = any(unicodedata.category(char) in ("Cc", "Zl", "Zp") for char in trimmed)
    try:
        name = names.validate_python(text)
    except ValidationError:
        is_plain = any(char.isalnum() for char in trimmed) and all(map(str.isprintable, trimmed))
        assert not 1 <= len(trimmed) <= 200 or not is_plain
    else:
        assert name == trimmed
        assert 1 <= len(name) <= 200
        assert not has_controls


@pytest.mark.parametrize(
    "name",
    ["Ana", "\U0001f469\u200d\U0001f4bb", "\u0645\u0631\u064a\u0645", "\u674e", "O\u2019Neill 3rd", "!"],
)
def test_names_of_every_script_and_emoji_stay(name: str) -> None:
    assert names.validate_python(name) == name


def rust_trimmed(text: str) -> str:
    """Trimmed by pydantic's notion of white space, which leaves the separators U+001C to U+001F alone."""
    return text.strip(
        "".join(c for c in map(chr, range(0x3001)) if c.isspace() and not "\x1c" <= c <= "\x1f")
    )


@given(st.text(min_size=1, max_size=20), st.characters(categories=["Cs"]))
def test_a_name_with_half_a_character_is_refused(text: str, half: str) -> None:
    with pytest.raises(ValidationError):
        names.validate_python(text + half)


# ── Merge patches ─────────────────────────────────────────────────────────────────────────────────────────

patches = st.sets(st.sampled_from(sorted(GOOD))).map(lambda fields: {name: GOOD[name] for name in fields})
json_values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.lists(st.text())


@given(patches)
def test_a_patch_changes_just_the_fields_that_it_has(patch: dict[str, str]) -> None:
    changes = ClientChanges.model_validate(patch)
    assert changes.model_fields_set == patch.keys()
    assert {name: getattr(changes, name) for name in patch} == patch


@given(patches, st.sampled_from(sorted(GOOD)), json_values)
def test_a_field_that_is_no_text_spoils_the_patch(
    patch: dict[str, str], field: str, value: object
) -> None:  # null too: no field of a client can be removed
    with pytest.raises(ValidationError) as refusal:
        ClientChanges.model_validate(patch | {field: value})
    assert [error["loc"] for error in refusal.value.errors()] == [(field,)]


@given(patches, st.text(st.characters(exclude_categories=["Cs"])).filter(lambda name: name not in GOOD))
def test_a_field_that_no_client_has_spoils_the_patch(patch: dict[str, str], field: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        ClientChanges.model_validate(patch | {field: "value"})
    assert [error["loc"] for error in refusal.value.errors()] == [(field,)]


@given(
    st.dictionaries(
        st.sampled_from([*sorted(GOOD), "role", "client_id"]), json_values | st.text(max_size=10), max_size=4
    )
)
def test_any_patch_is_taken_or_refused_and_never_half(patch: dict[str, Any]) -> None:
    try:
        changes = ClientChanges.model_validate(patch)
    except ValidationError:
        return
    assert changes.model_fields_set == patch.keys()
    assert all(isinstance(value, str) for value in patch.values())


@pytest.mark.parametrize("field", ["name", "email", "password"])
def test_a_new_client_has_all_fields(field: str) -> None:
    given_fields = {name: value for name, value in GOOD.items() if name not in (field, "current_password")}
    with pytest.raises(ValidationError) as refusal:
        NewClient.model_validate(given_fields)
    assert [error["loc"] for error in refusal.value.errors()] == [(field,)]
