"""Writes events/schemas/*.json, the JSON Schemas of all events: `python -m tools.schemas`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from shared.events.details import OUTGOING
from shared.events.event_bridge import SOURCE
from shared.products.messages import CATALOG_SOURCE, INCOMING

FOLDER = Path(__file__).resolve().parents[1] / "events" / "schemas"


def schemas() -> dict[str, dict[str, Any]]:
    """The schema of every event's detail, by the name of its file: `favorites.FavoriteAdded.json`.

    Incoming events are described as they are parsed, outgoing ones as they are written.
    """
    found = {}
    for name, incoming in INCOMING.items():
        found[f"{CATALOG_SOURCE}.{name}.json"] = incoming.model_json_schema(mode="validation")
    for name, outgoing in OUTGOING.items():
        schema = outgoing.model_json_schema(mode="serialization")
        found[f"{SOURCE}.{name}.json"] = schema | {"additionalProperties": False}
    return {
        file: {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
        for file, schema in found.items()
    }


def text(schema: dict[str, Any]) -> str:
    """The schema as it is committed."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write() -> None:
    """Write all schemas anew."""
    FOLDER.mkdir(exist_ok=True)
    for file, schema in schemas().items():
        (FOLDER / file).write_text(text(schema), encoding="utf-8")


if __name__ == "__main__":
    write()
