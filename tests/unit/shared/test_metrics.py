"""Metrics are lines of the log in CloudWatch's embedded metric format, as its specification wants them."""

import json
import time
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from shared.platform import metrics

# From "Specification: Embedded metric format", section "Embedded metric format schema".
EMF = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 0},
                "CloudWatchMetrics": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "properties": {
                            "Namespace": {"type": "string", "minLength": 1, "maxLength": 1024},
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "array",
                                    "minItems": 1,
                                    "maxItems": 30,
                                    "items": {"type": "string", "minLength": 1, "maxLength": 250},
                                },
                            },
                            "Metrics": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "properties": {
                                        "Name": {"type": "string", "minLength": 1, "maxLength": 1024},
                                        "Unit": {"enum": ["Count", "Milliseconds", "Seconds"]},
                                    },
                                    "additionalProperties": False,
                                },
                            },
                        },
                        "additionalProperties": False,
                    },
                },
            },
            "additionalProperties": False,
        }
    },
}


@pytest.fixture(autouse=True)
def nothing_kept_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_kept_back", {})
    monkeypatch.setattr(metrics, "_written_at", 0.0)


def line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The one line that was written."""
    (text,) = capsys.readouterr().out.splitlines()
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def assert_is_emf(told: dict[str, Any]) -> None:
    Draft202012Validator(EMF).validate(told)
    (directive,) = told["_aws"]["CloudWatchMetrics"]
    for metric in directive["Metrics"]:  # "A metric target value must be numeric or an array of them"
        values = told[metric["Name"]]
        for value in values if isinstance(values, list) else [values]:
            assert isinstance(value, int | float)
            assert not isinstance(value, bool)
    for dimension_set in directive["Dimensions"]:  # "… must exist as a root member, a string"
        assert len(set(dimension_set)) == len(dimension_set)
        for name in dimension_set:
            assert isinstance(told[name], str)
            assert 1 <= len(told[name]) <= 1024
    names = {metric["Name"] for metric in directive["Metrics"]}
    assert names.isdisjoint(directive["Dimensions"][0])


def test_a_line_is_as_the_specification_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Shop")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "favorites-test")
    metrics.put({"Answers": (1, "Count"), "Age": (2.5, "Seconds")}, state="hit")
    told = line(capsys)
    assert_is_emf(told)
    assert abs(told["_aws"]["Timestamp"] - time.time() * 1000) < 60_000  # milliseconds
    assert told["_aws"]["CloudWatchMetrics"] == [
        {
            "Namespace": "Shop",
            "Dimensions": [["service", "state"]],
            "Metrics": [{"Name": "Answers", "Unit": "Count"}, {"Name": "Age", "Unit": "Seconds"}],
        }
    ]
    assert {name: value for name, value in told.items() if name != "_aws"} == {
        "service": "favorites-test",
        "state": "hit",
        "Answers": 1,
        "Age": 2.5,
    }


def test_without_dimensions_there_is_the_service(capsys: pytest.CaptureFixture[str]) -> None:
    metrics.put({"CatalogTime": (12.3, "Milliseconds")})
    told = line(capsys)
    assert_is_emf(told)
    assert told["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"]]


@pytest.mark.parametrize(("given", "counted"), [((), 1), ((7,), 7), ((0,), 0)])
def test_counting(capsys: pytest.CaptureFixture[str], given: tuple[int, ...], counted: int) -> None:
    metrics.count("Refreshes", *given, cause="push")
    told = line(capsys)
    assert_is_emf(told)
    assert (told["Refreshes"], told["cause"]) == (counted, "push")


def test_every_line_is_written_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        metrics.count("CatalogFailures")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for text in lines:
        assert_is_emf(json.loads(text))


def answered(age: float, state: str = "hit") -> None:
    metrics.gather({"Answers": (1, "Count"), "Age": (age, "Seconds")}, state=state)


def values(told: dict[str, Any]) -> dict[str, Any]:
    assert_is_emf(told)
    return {name: told[name] for name in ("state", "Answers", "Age")}


def test_what_happens_now_and_then_is_written_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metrics, "GATHERED", 0.0)
    for age in (1.5, 2.5):
        answered(age)
        assert values(line(capsys)) == {"state": "hit", "Answers": 1, "Age": age}


def test_what_happens_all_the_time_is_gathered_into_a_line_of_each_kind(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answered(1.5)
    line(capsys)
    answered(2.5)
    answered(400.0, "stale")
    answered(3.5)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(metrics, "GATHERED", 0.0)
    answered(4.5)
    hits, stale = map(json.loads, capsys.readouterr().out.splitlines())
    assert values(hits) == {"state": "hit", "Answers": [1, 1, 1], "Age": [2.5, 3.5, 4.5]}
    assert values(stale) == {"state": "stale", "Answers": 1, "Age": 400.0}


def test_no_more_is_gathered_than_a_metric_may_have_values(capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(1 + 2 * metrics.MOST_GATHERED):
        answered(float(number))
    told = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert [len(each["Age"]) for each in told[1:]] == [metrics.MOST_GATHERED] * 2
