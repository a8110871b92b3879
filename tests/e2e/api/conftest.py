"""What the tests of the HTTP contract ask: `make run`, then `make sam-local`, or a service somewhere else.

Where SAM CLI's gateway is not like AWS's, `service.Gateway` says how. With E2E_BASE_URL (and E2E_ADMIN_EMAIL,
E2E_ADMIN_PASSWORD, E2E_ACCESS_TOKEN_KEYS) the tests ask that address alone, except those marked `faults`,
which stop and start what is behind the stack of `make run`.
Those marked `smoke` are fit for a service that others use (`make smoke`).
"""

import json
import os
from collections.abc import Iterator

import httpx
import pytest

from local.sam_local import SamLocal
from local.stack import Stack
from tests.e2e.api.service import SAM_LOCAL_START_API, Customer, Gateway, Service, gateway_of

MAKE_RUN, SAM_LOCAL = "make run", "make sam-local"
ELSEWHERE = os.environ.get("E2E_BASE_URL", "").rstrip("/")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def is_for_another_stack(item: pytest.Item) -> bool:
        """Whether it stops services that are not ours, or asks the same functions in containers once more."""
        stacks = item.callspec.params.values() if hasattr(item, "callspec") else ()
        return item.get_closest_marker("faults") is not None and (bool(ELSEWHERE) or SAM_LOCAL in stacks)

    items[:] = [item for item in items if not is_for_another_stack(item)]
    items.sort(key=lambda item: "in_no_log" in item.name)  # it reads the logs of all the others


@pytest.fixture(scope="session", params=[ELSEWHERE] if ELSEWHERE else [MAKE_RUN, SAM_LOCAL])
def service(request: pytest.FixtureRequest) -> Service:
    if ELSEWHERE:
        keys = os.environ.get("E2E_ACCESS_TOKEN_KEYS")
        return Service(
            url=ELSEWHERE,
            admin_email=os.environ.get("E2E_ADMIN_EMAIL", ""),
            admin_password=os.environ.get("E2E_ADMIN_PASSWORD", ""),
            access_token_keys=json.loads(keys) if keys else None,
            gateway=gateway_of(httpx.get(ELSEWHERE)),
        )
    stack: Stack | SamLocal = request.getfixturevalue("stack" if request.param == MAKE_RUN else "sam_local")
    return Service(
        url=stack.url,
        admin_email=stack.settings["ADMIN_EMAIL"],
        admin_password=stack.admin_password,
        access_token_keys=json.loads(stack.settings["ACCESS_TOKEN_KEYS"]),
        gateway=SAM_LOCAL_START_API if request.param == SAM_LOCAL else Gateway(),
    )


@pytest.fixture(scope="session")
def visitor(service: Service) -> Iterator[httpx.Client]:
    """Somebody who is not logged in."""
    with service.visitor() as http:
        yield http


@pytest.fixture(scope="session")
def admin(service: Service) -> Iterator[httpx.Client]:
    tokens = service.log_in(service.admin_email, service.admin_password)
    with service.visitor(tokens["access_token"]) as http:
        yield http


@pytest.fixture
def customer(service: Service) -> Iterator[Customer]:
    customer = service.register()
    with customer.http:
        yield customer
