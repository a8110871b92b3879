"""docs/clients.md: the clients that it generates type-check, and do the work of a shop."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.stack import ROOT, Stack
from tests.e2e.api.service import new_email

EXAMPLES = ROOT / "examples"
BIN = Path(sys.executable).parent


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    done = subprocess.run(  # noqa: S603 — our own commands
        list(map(str, command)),
        cwd=cwd,
        env=os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"} | variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def commands(section: str, stack: Stack) -> str:
    """The commands of a section of docs/clients.md, without installing what the tests have installed."""
    page = (ROOT / "docs" / "clients.md").read_text()
    first = re.findall(r"```bash\n(.*?)```", page.partition("## By hand")[0], flags=re.DOTALL)
    own = re.findall(r"```bash\n(.*?)```", page.partition(f"## {section}\n")[2], flags=re.DOTALL)[:1]
    lines = "".join(first + own).replace("http://127.0.0.1:3000", stack.url).splitlines()
    return "\n".join(line for line in lines if not line.startswith("pip install"))


def test_the_python_client_type_checks_and_works(stack: Stack, tmp_path: Path) -> None:
    output = run("bash", "-ec", commands("Python", stack), cwd=tmp_path)
    assert "Warning" not in output
    shutil.copy(EXAMPLES / "python" / "shop.py", tmp_path)
    generated = tmp_path / "favorites-client"
    run(
        *(BIN / "mypy", "--strict", "--config-file=", "shop.py", generated / "favorites_client"),
        cwd=tmp_path,
        MYPYPATH=str(generated),
    )
    run(sys.executable, "shop.py", stack.url, new_email(), cwd=tmp_path, PYTHONPATH=str(generated))


def test_the_typescript_client_compiles_and_works(stack: Stack, tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    run("bash", "-ec", commands("TypeScript", stack), cwd=tmp_path)
    for file in (EXAMPLES / "typescript").iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    run("npx", "tsc", cwd=tmp_path)
    run("node", "built/shop.js", stack.url, new_email(), cwd=tmp_path)


def test_the_page_installs_the_versions_that_are_tried() -> None:
    page = (ROOT / "docs" / "clients.md").read_text()
    package = (EXAMPLES / "typescript" / "package.json").read_text()
    for name, version in re.findall(r"([a-z-]+)@(\d[\d.]+)", page):
        assert f'"{name}": "{version}"' in package
    wanted = re.findall(r"openapi-python-client==[\d.]+", page)
    assert run(sys.executable, "-m", "pip", "freeze", cwd=ROOT).count(wanted[0]) == 1
