"""The stack of `make run`, on free ports and with data of its own, started once for all end-to-end tests."""

import threading
from collections.abc import Iterator

import pytest

from local.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The running stack; tests may stop and start its services, and leave them running."""
    data = tmp_path_factory.mktemp("stack")
    writing = threading.Lock()
    with (data / "functions.log").open("w") as file:

        def log(line: str) -> None:
            with writing:
                print(line, file=file, flush=True)

        with Stack(data=data, log=log) as running:
            yield running
