import threading

import pytest

from local.servers import service_watch
from local.servers.service_watch import ServiceWatch


class Service:
    exit_code: int | None = None


def test_a_service_that_ends_is_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_watch, "_EVERY", 0.01)
    service, lines, told = Service(), [], threading.Event()

    def log(line: str) -> None:
        lines.append(line)
        told.set()

    watch = ServiceWatch({"Valkey": lambda: service.exit_code}, log)
    assert not told.wait(0.1)
    service.exit_code = -9
    assert told.wait(5)
    threading.Event().wait(0.1)
    watch.stop()
    assert lines == [
        "Valkey has ended (exit code -9). Its log is in the data folder; stop with Ctrl-C and start anew."
    ]
