"""The template as it is written, and as SAM transforms it; each once for all tests."""

from typing import Any

import pytest

from tests.unit.deploy import sam_template
from tests.unit.deploy.sam_template import Resource
from tests.unit.documents.test_names import TEMPLATE


@pytest.fixture(scope="session")
def written() -> dict[str, Any]:
    return TEMPLATE


@pytest.fixture(scope="session")
def transformed() -> dict[str, Any]:
    return sam_template.transform()


@pytest.fixture(scope="session")
def resources(transformed: dict[str, Any]) -> dict[str, Resource]:
    known: dict[str, Resource] = transformed["Resources"]
    return known
