import time

import pytest

from local.servers import service_watch
from local.servers.service_watch import ServiceWatch
from local.servers.services import wait_until


def test_a_service_that_ends_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_watch, "_EVERY", 0.01)
    exit_code: int | None = None
    lines: list[str] = []
    watch = ServiceWatch({"Valkey": lambda: exit_code}, lines.append)
    assert not wait_until(lambda: lines != [], timeout=0.1)
    exit_code = -9
    assert wait_until(lambda: lines != [], timeout=5)
    time.sleep(0.05)
    watch.stop()
    assert [line.split(" (")[0] for line in lines] == ["Valkey has ended"]
