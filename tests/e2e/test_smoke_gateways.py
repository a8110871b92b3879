"""`make smoke` knows by the answer to an unknown route whose gateway it asks."""

import httpx
import pytest

from tests.e2e.api.service import SAM_LOCAL_START_API, Gateway, gateway_of


@pytest.mark.parametrize("gateway", [Gateway(), SAM_LOCAL_START_API])
def test_a_gateway_is_known_by_how_it_refuses_an_unknown_route(gateway: Gateway) -> None:
    status, body = gateway.no_route
    assert gateway_of(httpx.Response(status, json=body)) == gateway
