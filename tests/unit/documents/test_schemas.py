"""The events' JSON Schemas: current, valid, and what the sample events and the models say."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from shared.events.details import OUTGOING
from shared.products.messages import INCOMING
from tools import schemas

EVENTS = Path(__file__).parents[3] / "events"
COMMITTED = {path.name: path.read_text() for path in sorted((EVENTS / "schemas").glob("*.json"))}

EVENT_NAMES = (("catalog", INCOMING), ("favorites", OUTGOING))
GOOD = {"id": 7, "title": "Lamp", "price": 9.9}


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(
        json.loads(COMMITTED[name]), format_checker=Draft202012Validator.FORMAT_CHECKER
    )


def test_there_is_a_current_schema_for_every_event_and_none_besides() -> None:
    assert {name: schemas.text(schema) for name, schema in schemas.schemas().items()} == COMMITTED
    incoming, outgoing = ({f"{source}.{name}.json" for name in names} for source, names in EVENT_NAMES)
    assert set(COMMITTED) == incoming | outgoing


@pytest.mark.parametrize("name", COMMITTED)
def test_a_schema_is_one_of_its_draft_and_describes_its_event(name: str) -> None:
    schema = json.loads(COMMITTED[name])
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)
    assert schema["description"]
    assert schema["required"]
    if name.startswith("favorites."):
        assert schema["additionalProperties"] is False
        assert "event_id" in schema["required"]
        assert set(schema["required"]) == set(schema["properties"])


def test_the_sample_events_fit_the_schemas() -> None:
    records = json.loads((EVENTS / "refresh_product_cache.json").read_text())["Records"]
    messages = [json.loads(record["body"]) for record in records]
    assert {message["detail-type"] for message in messages} == set(INCOMING)
    for message in messages:
        assert message["source"] == "catalog"
        validator(f"catalog.{message['detail-type']}.json").validate(message["detail"])


@pytest.mark.parametrize(
    ("member", "value"),
    [
        *(("version", value) for value in (-1, "1795000000000", 1.5, 2**53)),
        ("product", None),
        ("product", {"id": 7, "title": "Lamp"}),
        *(
            ("product", GOOD | wrong)
            for wrong in ({"title": ""}, {"id": True}, {"price": -1}, {"price": "1"})
        ),
    ],
)
def test_a_schema_refuses_what_the_function_would(member: str, value: object) -> None:
    good = {"version": 1_795_000_000_000, "product": GOOD}
    assert validator("catalog.ProductChanged.json").is_valid(good)
    assert not validator("catalog.ProductChanged.json").is_valid({**good, member: value})
