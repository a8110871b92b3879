"""Rotating the keys, with moto for Secrets Manager."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import boto3
import pytest
from moto import mock_aws

from functions.rotate_access_token_keys.handler import lambda_handler
from shared.accounts import access_tokens, key_rotation
from shared.accounts.key_rotation import RotationImpossible, rotated
from shared.platform.settings import MissingSetting
from tests.calls import ANA, caller, sample

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
FIRST = "f" * 64  # as the template has it generated


class Keys:
    """The secret, and Secrets Manager rotating it."""

    def __init__(self) -> None:
        self.client: Any = boto3.client("secretsmanager")
        made = self.client.create_secret(Name=str(uuid4()), SecretString=json.dumps({"first": FIRST}))
        self.arn: str = made["ARN"]

    def begin(self) -> str:
        version = str(uuid4())
        self.client.put_secret_value(
            SecretId=self.arn, ClientRequestToken=version, SecretString="-", VersionStages=["AWSPENDING"]
        )
        # As there: the version has its id and its label, and no content yet.
        del self.stored().versions[version]["secret_string"]
        return version

    def step(self, step: str, version: str) -> None:
        event = sample("rotate_access_token_keys")
        lambda_handler(event | {"Step": step, "SecretId": self.arn, "ClientRequestToken": version}, None)

    def rotate(self) -> None:
        version = self.begin()
        for step in STEPS:
            self.step(step, version)

    @property
    def now(self) -> dict[str, str]:
        current = self.client.get_secret_value(SecretId=self.arn, VersionStage="AWSCURRENT")
        keys: dict[str, str] = json.loads(current["SecretString"])
        return keys

    def stored(self) -> Any:
        from moto.secretsmanager.models import secretsmanager_backends

        return secretsmanager_backends["123456789012"]["us-east-1"].secrets[self.arn]


@pytest.fixture(scope="module")
def _aws() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("DEFAULT_REGION", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
            patch.setenv(f"AWS_{name}", "us-east-1")
        yield


@pytest.fixture
def keys(_aws: None) -> Keys:
    return Keys()


def test_the_keys_are_as_old_as_their_making_or_their_last_rotation(
    keys: Keys, capsys: pytest.CaptureFixture[str]
) -> None:
    keys.stored().created_date -= 40 * 86_400
    lambda_handler({"SecretId": keys.arn}, None)
    line = json.loads(capsys.readouterr().out)
    assert line["AccessTokenKeysAge"] == pytest.approx(40 * 86_400, abs=60)
    (metric,) = line["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    assert metric == {"Name": "AccessTokenKeysAge", "Unit": "Seconds"}
    keys.stored().rotation_requested = True
    keys.stored().last_rotation_date = keys.stored().created_date + 39 * 86_400
    assert key_rotation.report_age(keys.arn) == pytest.approx(86_400, abs=60)


def test_the_first_rotation_publishes_a_key_and_goes_on_signing_with_the_first(keys: Keys) -> None:
    keys.rotate()
    (signing, secret), (published, new) = keys.now.items()
    assert (signing, secret) == ("first", FIRST)
    assert published.startswith("20")
    assert len(new) >= 64
    assert new != FIRST


def test_a_key_signs_one_rotation_after_it_was_published_and_verifies_one_rotation_more(keys: Keys) -> None:
    keys.rotate()
    published = list(keys.now)[1]
    keys.rotate()
    assert next(iter(keys.now)) == published
    assert list(keys.now)[2] == "first"
    keys.rotate()
    assert list(keys.now)[2] == published
    keys.rotate()
    assert published not in keys.now
    assert len(keys.now) == 3


def test_tokens_of_before_and_after_a_rotation_are_good_for_who_has_not_read_the_new_keys(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        old = json.dumps(keys.now)
        monkeypatch.setenv("ACCESS_TOKEN_KEYS", old)
        token_of_before = access_tokens.issue(caller())
        keys.rotate()
        monkeypatch.setenv("ACCESS_TOKEN_KEYS", json.dumps(keys.now))
        token_of_after = access_tokens.issue(caller())
        assert access_tokens.verify(token_of_before).client_id == ANA
        if len(json.loads(old)) > 1:
            monkeypatch.setenv("ACCESS_TOKEN_KEYS", old)
            assert access_tokens.verify(token_of_after).client_id == ANA


def test_only_the_last_step_changes_the_keys_and_a_repeated_one_changes_nothing_more(keys: Keys) -> None:
    version = keys.begin()
    keys.step("createSecret", version)
    once = keys.client.get_secret_value(SecretId=keys.arn, VersionId=version)["SecretString"]
    keys.step("createSecret", version)
    assert keys.client.get_secret_value(SecretId=keys.arn, VersionId=version)["SecretString"] == once
    for step in STEPS[:3]:
        keys.step(step, version)
        assert keys.now == {"first": FIRST}
    for step in (*STEPS, *STEPS):
        keys.step(step, version)
    assert keys.now == json.loads(once)


def test_keys_that_nobody_could_use_do_not_become_the_current_ones(keys: Keys) -> None:
    version = keys.begin()
    keys.client.put_secret_value(
        SecretId=keys.arn, ClientRequestToken=str(uuid4()), SecretString='{"a": "short"}'
    )
    with pytest.raises(MissingSetting, match="shorter than 32 bytes"):
        keys.step("createSecret", version)


def test_a_version_or_a_step_that_is_unknown_is_refused(keys: Keys) -> None:
    with pytest.raises(RotationImpossible, match="no version"):
        keys.step("createSecret", str(uuid4()))
    with pytest.raises(RotationImpossible, match="no step 'paint'"):
        keys.step("paint", keys.begin())


def test_every_new_key_is_another() -> None:
    made = {list(rotated({"first": FIRST}).values())[1] for _ in range(50)}
    assert len(made) == 50
    assert min(map(len, made)) >= key_rotation.KEY_BYTES
