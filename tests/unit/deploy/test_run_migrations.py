"""The files of the migrations; what the runner does with them is in tests/integration."""

import hashlib
import re
from pathlib import Path

import pytest

from functions.run_migrations import migrations
from functions.run_migrations.migrations import Migration, MigrationError


def test_the_checksum_is_sha_256_of_the_text() -> None:
    text = "CREATE TABLE one ()"
    assert Migration(1, "0001_one.sql", text).checksum == hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(migrations, "files", lambda _: tmp_path)
    (tmp_path / "sql").mkdir()
    return tmp_path / "sql"


def test_files_are_read_in_the_order_of_their_numbers(folder: Path) -> None:
    for name in ("0002_b.sql", "0010_j.sql", "0001_z.sql", *(f"000{n}_x.sql" for n in range(3, 10))):
        (folder / name).write_text("SELECT 1")
    (folder / "notes.md").write_text("not a migration")
    assert [migration.number for migration in migrations.load()] == list(range(1, 11))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        *(([name], name) for name in ("1_a.sql", "0001-a.sql", "0001_A.sql", "a.sql", "00001_a.sql")),
        (["0002_b.sql"], "without gaps"),
        (["0001_a.sql", "0003_c.sql"], "without gaps"),
        (["0001_a.sql", "0001_b.sql"], "without gaps"),
    ],
)
def test_a_bad_name_or_number_is_an_error(folder: Path, names: list[str], message: str) -> None:
    for name in names:
        (folder / name).write_text("SELECT 1")
    with pytest.raises(MigrationError, match=re.escape(message)):
        migrations.load()
