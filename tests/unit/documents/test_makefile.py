"""The Makefile, run with a Python that only says what it was asked and which region it was told."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TALKATIVE = """#!/bin/sh
if [ "$1" = -c ]; then exit 0; fi
echo "${AWS_DEFAULT_REGION-of the profile}"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the Makefile, whose `.venv` is as good as installed."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for file in (
        *("requirements-dev.txt", "tests/requirements-checkov.txt"),
        *(".aws-sam/build/template.yaml", ".venv/bin/python", ".venv/audit/bin/python"),
        *(".venv/installed", ".venv/audit/installed"),
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    for python in tmp_path.glob(".venv/**/bin/python"):
        python.write_text(TALKATIVE)
        python.chmod(0o755)
    (tmp_path / ".venv/pyvenv.cfg").write_text(f"command = python -m venv --clear {tmp_path}/.venv\n")
    return tmp_path


def regions(project: Path, target: str, **variables: str) -> set[str]:
    """The regions that the programs of a target are told, with these variables in the shell."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MAKE"))}
    ran = subprocess.run(  # noqa: S603 - the project's own Makefile
        ["make", "--silent", target],  # noqa: S607
        cwd=project,
        env=kept | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return {line for line in ran.stdout.splitlines() if not line.startswith(".venv")}


def test_make_deploy_takes_the_region_of_the_shell_or_of_the_profile(project: Path) -> None:
    assert regions(project, "deploy") == {"of the profile"}
    assert regions(project, "deploy", AWS_DEFAULT_REGION="eu-west-1") == {"eu-west-1"}
    # SAM CLI does not read the variable that AWS's own CLI reads first.
    both = {"AWS_REGION": "sa-east-1", "AWS_DEFAULT_REGION": "eu-west-1"}
    assert regions(project, "deploy", **both) == {"sa-east-1"}


@pytest.mark.parametrize("target", ["build", "run", "sam-local", "lint", "check", "test", "bench"])
def test_what_calls_nobody_at_aws_needs_no_region(project: Path, target: str) -> None:
    assert regions(project, target) == {"us-east-1"}
    assert regions(project, target, AWS_DEFAULT_REGION="eu-west-1") == {"eu-west-1"}
