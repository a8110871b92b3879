"""The committed OpenAPI document: current, valid, and its examples true."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from shared import models
from shared.accounts import exports
from shared.accounts import models as accounts
from shared.accounts.models import Client
from shared.favorites import models as favorites
from shared.models import Page, Problem
from shared.products import models as products
from shared.products.models import Product
from tools import openapi

DOCUMENT: dict[str, Any] = json.loads(openapi.DOCUMENT.read_text(encoding="utf-8"))
MODELS: dict[str, Any] = {"Page_Client_": Page[Client], "Page_Product_": Page[Product]}
MODULES = (models, accounts, exports, products, favorites)
OPERATIONS = [
    (path, method, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]


def test_the_committed_document_is_current_and_valid() -> None:
    assert openapi.DOCUMENT.read_text(encoding="utf-8") == openapi.text(), "run `make generate` and commit it"
    assert DOCUMENT["openapi"].startswith("3.1.")
    validate(DOCUMENT)


EXAMPLES = {
    name.replace("Account", "Client"): schema["examples"][0]
    for name, schema in DOCUMENT["components"]["schemas"].items()
}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_fits_its_model(name: str) -> None:
    model = MODELS.get(name) or next(getattr(it, name) for it in MODULES if hasattr(it, name))
    model.model_validate_json(json.dumps(EXAMPLES[name]))


@pytest.mark.parametrize("slug", sorted(DOCUMENT["components"]["examples"]))
def test_an_example_of_a_problem_fits_its_model(slug: str) -> None:
    Problem.model_validate(DOCUMENT["components"]["examples"][slug]["value"])


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_a_route_documents_its_failures(path: str, method: str, operation: dict[str, Any]) -> None:
    is_public = operation["security"] == []
    assert is_public == ("401" not in operation["responses"]) or path.startswith("/auth/")
    if method == "head":
        return
    problems = {}
    for status, answer in operation["responses"].items():
        # Not /health, whose body names the failing part, nor what only API Gateway answers.
        if status >= "400" and (path, status) != ("/health", "503") and "$ref" not in answer:
            problems[status] = answer["content"]["application/problem+json"]["examples"]
            assert problems[status], status
            for slug in problems[status]:
                assert DOCUMENT["components"]["examples"][slug]["value"]["status"] == int(status)
    assert "500" in problems
    if not is_public or path.split("/")[1] in ("clients", "auth"):
        assert problems["503"].keys() >= {"database-unavailable", "secret-unavailable"}


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_the_errors_of_api_gateway_are_documented_on_every_route(
    path: str, method: str, operation: dict[str, Any]
) -> None:
    for status in ("404", "405", "413", "429", "500", "503"):
        answer = operation["responses"][status]
        if method == "head":
            assert answer.keys() <= {"description", "headers"}
            continue
        if "$ref" in answer:
            answer = DOCUMENT["components"]["responses"][answer["$ref"].rpartition("/")[2]]
        assert "application/json" in answer["content"], path
        for content in answer["content"].values():
            validator = OAS31Validator(content["schema"] | {"components": DOCUMENT["components"]})
            assert validator.is_valid({"message": "Service Unavailable"})
            assert not validator.is_valid({})
