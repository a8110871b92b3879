"""Unit tests reach nothing outside their process."""

import pytest

from tests.unit import fakes


@pytest.fixture(autouse=True)
def _no_sockets(socket_disabled: None) -> None:
    """Opening a socket fails the test."""


backends = pytest.fixture(fakes.backends)
