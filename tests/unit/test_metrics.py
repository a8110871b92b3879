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


def line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The one line that was written."""
    (text,) = capsys.readouterr().out.splitlines()
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def assert_is_emf(told: dict[str, Any]) -> None:
    Draft202012Validator(EMF).validate(told)
    (directive,) = told["_aws"]["CloudWatchMetrics"]
    for metric in directive["Metrics"]:  # "A metric target value must be numeric or an array of them"
        assert isinstance(told[metric["Name"]], int | float)
        assert not isinstance(told[metric["Name"]], bool)
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
