"""The guide for a new endpoint, followed to the letter in a copy of the project."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import documents
from tests.documents import ROOT

BLOCKS = [fence.text for fence in documents.fences("docs/contributing.md")]
PYTHON = str(Path(sys.executable))


def block(beginning: str) -> str:
    """The guide's block that begins so."""
    (found,) = [text for text in BLOCKS if text.startswith(beginning)]
    return found


def run(project: Path, *arguments: str) -> None:
    """Run Python in the project; what it prints is the message where it fails."""
    ran = subprocess.run(  # noqa: S603 - the project's own
        [PYTHON, *arguments],
        cwd=project,
        env={"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, (
        f"{ran.stdout}{ran.stderr}\n"
        "This was a copy of the working tree. A test that fails in the tree as well is no fault of the guide."
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, without what was installed, built or kept in it."""
    for name in ("docs", "events", "examples", "functions", "layers", "local", "shared", "tests", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for file in (*ROOT.glob("*.md"), *ROOT.glob("*.toml"), ROOT / "template.yaml", ROOT / "Makefile"):
        shutil.copy(file, tmp_path)
    return tmp_path


def before(file: Path, place: str, added: str) -> None:
    """Add lines to a file, before the line that begins so."""
    text = file.read_text()
    assert text.count(f"\n{place}") == 1, f"{file}: {place}"
    file.write_text(text.replace(f"\n{place}", f"\n{added}{place}"))


def indented(text: str, spaces: int) -> str:
    return re.sub(r"^(?=.)", " " * spaces, text, flags=re.MULTILINE)


def follow(project: Path) -> None:
    """Do what the guide says, step by step."""
    row, shape = block("| count_favorites |").splitlines(keepends=True)  # 1
    before(project / "docs/contract.md", "| change_favorites |", row)
    before(project / "docs/contract.md", "- **Page** ", shape)
    with (project / "shared/favorites/models.py").open("a") as models:  # 2
        models.write(f"\n\n{block('class FavoriteCount(Model)')}")
    (project / "shared/favorites/counts.py").write_text(block('"""How many favorites a client has."""'))
    (project / "functions/count_favorites").mkdir()  # 3
    handler = block('"""GET /favorite-count"""')
    (project / "functions/count_favorites/handler.py").write_text(handler)
    resource = indented(block("CountFavoritesFunction:"), 2) + "\n"  # 4
    before(project / "template.yaml", "  ListFavoriteIdsFunction:\n", resource)
    event = (project / "events/get_favorite.json").read_text()  # 5
    sample = json.loads(event.replace("/favorites/{product_id}", "/favorite-count"))
    sample["rawPath"] = sample["requestContext"]["http"]["path"] = "/favorite-count"
    del sample["pathParameters"]
    (project / "events/count_favorites.json").write_text(json.dumps(sample))
    before(project / "tests/calls.py", '    "list_favorite_ids",\n', '    "count_favorites",\n')  # 6
    example = indented(block('"FavoriteCount": {'), 4)  # 7
    before(project / "tools/openapi.py", '    "FavoriteChanges": {\n', example)
    run(project, "-m", "tools.openapi")
    test = project / "tests/integration/routes/favorites/test_count_favorites.py"  # 10
    test.write_text('"""What GET /favorite-count answers."""\n')


@pytest.mark.slow
def test_whoever_follows_the_guide_for_a_new_endpoint_fails_no_test_that_it_does_not_name(
    project: Path,
) -> None:
    follow(project)
    added = json.loads((project / "functions/get_docs/openapi.json").read_text())["paths"]["/favorite-count"]
    assert added["get"]["tags"] == ["favorites"]
    chosen = (
        *(
            "tests/unit/documents/test_names.py",
            "tests/unit/documents/test_documents.py",
            "tests/unit/documents/test_openapi.py",
        ),
        "tests/e2e/api/test_routes.py::test_every_route_that_changes_something_has_a_row",
    )
    unconcerned = "not loaded and not imports and not imported and not importing"  # and slow
    run(
        project,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-k",
        unconcerned,
        *chosen,
    )
