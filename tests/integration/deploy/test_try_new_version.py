"""A new version is tried once before it gets traffic: CodeDeploy's hook, with stand-ins for AWS."""

import io
import json
from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import boto3
import psycopg
import pytest
from botocore.exceptions import ReadTimeoutError

from functions.try_new_version import handler
from local.servers.valkey import Valkey
from tests.calls import sample
from tests.unit.deploy.sam_template import of_type, transform
from tests.unit.documents.test_names import FOLDERS, resource_of
from tools import samples


class Throttled(Exception):
    """What Lambda answers when a function has no execution environment left."""


class Aws:
    """CodeDeploy, and a Lambda whose functions are those of this folder."""

    exceptions = SimpleNamespace(TooManyRequestsException=Throttled)

    def __init__(self) -> None:
        self.tried = "get_docs"
        self.statuses: list[str] = []
        self.invoked: list[str] = []
        self.run: Callable[[dict[str, Any]], dict[str, Any]] = self._run
        self.kind = "string"

    def get_deployment(self, *, deploymentId: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        assert deploymentId == sample("try_new_version")["DeploymentId"]
        properties = {"Name": f"favorites-dev-{self.tried}", "Alias": "live", "CurrentVersion": "1"}
        resource = {"Type": "AWS::Lambda::Function", "Properties": properties | {"TargetVersion": "2"}}
        content = json.dumps({"version": 0.0, "Resources": [{resource_of(self.tried): resource}]})
        return {"deploymentInfo": {"revision": {self.kind: {"content": content}}}}

    def put_lifecycle_event_hook_execution_status(self, **told: str) -> None:
        assert told["lifecycleEventHookExecutionId"]
        self.statuses.append(told["status"])

    def invoke(self, *, FunctionName: str, Qualifier: str, Payload: str) -> dict[str, Any]:  # noqa: N803
        assert Qualifier == "2"
        self.invoked.append(FunctionName)
        return self.run(json.loads(Payload))

    def _run(self, event: dict[str, Any]) -> dict[str, Any]:
        try:
            result = import_module(f"functions.{self.tried}.handler").lambda_handler(event, None)
        except Exception as error:  # noqa: BLE001 - as Lambda does
            return payload({"errorType": type(error).__name__}) | {"FunctionError": "Unhandled"}
        return payload(result)

    def deploy(self, folder: str = "get_docs") -> str:
        self.tried = folder
        told = handler.lambda_handler(sample("try_new_version"), None)
        assert self.statuses[-1] == told
        return told


def payload(result: Any) -> dict[str, Any]:
    return {"Payload": io.BytesIO(json.dumps(result).encode())}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    aws = Aws()
    monkeypatch.setattr(boto3, "client", lambda *_, **__: aws)
    monkeypatch.setattr(handler, "PACE", 0.0)
    return aws


def shifted() -> list[str]:
    template = transform()
    aliases = of_type(template["Resources"], "AWS::CodeDeploy::DeploymentGroup")
    return [folder for folder in FOLDERS if f"{resource_of(folder)}DeploymentGroup" in aliases]


def test_the_committed_events_are_those_of_the_folder_made_harmless() -> None:
    assert samples.FILE.read_text(encoding="utf-8") == samples.text(), "run `make generate` and commit it"
    assert not any("body" in event or event.get("Records") for event in json.loads(samples.text()).values())


def test_every_version_passes_and_changes_nothing(
    aws: Aws, environment: pytest.MonkeyPatch, db: psycopg.Connection, valkey: Valkey
) -> None:
    environment.setenv("EVENT_BUS_NAME", "bus")
    assert valkey.url
    tables = ("clients", "favorites", "outbox", "products", "sessions")
    folders = shifted()
    assert len(folders) > 20
    for folder in folders:
        assert aws.deploy(folder) == "Succeeded", folder
    assert len(aws.invoked) == len(folders)
    for table in tables:
        assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)  # noqa: S608 - ours


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (payload({"errorType": "Runtime.ImportModuleError"}) | {"FunctionError": "Unhandled"}, "Failed"),
        (payload({"statusCode": 500}), "Failed"),
        (payload({"statusCode": 503}), "Succeeded"),
        (payload({"statusCode": 401}), "Succeeded"),
        (payload(None), "Succeeded"),
    ],
)
def test_what_fails_to_answer_gets_no_traffic(aws: Aws, answer: dict[str, Any], status: str) -> None:
    aws.run = lambda _: answer
    assert aws.deploy() == status


def test_what_works_for_long_has_been_imported(aws: Aws) -> None:
    def work(_: dict[str, Any]) -> dict[str, Any]:
        raise ReadTimeoutError(endpoint_url="https://lambda")

    aws.run = work
    assert aws.deploy("warm_product_cache") == "Succeeded"


def test_a_busy_function_is_tried_again_and_not_for_ever(aws: Aws) -> None:
    answers: list[dict[str, Any] | None] = [payload({"statusCode": 200}), None]

    def busy(_: dict[str, Any]) -> dict[str, Any]:
        answer = answers.pop() if answers else None
        if answer is None:
            raise Throttled
        return answer

    aws.run = busy
    assert aws.deploy() == "Succeeded"
    assert aws.deploy() == "Failed"
    assert len(aws.invoked) == 2 + handler.THROTTLED_TRIES


def test_a_revision_in_the_other_form_is_read_and_an_unknown_one_fails_the_deploy(aws: Aws) -> None:
    aws.kind = "appSpecContent"
    assert aws.deploy() == "Succeeded"
    aws.kind = "s3Location"
    assert aws.deploy() == "Failed"


def test_the_hook_answers_before_its_own_time_is_over() -> None:
    template = transform()
    timeout = template["Resources"]["TryNewVersionFunction"]["Properties"]["Timeout"]
    assert timeout > handler.LONGEST_TRY + handler.THROTTLED_TRIES * handler.PACE
