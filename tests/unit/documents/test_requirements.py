"""What is installed is pinned with hashes, and the pins are those that were asked for."""

import re

import pytest

from tests.documents import ROOT

LAYER, EVERYTHING = "layers/dependencies/requirements", "requirements-dev"


def pins(file: str) -> dict[str, str]:
    """The versions by the names of the packages, normalized as in PEP 503."""
    found = re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==(\S+)", (ROOT / file).read_text(), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


@pytest.mark.parametrize("file", [LAYER, EVERYTHING])
def test_the_lock_has_every_pin_with_its_hashes(file: str) -> None:
    lock = (ROOT / f"{file}.txt").read_text()
    assert pins(f"{file}.in").items() <= pins(f"{file}.txt").items(), "run `make lock`"
    for package in re.split(r"^(?=\w)", lock, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in package, package
    assert "://" not in lock


def test_the_tests_run_with_the_packages_of_the_layer() -> None:
    assert pins(f"{LAYER}.txt").items() <= pins(f"{EVERYTHING}.txt").items(), "run `make lock`"
