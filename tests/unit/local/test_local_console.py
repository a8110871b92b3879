"""What `make run` shows of the functions' logs."""

import io
import json
import re
import sys
from pathlib import Path

import pytest

from local.console import log_to, shortened
from local.servers.services import ServiceFailed

RECORD = {
    "level": "INFO",
    "location": "lambda_handler:12",
    "message": "catalog read",
    "timestamp": "2026-11-24T18:24:51.159+00:00",
    "service": "favorites",
    "products": 66,
    "seconds": 0.08,
}


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, "catalog read: products=66, seconds=0.08"),
        (
            {"level": "ERROR", "message": "unforeseen", "exception": "Traceback:\n  ValueError: no"},
            "ERROR unforeseen: products=66, seconds=0.08\n    Traceback:\n      ValueError: no",
        ),
    ],
)
def test_a_record_is_shown_by_its_message_its_facts_and_its_traceback(
    changes: dict[str, str], shown: str
) -> None:
    assert shortened(f"login | {json.dumps(RECORD | changes)}") == f"login | {shown}"


@pytest.mark.parametrize(
    "line", ["GET /products/7 200 3.1 ms", "login | {not json", 'login | {"level": "INFO"}', "a | b: 1", ""]
)
def test_any_other_line_stays_as_it_is(line: str) -> None:
    assert shortened(line) == line


def test_a_poll_is_left_to_the_line_of_its_schedule() -> None:
    assert shortened(f"warm | {json.dumps(RECORD | {'message': 'catalog polled'})}") is None


def test_a_line_has_the_time_of_day(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log_to(tmp_path / "metrics.jsonl", {})("GET /products/7 200 3.1 ms")
    assert re.fullmatch(r"\d\d:\d\d:\d\d GET /products/7 200 3.1 ms\n", capsys.readouterr().out)


def test_json_can_be_asked_for_and_metrics_go_to_their_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = log_to(tmp_path / "metrics.jsonl", {"LOCAL_LOGS": "json"})
    log(f"warm_product_cache | {json.dumps(RECORD)}")
    log('warm_product_cache | {"_aws": {}}')
    assert capsys.readouterr().out == f"warm_product_cache | {json.dumps(RECORD)}\n"
    assert (tmp_path / "metrics.jsonl").read_text() == '{"_aws": {}}\n'


def test_metrics_that_cannot_be_written_are_reported_once_and_stop_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / ".local"
    log = log_to(folder / "metrics.jsonl", {})
    for _ in range(3):
        log('get_product | {"_aws": {}}')
    assert len(capsys.readouterr().out.splitlines()) == 1
    folder.mkdir()
    log('get_product | {"_aws": {}}')
    assert (folder / "metrics.jsonl").read_text() == '{"_aws": {}}\n'


def test_a_console_that_is_gone_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    log_to(tmp_path / "metrics.jsonl", {})("get_product | a line")


def test_an_unknown_way_to_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServiceFailed, match=r"^LOCAL_LOGS [^\n]*'xml'"):
        log_to(tmp_path / "metrics.jsonl", {"LOCAL_LOGS": "xml"})
