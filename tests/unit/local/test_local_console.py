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


def test_a_line_of_a_function_is_its_message_and_its_facts() -> None:
    line = f"warm_product_cache | {json.dumps(RECORD)}"
    assert shortened(line) == "warm_product_cache | catalog read: products=66, seconds=0.08"


def test_what_is_worse_than_info_says_so_and_a_traceback_stands_below() -> None:
    record = RECORD | {"level": "ERROR", "message": "unforeseen", "exception": "Traceback:\n  ValueError: no"}
    first, *rest = (shortened(f"login | {json.dumps(record)}") or "").splitlines()
    assert first == "login | ERROR unforeseen: products=66, seconds=0.08"
    assert rest == ["    Traceback:", "      ValueError: no"]


@pytest.mark.parametrize(
    "line",
    [
        "GET /products/7 200 3.1 ms",
        "login | {not json",
        'login | {"level": "INFO"}',
        "schedule | a: 1 sent",
        "",
    ],
)
def test_any_other_line_stays_as_it_is(line: str) -> None:
    assert shortened(line) == line


def test_what_the_line_of_a_schedule_says_is_not_shown_twice() -> None:
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


def test_metrics_that_cannot_be_written_are_told_once_and_stop_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / ".local"
    log = log_to(folder / "metrics.jsonl", {})
    for _ in range(3):
        log('get_product | {"_aws": {}}')
    (told,) = capsys.readouterr().out.splitlines()
    assert told.startswith("Metrics cannot be written and are lost: ")
    folder.mkdir()
    log('get_product | {"_aws": {}}')
    assert (folder / "metrics.jsonl").read_text() == '{"_aws": {}}\n'


def test_a_console_that_is_gone_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    log_to(tmp_path / "metrics.jsonl", {})("get_product | a line")


def test_another_way_to_log_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ServiceFailed, match=r"^LOCAL_LOGS must be short or json, not 'xml'\.$"):
        log_to(tmp_path / "metrics.jsonl", {"LOCAL_LOGS": "xml"})
