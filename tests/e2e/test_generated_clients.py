"""Clients that are generated from the OpenAPI document: they type-check, and do the work of a shop."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.stack import ROOT, Stack
from tests.e2e.api.service import new_email

DOCUMENT = ROOT / "functions" / "get_docs" / "openapi.json"
CLIENTS = ROOT / "tests" / "e2e" / "clients"


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """What the command prints, after it ended well."""
    done = subprocess.run(  # noqa: S603 — our own commands
        list(map(str, command)),
        cwd=cwd,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_python_client_type_checks_and_works(stack: Stack, tmp_path: Path) -> None:
    generated = tmp_path / "generated"
    bin_ = Path(sys.executable).parent
    # The types of a shop read better with the words themselves than with an enumeration of them.
    (tmp_path / "config.json").write_text(json.dumps({"literal_enums": True}))
    output = run(
        *(bin_ / "openapi-python-client", "generate", "--path", DOCUMENT, "--output-path", generated),
        *("--config", tmp_path / "config.json", "--fail-on-warning"),
        cwd=tmp_path,
        PATH=f"{bin_}{os.pathsep}{os.environ['PATH']}",  # it calls ruff
    )
    assert "Warning" not in output
    shutil.copy(CLIENTS / "shop.py", tmp_path)
    run(
        *(bin_ / "mypy", "--strict", "--config-file=", "shop.py", generated / "favorites_client"),
        cwd=tmp_path,
        MYPYPATH=str(generated),
    )
    run(sys.executable, "shop.py", stack.url, new_email(), cwd=tmp_path, PYTHONPATH=str(generated))


def test_the_typescript_client_compiles_and_works(stack: Stack, tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    for file in (CLIENTS / "typescript").iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    run(npm, "ci", "--no-audit", "--no-fund", cwd=tmp_path)
    tools = tmp_path / "node_modules" / ".bin"
    run(tools / "openapi-typescript", DOCUMENT, "-o", "schema.d.ts", cwd=tmp_path)
    run(tools / "tsc", cwd=tmp_path)
    run("node", "built/shop.js", stack.url, new_email(), cwd=tmp_path)
