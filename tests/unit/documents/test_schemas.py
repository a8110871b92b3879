"""The events' JSON Schemas: current, valid, and what the sample events and the models say."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from shared.events.details import OUTGOING
from shared.products.messages import INCOMING
from tools import schemas

EVENTS = Path(__file__).parents[3] / "events"
COMMITTED = {path.name: path.read_text() for path in sorted((EVENTS / "schemas").glob("*.json"))}


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(
        json.loads(COMMITTED[name]), format_checker=Draft202012Validator.FORMAT_CHECKER
    )


def test_what_is_committed_is_what_the_models_say() -> None:
    assert {name: schemas.text(schema) for name, schema in schemas.schemas().items()} == COMMITTED


def test_there_is_a_schema_for_every_event_and_none_besides() -> None:
    assert set(COMMITTED) == {
        *(f"catalog.{name}.json" for name in INCOMING),
        *(f"favorites.{name}.json" for name in OUTGOING),
    }


@pytest.mark.parametrize("name", COMMITTED)
def test_a_schema_is_one_of_its_draft_and_says_what_it_is_about(name: str) -> None:
    schema = json.loads(COMMITTED[name])
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)
    assert schema["description"]
    assert schema["required"]


@pytest.mark.parametrize("name", [name for name in COMMITTED if name.startswith("favorites.")])
def test_what_goes_out_has_an_id_and_nothing_that_is_not_described(name: str) -> None:
    schema = json.loads(COMMITTED[name])
    assert schema["additionalProperties"] is False
    assert "event_id" in schema["required"]
    assert set(schema["required"]) == set(schema["properties"])


def _sample_messages() -> list[dict[str, Any]]:
    records = json.loads((EVENTS / "refresh_product_cache.json").read_text())["Records"]
    return [json.loads(record["body"]) for record in records]


def test_the_sample_events_are_as_the_schemas_say() -> None:
    messages = _sample_messages()
    assert {message["detail-type"] for message in messages} == set(INCOMING)
    for message in messages:
        assert message["source"] == "catalog"
        validator(f"catalog.{message['detail-type']}.json").validate(message["detail"])


@pytest.mark.parametrize(
    "change",
    [
        {"version": -1},
        {"version": "1795000000000"},
        {"version": 1.5},
        {"version": 2**53},
        {"product": None},
        {"product": {"id": 7, "title": "Lamp"}},
        {"product": {"id": 7, "title": "", "price": 1}},
        {"product": {"id": True, "title": "Lamp", "price": 1}},
        {"product": {"id": 7, "title": "Lamp", "price": -1}},
        {"product": {"id": 7, "title": "Lamp", "price": "1"}},
    ],
    ids=str,
)
def test_a_schema_refuses_what_the_function_would(change: dict[str, Any]) -> None:
    good = {"version": 1_795_000_000_000, "product": {"id": 7, "title": "Lamp", "price": 9.9}}
    assert validator("catalog.ProductChanged.json").is_valid(good)
    assert not validator("catalog.ProductChanged.json").is_valid({**good, **change})
