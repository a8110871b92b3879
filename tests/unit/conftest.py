"""Unit tests reach nothing outside their process."""

import time

import pytest

from tests.unit import fakes


@pytest.fixture(autouse=True)
def _no_sockets(socket_disabled: None) -> None:
    """Opening a socket fails the test."""


backends = pytest.fixture(fakes.backends)


@pytest.fixture
def product_function(monkeypatch: pytest.MonkeyPatch, backends: fakes.Backends) -> None:
    """A function that answers of products: it has no keys for access tokens. Time stands still at NOW."""
    assert backends.valkey.commands == []
    monkeypatch.setattr(time, "time", lambda: fakes.NOW)
    monkeypatch.setattr(time, "time_ns", lambda: int(fakes.NOW * 1_000) * 1_000_000)
    monkeypatch.delenv("ACCESS_TOKEN_KEYS")
