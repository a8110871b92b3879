"""The stacks of `make run` and `make sam-local`, with data of their own, started once for all their tests."""

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.docker import NoDocker
from local.sam_local import SamLocal
from local.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The running stack; tests may stop and start its services, and leave them running."""
    data = tmp_path_factory.mktemp("stack")
    with _log_in(data) as log, Stack(data=data, log=log) as running:
        yield running


@pytest.fixture(scope="session")
def sam_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SamLocal]:
    """The built functions in SAM CLI's containers; without Docker, tests that ask for them are skipped."""
    data = tmp_path_factory.mktemp("sam-local")
    with _log_in(data) as log:
        running = SamLocal(data=data, log=log)
        try:
            running.start()
        except NoDocker as error:
            pytest.skip(str(error))
        yield running
        running.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the summary have one line with a count for all tests that a machine without Docker skips."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple) and "Docker" in report.longrepr[2]:
        report.longrepr = (__file__, 0, report.longrepr[2])
    return report


@contextmanager
def _log_in(data: Path) -> Iterator[Callable[[str], None]]:
    writing = threading.Lock()
    with (data / "functions.log").open("w") as file:

        def log(line: str) -> None:
            with writing:
                print(line, file=file, flush=True)

        yield log
