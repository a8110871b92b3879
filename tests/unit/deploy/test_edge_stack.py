"""The stack before the API: what CloudFront keeps, what it passes on, and whom WAF stops."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from samcli.yamlhelper import yaml_parse

from tests.documents import ROOT

EDGE = ROOT / "docs" / "edge.yaml"
CFN_LINT = str(Path(sys.executable).with_name("cfn-lint"))


@pytest.fixture(scope="module")
def edge() -> dict[str, Any]:
    resources = yaml_parse(EDGE.read_text())["Resources"]
    return {name: resource["Properties"] for name, resource in resources.items()}


@pytest.mark.slow
def test_the_edge_has_no_fault_that_cfn_lint_knows() -> None:
    linted = subprocess.run([CFN_LINT, str(EDGE)], capture_output=True, text=True, check=False)  # noqa: S603
    assert linted.stdout + linted.stderr == ""
    assert max(map(len, EDGE.read_text().splitlines())) <= 140


def test_only_products_are_kept_by_their_query_and_their_own_time(edge: dict[str, Any]) -> None:
    distribution = edge["Distribution"]["DistributionConfig"]
    kept = {it["PathPattern"]: it["CachePolicyId"] for it in distribution["CacheBehaviors"]}
    assert kept == {"/products": {"Ref": "Products"}, "/products/*": {"Ref": "Products"}}
    policy = edge["Products"]["CachePolicyConfig"]
    assert (policy["MinTTL"], policy["DefaultTTL"]) == (0, 0)
    key = policy["ParametersInCacheKeyAndForwardedToOrigin"]
    assert key["QueryStringsConfig"] == {"QueryStringBehavior": "all"}
    assert key["HeadersConfig"]["Headers"] == ["origin"]  # neither If-None-Match nor Authorization
    disabled = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
    assert distribution["DefaultCacheBehavior"]["CachePolicyId"] == disabled


def test_the_proof_goes_only_where_the_viewers_address_does(edge: dict[str, Any]) -> None:
    distribution = edge["Distribution"]["DistributionConfig"]
    origins = {
        it["Id"]: {h["HeaderName"] for h in it["OriginCustomHeaders"]} for it in distribution["Origins"]
    }
    assert origins == {"api": {"x-edge-credentials"}, "products": {"x-edge"}}
    forwarded = edge["Everything"]["OriginRequestPolicyConfig"]["HeadersConfig"]
    assert forwarded["Headers"] == ["CloudFront-Viewer-Address"]


def test_waf_counts_by_address_and_accounts_more_strictly(edge: dict[str, Any]) -> None:
    limits = {rule["Name"]: rule["Statement"]["RateBasedStatement"] for rule in edge["Rules"]["Rules"]}
    assert {name: rule["Limit"] for name, rule in limits.items()} == {"accounts": 100, "everything": 2000}
    assert {rule["EvaluationWindowSec"] for rule in limits.values()} == {300}
    assert {rule["AggregateKeyType"] for rule in limits.values()} == {"IP"}
    scope = str(limits["accounts"]["ScopeDownStatement"])
    assert all(word in scope for word in ("/auth/", "/clients", "POST"))
