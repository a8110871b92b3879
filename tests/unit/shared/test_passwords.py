import pytest
from argon2 import extract_parameters
from argon2.low_level import Type

from shared.accounts import passwords

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def password_hash() -> str:
    """The hash of PASSWORD."""
    return passwords.hash_password(PASSWORD)


def test_a_hash_is_argon2id_with_19_mib_two_passes_and_one_lane(password_hash: str) -> None:
    parameters = extract_parameters(password_hash)
    assert parameters.type is Type.ID
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (19 * 1024, 2, 1)


def test_the_stand_in_costs_what_a_real_hash_costs(password_hash: str) -> None:
    assert extract_parameters(passwords._NOBODYS_HASH) == extract_parameters(password_hash)


def test_a_hash_fits_its_password_and_no_other(password_hash: str) -> None:
    assert passwords.is_password(PASSWORD, password_hash)
    for other in (PASSWORD + " ", PASSWORD.upper(), "", PASSWORD[:-1]):
        assert not passwords.is_password(other, password_hash)


def test_two_hashes_of_one_password_differ(password_hash: str) -> None:
    again = passwords.hash_password(PASSWORD)
    assert again != password_hash
    assert passwords.is_password(PASSWORD, again)


@pytest.mark.parametrize("password", [PASSWORD, "", "\0", "password", "nobody"])
def test_where_there_is_no_hash_nothing_fits(password: str) -> None:
    assert not passwords.is_password(password, None)


def test_nothing_fits_the_stand_in_even_if_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_NOBODYS_HASH", passwords.hash_password(PASSWORD))
    assert not passwords.is_password(PASSWORD, None)


def test_only_hashes_with_other_parameters_are_renewed(password_hash: str) -> None:
    assert not passwords.needs_rehash(password_hash)
    for old in ("m=19456,t=1,p=1", "m=9216,t=2,p=1", "m=19456,t=2,p=2"):
        assert passwords.needs_rehash(password_hash.replace("m=19456,t=2,p=1", old))


@pytest.mark.parametrize(
    "password", ["password", "PASSWORD", "Password1", "12345678", "qwertyuiop", "iloveyou", "123456789"]
)
def test_the_most_common_ones_are_refused_in_whatever_case(password: str) -> None:
    with pytest.raises(ValueError, match="most common"):
        passwords.checked_password(password)


@pytest.mark.parametrize("password", [PASSWORD, "password password", "xkq7vztw", "contraseña1", " 12345678 "])
def test_others_pass_as_they_are(password: str) -> None:
    assert passwords.checked_password(password) == password


def test_the_common_ones_are_passwords_that_would_pass_otherwise() -> None:
    common = passwords._common_passwords()
    assert len(common) > 300
    assert all(len(password) >= 8 for password in common)
    assert all(password == password.casefold() for password in common)
