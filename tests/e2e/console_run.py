"""A command of `python -m local` as a person at a console runs it."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.servers.postgres import Postgres
from local.servers.services import wait_until
from local.stack import ROOT


class ConsoleRun:
    """`python -m local <command>` on a free port, with data of its own in `folder`; its console is a file."""

    def __init__(self, command: str, folder: Path, *, ready: float, **settings: str) -> None:
        self.data = folder / "data"
        self.console = folder / "console"
        self._ready = ready  # seconds until it has to be
        with self.console.open("w") as file:
            self.process = subprocess.Popen(  # noqa: S603 - a list, no shell
                [sys.executable, "-m", "local", command, "--port", "0"],
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, "LOCAL_DATA": str(self.data), **settings},
            )

    def wait_until_ready(self) -> str:
        wait_until(lambda: "\nReady: " in self.text() or self.process.poll() is not None, timeout=self._ready)
        match = re.search(r"^Ready: (http\S+)$", self.text(), re.MULTILINE)
        assert match, self.text()
        return match[1]

    def text(self) -> str:
        return self.console.read_text()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@contextmanager
def service(**settings: str) -> Iterator[tuple[ConsoleRun, str, str]]:
    """`make run` with data that is forgotten afterwards; its address, and that of its database."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)  # PostgreSQL may have to run as another user
        with Postgres(folder / "servers" / "postgres", durable=False) as postgres:
            run = ConsoleRun("run", folder, ready=90, DATABASE_URL=postgres.url, **settings)
            try:
                yield run, run.wait_until_ready(), postgres.url
            finally:
                run.close()
