"""Rotating the keys of access tokens without an interruption.

A key is published one rotation before it signs, so that every function has read it by then. The key that
signed before stays for one more rotation, so that its last tokens can be verified.
https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared.platform import logs, metrics, settings

KEY_BYTES = 48  # random bytes of a new key; HS256 wants 32 at the least (RFC 7518 §3.2)


class RotationImpossible(RuntimeError):
    """The step does not fit the state of the secret."""


def rotated(keys: Mapping[str, str]) -> dict[str, str]:
    """The keys after a rotation: [signing, published, earlier] becomes [published, new, signing]."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    signing, *others = keys
    published = others[0] if others else signing
    return {published: keys[published], now: secrets.token_urlsafe(KEY_BYTES), signing: keys[signing]}


def report_age(secret_id: str) -> float:
    """Put the metric AccessTokenKeysAge (seconds since a rotation) and return it. Raises boto3's errors.

    An alarm can notice that a daily value is too high, but not that a rotation did not happen.
    """
    import boto3  # the Lambda runtime's own, and slow to load

    described = boto3.client("secretsmanager").describe_secret(SecretId=secret_id)
    renewed: datetime = described.get("LastRotatedDate") or described["CreatedDate"]
    age = round((datetime.now(UTC) - renewed).total_seconds())
    metrics.put({"AccessTokenKeysAge": (age, "Seconds")})
    return age


def do_step(step: str, secret_id: str, version: str) -> None:
    """Do a step of the rotation to `version` of the secret; each is idempotent.

    Raises RotationImpossible, settings.MissingSetting for invalid keys, and boto3's errors.
    """
    import boto3  # the Lambda runtime's own, and slow to load

    client = boto3.client("secretsmanager")
    stages = client.describe_secret(SecretId=secret_id)["VersionIdsToStages"]
    if version not in stages:
        raise RotationImpossible(f"the secret has no version {version}")
    if "AWSCURRENT" in stages[version]:
        return
    if step == "createSecret":
        _create(client, secret_id, version)
    elif step == "testSecret":
        settings.keys_of(_read(client, secret_id, VersionId=version))
    elif step == "finishSecret":
        current = next(known for known, labels in stages.items() if "AWSCURRENT" in labels)
        client.update_secret_version_stage(
            SecretId=secret_id,
            VersionStage="AWSCURRENT",
            MoveToVersionId=version,
            RemoveFromVersionId=current,
        )
        logs.logger().info("access token keys rotated", version=version)
    elif step != "setSecret":  # no other service has the keys
        raise RotationImpossible(f"there is no step {step!r}")


def _create(client: Any, secret_id: str, version: str) -> None:
    try:
        _read(client, secret_id, VersionId=version, VersionStage="AWSPENDING")
    except client.exceptions.ResourceNotFoundException:
        keys = settings.keys_of(_read(client, secret_id, VersionStage="AWSCURRENT"))
        client.put_secret_value(
            SecretId=secret_id,
            ClientRequestToken=version,
            SecretString=json.dumps(rotated(keys)),
            VersionStages=["AWSPENDING"],
        )


def _read(client: Any, secret_id: str, **version: str) -> str:
    return str(client.get_secret_value(SecretId=secret_id, **version)["SecretString"])
