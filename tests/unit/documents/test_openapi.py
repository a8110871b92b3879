"""The committed OpenAPI document: current, valid, and its examples true."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema.exceptions import ValidationError
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
MODELS: dict[str, Any] = {
    "Page_Client_": Page[Client],
    "Page_Product_": Page[Product],
}
MODULES = (models, accounts, exports, products, favorites)
OPERATIONS = [
    (path, method, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]


def test_committed_document_is_what_the_handlers_say() -> None:
    assert openapi.DOCUMENT.read_text(encoding="utf-8") == openapi.text(), "run `make generate` and commit it"


def test_document_is_valid_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    validate(DOCUMENT)


def _model(name: str) -> Any:
    return next(getattr(module, name) for module in MODULES if hasattr(module, name))


EXAMPLES = {
    name.replace("Account", "Client"): schema["examples"][0]
    for name, schema in DOCUMENT["components"]["schemas"].items()
}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_example_fits_its_model(name: str) -> None:
    model = MODELS.get(name) or _model(name)
    model.model_validate_json(json.dumps(EXAMPLES[name]))


@pytest.mark.parametrize("slug", sorted(DOCUMENT["components"]["examples"]))
def test_problem_example_fits_its_model(slug: str) -> None:
    Problem.model_validate(DOCUMENT["components"]["examples"][slug]["value"])


@pytest.mark.parametrize(("path", "operation"), [(path, operation) for path, _, operation in OPERATIONS])
def test_route_that_takes_a_token_says_how_it_refuses_one(path: str, operation: dict[str, Any]) -> None:
    is_public = operation["security"] == []
    assert is_public == ("401" not in operation["responses"]) or path.startswith("/auth/")


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_route_says_how_it_fails(path: str, method: str, operation: dict[str, Any]) -> None:
    failures = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
    assert "500" in failures
    for status, answer in failures.items():
        if (path, status) == ("/health", "503") or method == "head" or "$ref" in answer:
            continue  # its own body, which names the failing part; none; or one of API Gateway alone
        examples = answer["content"]["application/problem+json"]["examples"]
        assert examples, (method, path, status)
        for slug in examples:
            assert DOCUMENT["components"]["examples"][slug]["value"]["status"] == int(status)


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_what_needs_the_database_or_a_secret_says_how_that_fails(
    path: str, method: str, operation: dict[str, Any]
) -> None:
    needs = bool(operation["security"]) or path.split("/")[1] in ("clients", "auth")
    if needs and method != "head":
        content = operation["responses"]["503"]["content"]["application/problem+json"]
        assert content["examples"].keys() >= {"database-unavailable", "secret-unavailable"}


@pytest.mark.parametrize(
    ("method", "operation"), [(method, operation) for _, method, operation in OPERATIONS]
)
def test_the_errors_of_api_gateway_are_documented_on_every_route(
    method: str, operation: dict[str, Any]
) -> None:
    for status in ("404", "405", "413", "429", "500", "503"):
        answer = operation["responses"][status]
        if method == "head":
            assert answer.keys() <= {"description", "headers"}
            continue
        if "$ref" in answer:
            answer = DOCUMENT["components"]["responses"][answer["$ref"].rpartition("/")[2]]
        assert "application/json" in answer["content"]
        for content in answer["content"].values():
            schema = content["schema"] | {"components": DOCUMENT["components"]}
            OAS31Validator(schema).validate({"message": "Service Unavailable"})
            with pytest.raises(ValidationError):
                OAS31Validator(schema).validate({})
