import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES, validate_email

from shared.formats.emails import PLAIN, checked_email, email_key
from tests.unit.properties import given, st


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("ana@example.com", "ana@example.com"),
        ("Ana.Souza@EXAMPLE.Com", "Ana.Souza@example.com"),
        ("ana+shop@example.co.uk", "ana+shop@example.co.uk"),
        ("josé@exãmple.com", "josé@exãmple.com"),
        ("ana@xn--exmple-cua.com", "ana@exämple.com"),
        ("ana@shop.test", "ana@shop.test"),
        ("用户@例え.jp", "用户@例え.jp"),
    ],
)
def test_an_address_is_taken_in_its_normal_form(written: str, normal: str) -> None:
    assert checked_email(written) == normal


@pytest.mark.parametrize(
    "text",
    [
        *("", "ana", "@", "ana@", "@example.com", "ana@example", "ana@@example.com", "ana@exa mple.com"),
        *("ana@.com", "ana@example..com", ".ana@example.com", "ana@-example.com", "ana@localhost"),
        *("ana@[127.0.0.1]", '"ana"@example.com', "Ana <ana@example.com>", "ana@example.com\n"),
        *("ana\0@example.com", "ana@" + "a" * 250 + ".com", "ana@exam\0ple.com", "a@x.example, b@x.example"),
        *("a" * 250 + "@example.com", "ana@" + "example." * 31 + "com"),
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 — its words are email-validator's
        checked_email(text)


WORDS = st.lists(st.text("abyz019", min_size=1, max_size=6), min_size=1, max_size=4)


@given(WORDS, st.sampled_from("._+-"), WORDS, st.sampled_from(".-"), st.text("abyz", min_size=2, max_size=6))
def test_a_plain_address_is_one_for_the_library_too(
    local: list[str], within: str, domain: list[str], between: str, top: str
) -> None:
    address = f"{within.join(local)}@{between.join(domain)}.{top}"
    assert PLAIN.fullmatch(address)
    normal = validate_email(address, check_deliverability=False, test_environment=True).normalized
    assert checked_email(address) == address == normal


@pytest.mark.parametrize("domain", sorted({*SPECIAL_USE_DOMAIN_NAMES} - {"test"}))
def test_no_address_of_a_reserved_domain_is_plain(domain: str) -> None:
    assert not PLAIN.fullmatch(f"ana@example.{domain}")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ana@Example.com", "ana@example.COM"),
        (" ana@example.com ", "ana@example.com"),
        ("d@\uff45xample.com", "d@example.com"),
        ("d@example\u3002com", "d@example.com"),
        ("JOSÉ@example.com", "jose\u0301@example.com"),
        ("\u212a@example.com", "k@example.com"),  # the Kelvin sign is a K
        ("ana@STRAßE.example", "ana@straße.example"),
        ("jose\u0301@example.com", "jos\u00e9@example.com"),  # é in two characters and in one
        (checked_email("Ana@xn--exmple-cua.com"), "ana@exämple.com"),
        ("Ana@xn--exmple-cua.com", "ana@exämple.com"),
    ],
)
def test_two_spellings_of_one_address_have_one_key(one: str, other: str) -> None:
    assert email_key(one) == email_key(other)


def test_two_addresses_have_two_keys() -> None:
    names = ("ana", "an.a", "ana+shop", "eva", "aña", "groß", "gross", "ﬁ", "fi")
    addresses = [*(f"{name}@example.com" for name in names), "user@straße.example", "user@strasse.example"]
    assert len(set(map(email_key, addresses))) == len(addresses)


@given(st.emails().filter(lambda address: "@xn--" not in address.lower() and ".xn--" not in address.lower()))
def test_the_normal_form_keeps_the_key(address: str) -> None:
    try:
        normal = checked_email(address)
    except ValueError:  # hypothesis writes some that email-validator does not take, such as a@localhost
        return
    assert email_key(normal) == email_key(address)
    assert checked_email(normal) == normal


@given(st.text())
def test_any_text_is_an_address_or_a_value_error_and_its_key_stays_a_key(text: str) -> None:
    assert email_key(email_key(text)) == email_key(text)
    try:
        checked_email(text)
    except ValueError:
        return
    assert "@" in text
