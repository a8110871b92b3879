"""One deadline for a request: whatever hangs, and however much of it, the answer comes in time."""

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from local.servers.postgres import Postgres
from local.servers.valkey import Valkey
from shared.accounts.access_tokens import Caller
from shared.platform import deadlines
from tests.calls import Answer, call, token
from tests.hostile_catalog import HostileCatalog
from tests.integration.conftest import cold_start
from tests.integration.hindered import HinderedServer

REQUEST = 0.4  # seconds, in place of four: there are many of these tests
IN_TIME = 1.5  # seconds over it: a busy machine takes some, and the timeouts without a deadline are longer


@pytest.fixture
def all_hindered(
    migrated_postgres: Postgres,
    valkey: Valkey,
    catalog: HostileCatalog,
    environment: pytest.MonkeyPatch,
) -> Iterator[list[HinderedServer]]:
    """All that the service stands on, each behind a proxy that can hinder it."""
    with (
        HinderedServer(migrated_postgres.url) as postgres,
        HinderedServer(valkey.url) as cache,
        HinderedServer(catalog.url) as hindered,
    ):
        environment.setenv("DATABASE_URL", postgres.url)
        environment.setenv("REDIS_URL", cache.url)
        environment.setenv("CATALOG_URL", hindered.url)
        environment.setattr(deadlines, "REQUEST", REQUEST)
        cold_start()
        yield [postgres, cache, hindered]
        cold_start()


REQUESTS: dict[str, dict[str, Any]] = {
    "get_health": {},
    "list_products": {},
    "get_product": {},
    "list_favorites": {},
    "add_favorite": {"path": {"product_id": "7"}},
    "login": {},
}
CASES = [(function, connected, "silent") for function in REQUESTS for connected in (False, True)]
CASES += [(function, True, "trickling") for function in ("get_health", "list_products", "add_favorite")]


@pytest.mark.parametrize(("function", "connected", "how"), CASES)
def test_request_is_503_in_time_while_all_hangs_and_answered_right_after(
    all_hindered: list[HinderedServer], ana: Caller, function: str, connected: bool, how: str
) -> None:
    authorization = token(ana.client_id)

    def timed() -> Answer:
        started = time.monotonic()
        changes = REQUESTS[function]
        if "favorite" in function:
            changes = changes | {"authorization": authorization}
        answer = call(function, **changes)
        assert time.monotonic() - started < REQUEST + IN_TIME
        return answer

    if not connected:
        cold_start()
    for server in all_hindered:
        setattr(server, how, True)
    answer = timed()
    assert answer.status == 503
    if function != "get_health":
        assert answer.problem in ("database-unavailable", "catalog-unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
    for server in all_hindered:
        setattr(server, how, False)
    # Of the cache and the catalog an environment keeps away for a moment; only product routes need them.
    assert timed().status in ((200, 503) if "product" in function else (200, 201, 401))


# ── The deadline itself ───────────────────────────────────────────────────────────────────────────────────


def test_deadline_within_another_ends_no_later() -> None:
    assert deadlines.left(7) == 7
    with deadlines.within(1):
        with deadlines.within(5):
            assert 0.9 < deadlines.left(7) <= 1
        with deadlines.within(0.5):
            assert deadlines.left(7) <= 0.5
        assert deadlines.left(7) > 0.9
    assert deadlines.left(7) == 7
    with deadlines.within(-1):
        assert deadlines.left(7) == 0


def test_function_stops_before_lambda_stops_it() -> None:
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 30_000)
    assert deadlines.of_function(context, spare=5) == 25
    assert deadlines.of_function(None, spare=5) == float("inf")


def test_call_returns_or_raises_what_its_work_does() -> None:
    assert deadlines.call(lambda: 42, 1) == 42
    with pytest.raises(ZeroDivisionError):
        deadlines.call(lambda: 1 / 0, 1)


def test_result_of_a_call_that_comes_too_late_is_discarded() -> None:
    gave_up = threading.Event()
    discarded: list[int] = []
    done = threading.Event()

    def work() -> int:
        gave_up.wait(5)
        return 42

    def discard(result: int) -> None:
        discarded.append(result)
        done.set()

    with pytest.raises(TimeoutError):
        deadlines.call(work, 0.05, discard=discard)
    gave_up.set()
    assert done.wait(5)
    assert discarded == [42]
