"""How the stack refuses to start: one sentence each, and nothing left running."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.servers import backing
from local.servers.postgres import Postgres
from local.servers.services import ServiceFailed
from local.servers.valkey import Valkey
from local.stack import Stack, claim, drop, settings_from


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A folder for data that is not made."""
    yield tmp_path / "data"
    assert not (tmp_path / "data").exists()


def test_a_port_in_use_is_told_before_anything_starts(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ServiceFailed, match=f"Port {port} is in use"):
            Stack(data=data, port=port).start()


def test_another_system_than_linux_is_told_before_anything_starts(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(ServiceFailed, match=r"^Linux is needed: AWS's Runtime Interface Emulator"):
        Stack(data=data).start()


def test_an_invalid_setting_is_told_before_anything_starts(data: Path) -> None:
    with pytest.raises(ServiceFailed, match=r"^LOG_LEVEL must be "):
        Stack(data=data, settings={"LOG_LEVEL": "verbose"}).start()


def test_a_database_that_cannot_be_reached_is_told(tmp_path: Path) -> None:
    settings = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
    with pytest.raises(ServiceFailed, match="The PostgreSQL of DATABASE_URL cannot be used"):
        Stack(data=tmp_path, settings=settings).start()


@pytest.mark.parametrize("says", ["nothing", "no"])
def test_a_catalog_that_cannot_be_read_is_one_line_and_all_else_starts(
    tmp_path: Path, migrated_postgres: Postgres, valkey: Valkey, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    monkeypatch.setattr(backing, "_CONNECT_SECONDS", 0.2)
    lines: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1] if says == "nothing" else 9
        settings = {
            "DATABASE_URL": migrated_postgres.url,
            "REDIS_URL": valkey.url,
            "CATALOG_URL": f"http://127.0.0.1:{port}",
        }
        with backing.BackingServices(data=tmp_path, settings=settings, log=lines.append):
            pass
    (line,) = lines
    assert re.fullmatch(r"The catalog of CATALOG_URL cannot be read: [^\n]+", line)


def test_a_second_run_with_the_same_data_is_refused_and_so_is_dropping_it(tmp_path: Path) -> None:
    with claim(tmp_path):
        with pytest.raises(ServiceFailed, match="runs already"):
            Stack(data=tmp_path).start()
        with pytest.raises(ServiceFailed, match="runs already"):
            drop(tmp_path)
    drop(tmp_path)
    assert not tmp_path.exists()


def test_every_parameter_of_the_template_may_come_from_the_shell() -> None:
    shell = {"DATABASE_URL": "postgresql://x", "PRODUCT_CACHE_TTL_SECONDS": "5", "REDIS_URL": "", "HOME": "/"}
    assert settings_from(shell) == {"DATABASE_URL": "postgresql://x", "PRODUCT_CACHE_TTL_SECONDS": "5"}


def test_a_data_folder_below_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServiceFailed, match=r"^The data cannot be kept in [^\n]+: Not a directory\.$"):
        claim(tmp_path / "file" / "data")
