"""Ten products that were polled."""

from typing import Any

import psycopg
import pytest

from tests.hostile_catalog import HostileCatalog
from tests.integration.poll.polling import lists, numbered, poll, rows


@pytest.fixture
def known(catalog: HostileCatalog, db: psycopg.Connection) -> dict[str, tuple[Any, ...]]:
    """Ten products were polled; their rows."""
    lists(catalog, *numbered(*range(1, 11)))
    poll()
    return rows(db)
