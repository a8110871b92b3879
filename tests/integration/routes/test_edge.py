"""Behind CloudFront: whose address counts, and how long it may keep a product."""

import re
from typing import Any

import pytest

from shared.accounts import registration
from shared.errors import EmailTaken
from shared.web import request
from tests.calls import call, sample
from tests.hostile_catalog import HostileCatalog

PROOF = "a proof that only CloudFront and the functions know"
CONNECTION = sample("create_client")["requestContext"]["http"]["sourceIp"]


@pytest.mark.parametrize(
    ("expected", "proof", "viewer", "counted"),
    [
        (PROOF, PROOF, "198.51.100.10:46532", "198.51.100.10"),
        (PROOF, PROOF, "2001:db8::1:46532", "2001:db8::1"),
        (PROOF, PROOF, "[2001:db8::1]:46532", "2001:db8::1"),
        (PROOF, PROOF + "?", "198.51.100.10:46532", CONNECTION),
        (PROOF, "caf\u00e9", "198.51.100.10:46532", CONNECTION),
        (PROOF, "", "198.51.100.10:46532", CONNECTION),
        (PROOF, PROOF, "", CONNECTION),
        ("", "", "198.51.100.10:46532", CONNECTION),
        ("", PROOF, "198.51.100.10:46532", CONNECTION),
    ],
)
def test_the_viewers_address_counts_only_with_the_proof(
    monkeypatch: pytest.MonkeyPatch, expected: str, proof: str, viewer: str, counted: str
) -> None:
    monkeypatch.setenv("EDGE_CREDENTIALS", expected)
    event = sample("create_client")
    event["headers"] |= {"x-edge-credentials": proof, "cloudfront-viewer-address": viewer}
    assert request.source_ip(event) == counted


def test_a_registration_through_the_edge_counts_for_who_is_behind_it(
    environment: pytest.MonkeyPatch,
) -> None:
    counted: list[str] = []

    def register(_: Any, *, source_ip: str) -> None:
        counted.append(source_ip)
        raise EmailTaken("taken")

    environment.setattr(registration, "register", register)
    environment.setenv("EDGE_CREDENTIALS", PROOF)
    for proof in (PROOF, "another"):
        headers = {"x-edge-credentials": proof, "cloudfront-viewer-address": "192.0.2.7:1"}
        assert call("create_client", headers=headers).status == 409
    assert counted == ["192.0.2.7", CONNECTION]


@pytest.mark.parametrize("folder", ["get_product", "list_products"])
def test_the_edge_keeps_a_product_for_what_is_left_of_its_lifetime(
    environment: pytest.MonkeyPatch, catalog: HostileCatalog, folder: str
) -> None:
    assert environment
    assert catalog
    for _ in range(2):
        headers = call(folder, headers={"x-edge": "1"}).headers
        kept = {
            name: int(seconds) for name, seconds in re.findall(r"([a-z-]+)=(\d+)", headers["Cache-Control"])
        }
        left = kept["max-age"] - int(headers["Age"])
        assert kept["s-maxage"] in {left, left - 1}  # both are rounded down
    assert "s-maxage" not in call(folder).headers["Cache-Control"]
