"""The commands of a second console: what they say when they cannot do it."""

from pathlib import Path

import pytest

from local import running
from local.__main__ import main
from local.running import Running, forget
from local.servers.services import ServiceFailed


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOCAL_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def event(tmp_path: Path) -> Path:
    path = tmp_path / "get_health.json"
    path.write_text("{}")
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command that fails says, which is one line."""
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err.strip()


@pytest.mark.usefixtures("data")
def test_nothing_runs(event: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentence = "It does not run: start it with `make run`, in another console."
    assert said(capsys, "event", str(event)) == sentence
    assert said(capsys, "catalog", "price", "7", "9.90") == sentence


def test_an_event_that_is_not_there_or_no_json(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing.json cannot be read: No such file or directory." in said(
        capsys, "event", str(data / "nothing.json")
    )
    (data / "bad.json").write_text("{")
    assert "bad.json is not JSON: " in said(capsys, "event", str(data / "bad.json"))
    (data / "bytes.json").write_bytes(b"\xff")
    assert "bytes.json is not JSON: " in said(capsys, "event", str(data / "bytes.json"))


def test_the_catalog_of_somebody_else_is_left_alone(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Running("http://127.0.0.1:1", "http://127.0.0.1:1", None).write(data)
    assert said(capsys, "catalog", "remove", "7") == (
        "The catalog is the one of CATALOG_URL, not the sample: change the product there."
    )


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("price", ["cheap", "-1", "1e3", "9,90", "NaN", "1.", ".5", "1.1234567"])
def test_a_price_that_is_none(price: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ServiceFailed, match=r"^A price is a number like 9\.90, not "):
        running.price(price)
    if not price.startswith("-"):  # that is an option
        assert "A price is a number" in said(capsys, "catalog", "price", "7", price)


@pytest.mark.parametrize(("text", "number"), [("9.90", "9.90"), ("10", "10"), ("007.50", "7.50"), ("0", "0")])
def test_a_price_keeps_its_digits(text: str, number: str) -> None:
    assert running.price(text) == number


def test_a_port_that_is_none_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "run", "--port", "abc") == "PORT must be a whole number from 0 to 65535, not 'abc'."


def test_where_it_runs_is_for_its_user_only(data: Path) -> None:
    stack = Running("http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3")
    for _ in range(2):
        stack.write(data)
    assert (data / "running.json").stat().st_mode & 0o777 == 0o600
    assert Running.find(data) == stack
    forget(data)
    forget(data)
    with pytest.raises(ServiceFailed, match="It does not run"):
        Running.find(data)
