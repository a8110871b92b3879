"""Writes the events by which a deploy tries new versions: the sample events, so that they change nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "functions" / "try_new_version" / "samples.json"


def harmless(event: dict[str, Any]) -> dict[str, Any]:
    """The event without what would be written: no body, which is refused, and no messages."""
    kept = {name: value for name, value in event.items() if name != "body"}
    return kept | ({"Records": []} if "Records" in event else {})


def text() -> str:
    """The file as it is committed."""
    events = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "events").glob("*.json"))}
    return json.dumps({name: harmless(event) for name, event in events.items()}, indent=1) + "\n"


def write() -> None:
    """Write the file anew."""
    FILE.write_text(text(), encoding="utf-8")
