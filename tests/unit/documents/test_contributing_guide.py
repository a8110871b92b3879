"""The guide for a new endpoint, followed to the letter in a copy of the project.

The copy has the guide's endpoint under another name: the project itself may have one of that name some day.
"""

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

NAMES = {
    "count_favorites": "weigh_sample_favorites",
    "favorite-count": "favorite-sample-weight",
    "FavoriteCount": "FavoriteSampleWeight",
    "counts": "sample_weights",
}
COPIED = ("docs", "events", "examples", "functions", "layers", "local", "shared", "tests", "tools")


def renamed(text: str) -> str:
    for name, other in NAMES.items():
        text = re.sub(rf"(?<![a-z]){name}(?!Function)", other, text)
    return text


BLOCKS = [renamed(fence.text) for fence in documents.fences("docs/contributing.md")]


def block(beginning: str, number: int = 0) -> str:
    return [text for text in BLOCKS if text.startswith(renamed(beginning))][number]


def run(project: Path, *arguments: str, fails: bool = False) -> None:
    """Run Python in the project; what it prints is the message where it does not end as it should."""
    ran = subprocess.run(  # noqa: S603 - the project's own
        [str(Path(sys.executable)), *arguments],
        cwd=project,
        env={"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode != 0) == fails, (
        f"{ran.stdout}{ran.stderr}\n"
        "This was a copy of the working tree. A test that fails in the tree as well is no fault of the guide."
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, without what was installed, built or kept in it."""
    for name in COPIED:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for file in ROOT.iterdir():
        if file.is_file() and not file.name.startswith("."):
            shutil.copy(file, tmp_path)
    return tmp_path


@pytest.mark.slow
def test_whoever_follows_the_guide_for_a_new_endpoint_fails_no_test_that_it_does_not_name(
    project: Path,
) -> None:
    name = renamed("count_favorites")
    run(project, "-m", "tools.endpoint", name, renamed("GET /favorite-count"), "callers")  # 1
    run(project, "-m", "tools.endpoint", name, renamed("GET /favorite-count"), "callers", fails=True)
    with (project / "shared/favorites/models.py").open("a") as models:  # 2
        models.write(f"\n\n{block('class FavoriteCount(Model)')}")
    work = project / "shared/favorites" / renamed("counts.py")
    work.write_text(block('"""How many favorites a client has."""'))
    (project / "functions" / name / "handler.py").write_text(block('"""GET /favorite-count"""'))
    test = project / f"tests/integration/routes/favorites/test_{name}.py"  # 3
    test.write_text(block('"""GET /favorite-count"""', 1))
    run(project, "-m", "tools.generate")  # 4
    document = json.loads((project / "functions/get_docs/openapi.json").read_text())
    added = document["paths"][renamed("/favorite-count")]["get"]
    assert added["tags"] == ["favorites"]
    assert added["responses"]["200"]["content"]["application/json"]["example"] == {"count": 12}
    run(project, "-m", "ruff", "check", "functions", "shared", "tests/integration/routes")
    unconcerned = "not loaded and not imports and not imported and not importing"  # and slow
    chosen = [f"tests/unit/documents/test_{name}.py" for name in ("names", "documents", "openapi")]
    chosen.append("tests/e2e/api/test_routes.py::test_every_route_that_changes_something_has_a_row")
    options = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", unconcerned]
    run(project, "-m", "pytest", *options, *chosen)
