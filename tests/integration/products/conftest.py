"""A machine that is busy may be slow: where a server is up, these tests wait for it."""

import pytest

from shared.platform import valkey
from tests.integration.readers import PATIENCE


@pytest.fixture
def patient_cache(environment: pytest.MonkeyPatch) -> None:
    """A command of Valkey may take longer than in production, so that noise is not taken for an outage."""
    assert valkey.pipeline.__kwdefaults__
    environment.setitem(valkey.pipeline.__kwdefaults__, "seconds", PATIENCE)
