import string
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from shared.accounts.models import ClientChanges, Name, NewClient
from shared.products.models import ProductId
from tests.unit.properties import given, st

names: TypeAdapter[str] = TypeAdapter(Name)
product_ids: TypeAdapter[str] = TypeAdapter(ProductId)

UNRESERVED = string.ascii_letters + string.digits + "-._~"  # RFC 3986 §2.3: nothing to escape in a path
NEW = {"name": "Ana Souza", "email": "ana@example.com", "password": "correct horse battery"}
GOOD = NEW | {"current_password": "incorrect zebra staple"}


# ── Product ids ───────────────────────────────────────────────────────────────────────────────────────────

any_text = st.text() | st.text(UNRESERVED, max_size=80)


@given(any_text | any_text.map(lambda text: text + "\n"))
def test_a_product_id_is_any_word_that_needs_no_escaping(text: str) -> None:
    if set(text) <= set(UNRESERVED) and 1 <= len(text) <= 64:
        assert product_ids.validate_python(text) == text
    else:
        with pytest.raises(ValidationError):
            product_ids.validate_python(text)


# ── Names ─────────────────────────────────────────────────────────────────────────────────────────────────

# What pydantic trims: white space but for the separators U+001C to U+001F.
WHITE_SPACE = "".join(c for c in map(chr, range(0x3001)) if c.isspace() and not "\x1c" <= c <= "\x1f")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=220))
def test_a_name_is_1_to_200_characters_after_trimming_and_shows_something(text: str) -> None:
    trimmed = text.strip(WHITE_SPACE)
    is_plain = any(char.isalnum() for char in trimmed) and all(map(str.isprintable, trimmed))
    try:
        assert names.validate_python(text) == trimmed
    except ValidationError:
        assert not 1 <= len(trimmed) <= 200 or not is_plain
    else:
        assert 1 <= len(trimmed) <= 200


@pytest.mark.parametrize(
    "name",
    ["Ana", "\U0001f469\u200d\U0001f4bb", "\u0645\u0631\u064a\u0645", "\u674e", "O\u2019Neill 3rd", "!"],
)
def test_names_of_every_script_and_emoji_stay(name: str) -> None:
    assert names.validate_python(name) == name


# ── Merge patches ─────────────────────────────────────────────────────────────────────────────────────────

patches = st.sets(st.sampled_from(sorted(GOOD))).map(lambda fields: {name: GOOD[name] for name in fields})
# Null too: no field of a client can be removed.
no_texts = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.lists(st.text())
strange_names = st.text(st.characters(exclude_categories=["Cs"])).filter(lambda name: name not in GOOD)
spoiling = st.tuples(st.sampled_from(sorted(GOOD)), no_texts) | st.tuples(strange_names, st.just("value"))


@given(patches)
def test_a_patch_changes_just_the_fields_that_it_has(patch: dict[str, str]) -> None:
    changes = ClientChanges.model_validate(patch)
    assert changes.model_fields_set == patch.keys()
    assert {name: getattr(changes, name) for name in patch} == patch


@given(patches, spoiling)
def test_a_field_that_is_no_text_or_unknown_spoils_the_patch(
    patch: dict[str, str], spoiled: tuple[str, Any]
) -> None:
    with pytest.raises(ValidationError) as refusal:
        ClientChanges.model_validate(patch | dict([spoiled]))
    assert [error["loc"] for error in refusal.value.errors()] == [(spoiled[0],)]


@pytest.mark.parametrize("field", NEW)
def test_a_new_client_has_all_fields(field: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        NewClient.model_validate({name: value for name, value in NEW.items() if name != field})
    assert [error["loc"] for error in refusal.value.errors()] == [(field,)]
