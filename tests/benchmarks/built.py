"""What runs on Lambda, on this machine: what `sam build` makes, and the stack that it is compared with.

Both in the Lambda runtime on its emulator, on Python 3.13 that writes no bytecode. Runtime and stack are
installed into .local/cold/ once.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path

import psutil

from local.aws.execution_environment import ExecutionEnvironment, FunctionSettings
from local.aws.template import template_data
from local.processes.lifeline import Lifeline

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
BARE = HERE / "bare"
KEPT = ROOT / ".local" / "cold"
BUILD = KEPT / "build"
ARCHITECTURE = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"

MEMORY = int(template_data(ROOT / "template.yaml")["Globals"]["Function"]["MemorySize"])  # MB


class Environment(ExecutionEnvironment):
    """An execution environment that runs on Lambda's version of Python, whatever this command runs on.

    `path` is where its code and its packages are, the handler's folder first.
    """

    def __init__(
        self, path: list[Path], handler: str, variables: Mapping[str, str], lifeline: Lifeline
    ) -> None:
        self.log: list[str] = []
        packages = os.pathsep.join(str(part) for part in (*path, runtime()))
        declared = FunctionSettings(
            handler,
            handler,
            15,
            MEMORY,
            {**variables, "PYTHONPATH": packages, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        super().__init__(declared, path[0], lifeline, self.log.append)

    def _command(self, port: int, runtime_port: int) -> list[str]:
        command = super()._command(port, runtime_port)
        return [python313() if part == sys.executable else part for part in command]

    @cached_property
    def process(self) -> psutil.Process:
        """The runtime with the function in it: the emulator's child, once it was invoked."""
        return psutil.Process(self._process.pid).children(recursive=True)[0]


def function(name: str) -> tuple[list[Path], str]:
    """Path and handler of one of our functions, as it was built."""
    artifact = BUILD / f"{name.title().replace('_', '')}Function"
    layers = [BUILD / f"{layer}Layer" / "python" for layer in ("Dependencies", "Shared")]
    return [artifact, *layers], f"functions.{name}.handler.lambda_handler"


def build() -> None:
    """Let SAM build what it would deploy."""
    print("Building…", file=sys.stderr)
    _run(
        *(str(Path(sys.executable).with_name("sam")), "build", "--parallel", "--no-cached"),
        *("--build-dir", str(BUILD), "--parameter-overrides", f"Architecture={ARCHITECTURE}"),
    )


@cache
def original(*, bytecode: bool) -> list[Path]:
    """Where the stack's code and packages are: as SAM's own builder leaves them, or with bytecode."""
    plain = _installed("original", (HERE / "original" / "requirements.txt").read_text())
    folder = plain.with_name(f"{plain.name}-compiled") if bytecode else plain
    if bytecode and not folder.exists():
        shutil.copytree(plain, folder)
    for source in (HERE / "original").glob("*.py"):
        shutil.copy(source, folder)
    if bytecode:
        _run(python313(), "-m", "compileall", "-q", "-j", "0", str(folder))
    return [folder]


@cache
def runtime() -> Path:
    """The folder with Lambda's runtime and what it brings along."""
    pins = (ROOT / "requirements-dev.txt").read_text().split()
    return _installed(
        "runtime", "\n".join(pin for pin in pins if pin.startswith(("awslambdaric==", "boto3==")))
    )


@cache
def python313() -> str:
    """Lambda's version of Python, without the packages of a virtual environment that it may be found in.

    A package that ours would use if it were there, as PyJWT would use cryptography, must not be found.
    """
    found = _run("sh", str(ROOT / "layers" / "dependencies" / "python313")).strip()
    return _run(found, "-c", "import sys; print(sys._base_executable)").strip()


def _installed(name: str, requirements: str) -> Path:
    folder = KEPT / f"{name}-{hashlib.sha256(requirements.encode()).hexdigest()[:12]}"
    if not (folder / "installed").exists():
        print(f"Installing the {name}…", file=sys.stderr)
        pins = [line for line in requirements.splitlines() if line and not line.startswith("#")]
        _run(
            *(python313(), "-m", "pip", "install", "--quiet", "--upgrade", "--no-compile"),
            *("--target", str(folder), *pins),
        )
        if name == "runtime":  # as on Lambda
            _run(python313(), "-m", "compileall", "-q", "-j", "0", str(folder))
        (folder / "installed").touch()
    return folder


def _run(*command: str) -> str:
    environment = {"AWS_DEFAULT_REGION": "us-east-1", "SAM_CLI_TELEMETRY": "0"} | os.environ
    ran = subprocess.run(  # noqa: S603 - pip, sam and the project's own
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        sys.exit(ran.stderr or ran.stdout)
    return ran.stdout
