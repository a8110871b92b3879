"""What the service writes to its log: lines for people, and lines that become metrics."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple, get_args

import pytest

from shared.platform import logs
from shared.platform.metrics import Unit

UNITS = set(get_args(Unit))


class Line(NamedTuple):
    """A line of the structured log."""

    level: str
    message: str
    more: dict[str, Any]


def log(monkeypatch: pytest.MonkeyPatch) -> list[Line]:
    """The lines that are written from now on."""
    lines: list[Line] = []

    class Recorder:
        def __getattr__(self, level: str) -> Callable[..., None]:
            return lambda message, **more: lines.append(Line(level, message, more))

    monkeypatch.setattr(logs, "logger", Recorder)
    return lines


def metrics(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The metrics since this was last asked: their values with their dimensions, in order."""
    found = []
    for line in capsys.readouterr().out.splitlines():
        if line.startswith('{"_aws"'):
            told = json.loads(line)
            (described,) = told["_aws"]["CloudWatchMetrics"]
            assert {metric["Unit"] for metric in described["Metrics"]} <= UNITS
            del told["_aws"], told["service"]
            found.append(told)
    return found
