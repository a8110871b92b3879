"""Metrics are lines of the log in CloudWatch's embedded metric format, as its specification wants them."""

import json
import time
from typing import Any

import pytest

from shared.platform import metrics


@pytest.fixture(autouse=True)
def nothing_kept_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_kept_back", {})
    monkeypatch.setattr(metrics, "_written_at", 0.0)


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines, after checking that each is as the specification says."""
    lines: list[dict[str, Any]] = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    for line in lines:
        assert line["_aws"].keys() == {"Timestamp", "CloudWatchMetrics"}
        assert abs(line["_aws"]["Timestamp"] - time.time() * 1000) < 60_000  # milliseconds
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert directive.keys() == {"Namespace", "Dimensions", "Metrics"}
        (dimensions,) = directive["Dimensions"]
        metric_names = [metric["Name"] for metric in directive["Metrics"]]
        assert len({*dimensions, *metric_names}) == len(dimensions) + len(metric_names)
        assert line.keys() == {"_aws", *dimensions, *metric_names}
        assert all(line[name] and type(line[name]) is str for name in dimensions)
        for name in metric_names:  # a number, or up to 100 of them
            values = line[name] if isinstance(line[name], list) else [line[name]]
            assert len(values) <= 100
            assert {type(value) for value in values} <= {int, float}
    return lines


def test_a_line_has_the_values_with_their_units_and_dimensions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Shop")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "favorites-test")
    metrics.put({"Answers": (1, "Count"), "Age": (2.5, "Seconds")}, state="hit")
    (line,) = written(capsys)
    assert line.pop("_aws")["CloudWatchMetrics"] == [
        {
            "Namespace": "Shop",
            "Dimensions": [["service", "state"]],
            "Metrics": [{"Name": "Answers", "Unit": "Count"}, {"Name": "Age", "Unit": "Seconds"}],
        }
    ]
    assert line == {"service": "favorites-test", "state": "hit", "Answers": 1, "Age": 2.5}


def test_each_count_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    metrics.put({"CatalogTime": (12.3, "Milliseconds")})
    metrics.count("Refreshes", cause="push")
    metrics.count("Refreshes", 7)
    metrics.count("Refreshes", 0)
    time_of_catalog, *counts = written(capsys)
    assert time_of_catalog["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"]]
    assert [line["Refreshes"] for line in counts] == [1, 7, 0]
    assert counts[0]["cause"] == "push"


def answered(age: float, state: str = "hit") -> None:
    metrics.gather({"Answers": (1, "Count"), "Age": (age, "Seconds")}, state=state)


def gathered(capsys: pytest.CaptureFixture[str]) -> list[tuple[Any, ...]]:
    return [tuple(line[name] for name in ("state", "Answers", "Age")) for line in written(capsys)]


def test_a_rare_value_is_written_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metrics, "GATHERED", 0.0)
    for age in (1.5, 2.5):
        answered(age)
        assert gathered(capsys) == [("hit", 1, age)]


def test_frequent_values_are_gathered_into_a_line_of_each_kind(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metrics, "GATHERED", 60.0)
    answered(1.5)
    assert gathered(capsys) == [("hit", 1, 1.5)]
    answered(2.5)
    answered(400.0, "stale")
    answered(3.5)
    assert gathered(capsys) == []
    monkeypatch.setattr(metrics, "GATHERED", 0.0)
    answered(4.5)
    assert gathered(capsys) == [("hit", [1, 1, 1], [2.5, 3.5, 4.5]), ("stale", 1, 400.0)]


def test_no_more_is_gathered_than_a_metric_may_have_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metrics, "GATHERED", 60.0)
    for number in range(1 + 2 * metrics.MOST_GATHERED):
        answered(float(number))
    assert [len(age) for _, _, age in gathered(capsys)[1:]] == [metrics.MOST_GATHERED] * 2
