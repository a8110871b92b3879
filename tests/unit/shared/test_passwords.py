import pytest
from argon2 import extract_parameters
from argon2.low_level import Type

from shared.accounts import passwords
from shared.errors import InvalidInput

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def password_hash() -> str:
    """The hash of PASSWORD."""
    return passwords.hash_password(PASSWORD)


def test_a_hash_is_argon2id_with_19_mib_two_passes_and_one_lane(password_hash: str) -> None:
    parameters = extract_parameters(password_hash)
    assert parameters.type is Type.ID
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (19 * 1024, 2, 1)
    assert extract_parameters(passwords._DUMMY_HASH) == parameters


def test_a_hash_fits_its_password_and_no_other_and_has_a_salt(password_hash: str) -> None:
    again = passwords.hash_password(PASSWORD)
    assert again != password_hash
    for each in (password_hash, again):
        assert passwords.is_password(PASSWORD, each)
    for other in (PASSWORD + " ", PASSWORD.upper(), "", PASSWORD[:-1]):
        assert not passwords.is_password(other, password_hash)


def test_without_a_hash_no_password_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_DUMMY_HASH", passwords.hash_password(PASSWORD))
    for password in (PASSWORD, "", "\0", "password", "nobody"):
        assert not passwords.is_password(password, None)


def test_only_hashes_with_other_parameters_are_renewed(password_hash: str) -> None:
    assert not passwords.needs_rehash(password_hash, PASSWORD)
    for old in ("m=19456,t=1,p=1", "m=9216,t=2,p=1", "m=19456,t=2,p=2"):
        assert passwords.needs_rehash(password_hash.replace("m=19456,t=2,p=1", old), PASSWORD)


@pytest.mark.parametrize(
    "password",
    [
        *("password", "PASSWORD", "Password1", "12345678", "qwertyuiop", "iloveyou", " 12345678 ", " " * 8),
        *("Senha@123", "password123!", "qwerty123!", "\uff30\uff21\uff33\uff33\uff37\uff2f\uff32\uff24"),
    ],
)
def test_the_most_common_ones_are_refused_in_whatever_spelling(password: str) -> None:
    with pytest.raises(ValueError, match="most common"):
        passwords.checked_password(password)


@pytest.mark.parametrize("password", [PASSWORD, "xkq7vztw", "contraseña1", "!?!?§§%%", "pássaro azul"])
def test_others_pass_as_they_are(password: str) -> None:
    assert passwords.checked_password(password) == password
    passwords.check_personal(password, name="Ana Souza", email="ana.souza@example.com")


@pytest.mark.parametrize(
    "password",
    [
        *("Ana Souza 2026", "anasouza!", "ana.souza@example.com", "ana.souza1"),
        *("favorites-service", "Favorites1!"),
    ],
)
def test_the_own_name_or_e_mail_and_the_services_name_are_too_easy(password: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        passwords.check_personal(password, name="Ana Souza", email="ana.souza@example.com")
    assert refused.value.location == "body.password"


def test_at_least_ten_thousand_common_ones_are_known() -> None:
    common = passwords._common_passwords().split()
    assert len(common) > 10_000
    assert common == [passwords._folded(password) for password in common]
