"""The endpoint of Lambda and EventBridge, asked with boto3 as a developer would."""

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError

from local.aws.aws_endpoint import AwsEndpoint
from local.aws.event_bus import EventBus
from local.aws.functions import Functions
from local.aws.template import Template
from local.servers.services import wait_until

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Resources:
  ReadLetterFunction:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Timeout: 10
      CodeUri: functions/read_letter/
      Handler: functions.read_letter.handler.lambda_handler
      Events:
        Queue:
          Type: SQS
          Properties: {Queue: !GetAtt Letters.Arn, FunctionResponseTypes: [ReportBatchItemFailures]}
  Letters:
    Type: AWS::SQS::Queue
    Properties: {RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 2}}
  Dead: {Type: AWS::SQS::Queue}
  Rule:
    Type: AWS::Events::Rule
    Properties:
      EventPattern: {source: [post]}
      Targets: [{Id: Letters, Arn: !GetAtt Letters.Arn}]
"""

HANDLER = """
import http.client
import json

def lambda_handler(event, context):
    if "Records" not in event:
        return {"got": event, "half": 1 / event["divisor"]}
    failed = []
    for record in event["Records"]:
        letter = json.loads(record["body"])["detail"]
        print("read", letter["text"])
        if letter["text"] == "poison":
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
"""


class Endpoint:
    """A project of one function behind the endpoint, and the two clients of boto3."""

    def __init__(self, root: Path) -> None:
        self.lines: list[str] = []
        folder = root / "functions" / "read_letter"
        folder.mkdir(parents=True)
        (root / "template.yaml").write_text(TEMPLATE)
        (folder / "handler.py").write_text(HANDLER)
        template = Template(root / "template.yaml", {})
        self.functions = Functions(template, log=self.lines.append)
        self.bus = EventBus(
            template.rules, template.queues, self.functions.invoke, self.lines.append, duplicates=0
        )
        self.endpoint = AwsEndpoint()
        self.url = self.endpoint.start()
        self.endpoint.serve(self.functions, self.bus)
        session = boto3.Session("key", "secret", region_name="us-east-1")
        self.events: Any = session.client("events", endpoint_url=self.url)
        self.lambdas: Any = session.client("lambda", endpoint_url=self.url)

    def close(self) -> None:
        self.events.close()
        self.lambdas.close()
        self.endpoint.stop()
        self.bus.stop()
        self.functions.stop()


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    endpoint = Endpoint(tmp_path_factory.mktemp("endpoint"))
    yield endpoint
    endpoint.close()


def entry(**changes: str) -> dict[str, str]:
    return {"Source": "post", "DetailType": "Letter", "Detail": '{"text": "hello"}', **changes}


def test_an_event_reaches_the_function_of_the_rules_queue(endpoint: Endpoint) -> None:
    answer = endpoint.events.put_events(Entries=[entry(Detail='{"text": "one"}'), entry(Source="other")])
    assert answer["FailedEntryCount"] == 0
    assert len({result["EventId"] for result in answer["Entries"]}) == 2
    assert wait_until(lambda: "read_letter | read one" in endpoint.lines, timeout=10)
    assert 'event | post Letter {"text": "one"}' in endpoint.lines
    assert 'event (no rule takes it) | other Letter {"text": "hello"}' in endpoint.lines


def test_entries_that_cannot_be_are_refused_one_by_one(endpoint: Endpoint) -> None:
    answer = endpoint.events.put_events(Entries=[entry(Detail="[]"), entry(), entry(Detail="{")])
    assert answer["FailedEntryCount"] == 2
    assert [result.get("ErrorCode") for result in answer["Entries"]] == [
        "MalformedDetail",
        None,
        "MalformedDetail",
    ]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"Entries": []}', b'{"Entries": [1]}', b"\xff"])
def test_a_call_that_is_none_is_refused(endpoint: Endpoint, body: bytes) -> None:
    answer = httpx.post(endpoint.url, content=body, headers={"X-Amz-Target": "AWSEvents.PutEvents"})
    assert (answer.status_code, answer.json()["__type"]) == (400, "ValidationException")


@pytest.mark.parametrize("name", ["ReadLetterFunction", "read_letter"])
def test_a_function_is_invoked_by_its_name_or_its_folder(endpoint: Endpoint, name: str) -> None:
    answer = endpoint.lambdas.invoke(FunctionName=name, Payload=b'{"divisor": 2}')
    assert answer["StatusCode"] == 200
    assert json.load(answer["Payload"]) == {"got": {"divisor": 2}, "half": 0.5}


def test_an_exception_is_marked_as_the_functions_error(endpoint: Endpoint) -> None:
    answer = endpoint.lambdas.invoke(FunctionName="read_letter", Payload=b'{"divisor": 0}')
    assert answer["FunctionError"] == "Unhandled"
    assert json.load(answer["Payload"])["errorType"] == "ZeroDivisionError"


def test_invocations_that_nobody_waits_for(endpoint: Endpoint) -> None:
    payload = json.dumps({"Records": [{"body": '{"detail": {"text": "later"}}', "messageId": "1"}]})
    for how, status in (("Event", 202), ("DryRun", 204)):
        answer = endpoint.lambdas.invoke(FunctionName="read_letter", InvocationType=how, Payload=payload)
        assert answer["StatusCode"] == status
    assert wait_until(lambda: "read_letter | read later" in endpoint.lines, timeout=10)


@pytest.mark.parametrize(
    ("name", "payload", "code"),
    [
        ("NoFunction", b"{}", "ResourceNotFoundException"),
        ("read_letter", b"{", "InvalidRequestContentException"),
    ],
)
def test_an_invocation_that_cannot_be(endpoint: Endpoint, name: str, payload: bytes, code: str) -> None:
    with pytest.raises(ClientError) as refusal:
        endpoint.lambdas.invoke(FunctionName=name, Payload=payload)
    assert refusal.value.response["Error"]["Code"] == code


def test_what_is_neither_is_refused_and_so_are_browsers(endpoint: Endpoint) -> None:
    assert httpx.post(f"{endpoint.url}/other", content=b"{}").status_code == 404
    path = "/2015-03-31/functions/read_letter/invocations"
    answer = httpx.post(f"{endpoint.url}{path}", content=b"{}", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403


def test_a_body_larger_than_lambda_takes_is_refused_unread(endpoint: Endpoint) -> None:
    connection = http.client.HTTPConnection(endpoint.url.removeprefix("http://"), timeout=5)
    connection.putrequest("POST", "/")
    connection.putheader("Content-Length", "99999999")
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_who_asks_before_there_is_anything_to_serve_is_answered_once_there_is(endpoint: Endpoint) -> None:
    early = AwsEndpoint()
    client: Any = boto3.Session("key", "secret", region_name="us-east-1").client(
        "events", endpoint_url=early.start()
    )
    try:
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(client.put_events, Entries=[entry()])
            with pytest.raises(TimeoutError):
                answer.result(timeout=0.2)
            early.serve(endpoint.functions, endpoint.bus)
            assert answer.result(timeout=5)["FailedEntryCount"] == 0
    finally:
        client.close()
        early.stop()
