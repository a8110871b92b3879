"""The template as it is written, and as SAM transforms it; each once for all tests."""

from typing import Any

import pytest
from samcli.yamlhelper import yaml_parse

from tests.unit.deploy import sam_template
from tests.unit.deploy.sam_template import Resource


@pytest.fixture(scope="session")
def written() -> dict[str, Any]:
    template: dict[str, Any] = yaml_parse(sam_template.TEXT)
    return template


@pytest.fixture(scope="session")
def transformed() -> dict[str, Any]:
    return sam_template.transform()


@pytest.fixture(scope="session")
def resources(transformed: dict[str, Any]) -> dict[str, Resource]:
    known: dict[str, Resource] = transformed["Resources"]
    return known
