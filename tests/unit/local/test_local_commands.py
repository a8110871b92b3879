"""The commands of a second console when they cannot do what they are asked."""

from pathlib import Path

import pytest

from local import running
from local.__main__ import main
from local.running import Running, forget
from local.servers.services import ServiceFailed


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOCAL_DATA", str(tmp_path))
    return tmp_path


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err


def test_without_a_run_a_command_names_make_run(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "get_health.json").write_text("{}")
    assert "`make run`" in refusal(capsys, "event", str(data / "get_health.json"))
    assert "`make run`" in refusal(capsys, "catalog", "price", "7", "9.90")


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), (b"{", "JSON"), (b"\xff", "JSON")])
def test_an_event_that_cannot_be_read_is_named(
    data: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, reason: str
) -> None:
    if content is not None:
        (data / "bad.json").write_bytes(content)
    told = refusal(capsys, "event", str(data / "bad.json"))
    assert "bad.json" in told
    assert reason in told


def test_the_catalog_of_somebody_else_is_left_alone(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Running("http://127.0.0.1:1", "http://127.0.0.1:1", None).write(data)
    assert "CATALOG_URL" in refusal(capsys, "catalog", "remove", "7")


def test_a_price_is_a_plain_decimal_that_keeps_its_digits(capsys: pytest.CaptureFixture[str]) -> None:
    assert [running.price(text) for text in ("9.90", "10", "007.50", "0")] == ["9.90", "10", "7.50", "0"]
    for text in ("cheap", "-1", "1e3", "9,90", "NaN", "1.", ".5", "1.1234567"):
        with pytest.raises(ServiceFailed):
            running.price(text)
    assert "9,90" in refusal(capsys, "catalog", "price", "7", "9,90")


def test_a_bad_port_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "PORT" in refusal(capsys, "run", "--port", "abc")


def test_where_it_runs_is_for_its_user_only(data: Path) -> None:
    stack = Running("http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3")
    for _ in range(2):
        stack.write(data)
    assert (data / "running.json").stat().st_mode & 0o777 == 0o600
    assert Running.find(data) == stack
    for _ in range(2):
        forget(data)
    with pytest.raises(ServiceFailed):
        Running.find(data)
