"""Metrics in CloudWatch's embedded metric format: a JSON line in the log becomes a metric, without a call.

Powertools has this too, but importing it takes a fourth of a cached product's cold start.
Format: CloudWatch embedded metric format specification, which allows 100 values of a metric in a line.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal

Unit = Literal["Count", "Milliseconds", "Seconds"]

GATHERED = 1.0  # seconds for which a busy environment collects values for one line
MOST_GATHERED = 100  # values of a metric in one line

_kept_back: dict[tuple[tuple[str, str], ...], list[Mapping[str, tuple[float, Unit]]]] = {}
_written_at = 0.0  # time.time()


def gather(values: Mapping[str, tuple[float, Unit]], **dimensions: str) -> None:
    """As `put`, for every request: written at once, or with the next values after `GATHERED`.

    A line for each of 10,000 answers a second would cost more than the answers (docs/scale.md). The values of
    an environment's last second are written with its next request, or lost with it.
    """
    global _written_at
    _kept_back.setdefault(tuple(dimensions.items()), []).append(values)
    now = time.time()
    if abs(now - _written_at) < GATHERED and sum(map(len, _kept_back.values())) < MOST_GATHERED:
        return
    for kept_dimensions, happened in _kept_back.items():
        _write(happened, kept_dimensions)
    _kept_back.clear()
    _written_at = now


def put(values: Mapping[str, tuple[float, Unit]], **dimensions: str) -> None:
    """Record each value under its name; `dimensions` distinguish values of the same name."""
    _write([values], tuple(dimensions.items()))


def _write(
    happened: Sequence[Mapping[str, tuple[float, Unit]]], dimensions: tuple[tuple[str, str], ...]
) -> None:
    described = _described(
        os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "Favorites"),
        os.environ.get("POWERTOOLS_SERVICE_NAME", "favorites"),
        dimensions,
        tuple([(name, unit) for name, (_, unit) in happened[0].items()]),
    )
    written = ""
    for name in happened[0]:
        found = [values[name][0] for values in happened]
        written += f', "{name}": {found[0] if len(found) == 1 else found!r}'
    line = f'{{"_aws": {{"Timestamp": {int(time.time() * 1000)}, {described}{written}}}\n'
    sys.stdout.write(line)
    sys.stdout.flush()


@lru_cache(maxsize=64)  # there are some thirty kinds
def _described(
    namespace: str,
    service: str,
    dimensions: tuple[tuple[str, str], ...],
    metrics: tuple[tuple[str, Unit], ...],
) -> str:
    """The part of a line between the time and the values, which is the same for all lines of a kind."""
    told_apart = {"service": service, **dict(dimensions)}
    metric = {
        "Namespace": namespace,
        "Dimensions": [list(told_apart)],
        "Metrics": [{"Name": name, "Unit": unit} for name, unit in metrics],
    }
    return f'"CloudWatchMetrics": {json.dumps([metric])}}}, {json.dumps(told_apart)[1:-1]}'


def count(name: str, value: int = 1, **dimensions: str) -> None:
    """Record a number of events."""
    put({name: (value, "Count")}, **dimensions)
