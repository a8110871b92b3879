"""The settings of the bus, and a favorite product."""

import psycopg
import pytest

from shared.accounts.access_tokens import Caller
from shared.favorites import items
from tests.integration import accounts
from tests.integration.outbox.bus import BUS, T, change, forget


@pytest.fixture(autouse=True)
def bus_name(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("EVENT_BUS_NAME", BUS)


@pytest.fixture
def held(db: psycopg.Connection) -> Caller:
    """Product 7 at 22.30, a favorite of two clients; one of them."""
    change(T)
    first, second = accounts.new_caller(), accounts.new_caller()
    items.add(first, "7")
    items.add(second, "7")
    forget(db)
    return first
