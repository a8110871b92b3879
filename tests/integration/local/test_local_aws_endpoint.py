"""The endpoint of Lambda and EventBridge, asked with boto3 as a developer would."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError

from local.aws.aws_endpoint import AwsEndpoint
from local.aws.event_bus import EventBus
from local.servers.services import wait_until
from tests.integration.local.sample_project import SampleProject


def boto_client(service: str, url: str) -> Any:
    session: Any = boto3.Session("key", "secret", region_name="us-east-1")  # its types name each service
    return session.client(service, endpoint_url=url)


class Endpoint(SampleProject):
    """The project behind the endpoint, and the two clients of boto3."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        rules, queues, log = self.template.rules, self.template.queues, self.lines.append
        self.bus = EventBus(rules, queues, self.functions.invoke, log, duplicates=0)
        self.endpoint = AwsEndpoint()
        self.url = self.endpoint.url
        self.endpoint.start(self.functions, self.bus)
        self.events = boto_client("events", self.url)
        self.lambdas = boto_client("lambda", self.url)

    def shows(self, line: str) -> bool:
        return wait_until(lambda: line in self.lines, timeout=10)

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


def entry(text: str = "hello", **changes: str) -> dict[str, str]:
    detail = json.dumps({"kind": "letter", "text": text})
    return {"Source": "post", "DetailType": "Letter", "Detail": detail, **changes}


def test_an_event_reaches_the_function_of_the_rules_queue(endpoint: Endpoint) -> None:
    answer = endpoint.events.put_events(Entries=[entry("one"), entry(Source="other")])
    assert answer["FailedEntryCount"] == 0
    assert len({result["EventId"] for result in answer["Entries"]}) == 2
    assert endpoint.shows("read_letter | read one")
    assert 'event | post Letter {"kind": "letter", "text": "one"}' in endpoint.lines
    assert 'event (no rule takes it) | other Letter {"kind": "letter", "text": "hello"}' in endpoint.lines


def test_malformed_entries_are_refused_one_by_one(endpoint: Endpoint) -> None:
    answer = endpoint.events.put_events(Entries=[entry(Detail="[]"), entry(), entry(Detail="{")])
    assert answer["FailedEntryCount"] == 2
    codes = [result.get("ErrorCode") for result in answer["Entries"]]
    assert codes == ["MalformedDetail", None, "MalformedDetail"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"Entries": []}', b'{"Entries": [1]}', b"\xff"])
def test_a_malformed_call_is_refused(endpoint: Endpoint, body: bytes) -> None:
    answer = httpx.post(endpoint.url, content=body, headers={"X-Amz-Target": "AWSEvents.PutEvents"})
    assert (answer.status_code, answer.json()["__type"]) == (400, "ValidationException")


def test_an_invocation_answers_the_result_or_the_functions_error(endpoint: Endpoint) -> None:
    answer = endpoint.lambdas.invoke(FunctionName="ReadLetterFunction", Payload=b'{"divisor": 2}')
    assert (answer["StatusCode"], json.load(answer["Payload"])["half"]) == (200, 0.5)
    answer = endpoint.lambdas.invoke(FunctionName="read_letter", Payload=b'{"divisor": 0}')
    assert answer["FunctionError"] == "Unhandled"
    assert json.load(answer["Payload"])["errorType"] == "ZeroDivisionError"


def test_asynchronous_and_dry_run_invocations(endpoint: Endpoint) -> None:
    payload = json.dumps({"Records": [{"body": '{"detail": {"text": "later"}}', "messageId": "1"}]})
    for how, status in (("Event", 202), ("DryRun", 204)):
        answer = endpoint.lambdas.invoke(FunctionName="read_letter", InvocationType=how, Payload=payload)
        assert answer["StatusCode"] == status
    assert endpoint.shows("read_letter | read later")
    assert endpoint.lines.count("read_letter | read later") == 1


@pytest.mark.parametrize(
    ("name", "payload", "code"),
    [
        ("NoFunction", b"{}", "ResourceNotFoundException"),
        ("read_letter", b"{", "InvalidRequestContentException"),
    ],
)
def test_an_invocation_of_no_function_or_without_json_is_refused(
    endpoint: Endpoint, name: str, payload: bytes, code: str
) -> None:
    with pytest.raises(ClientError) as refusal:
        endpoint.lambdas.invoke(FunctionName=name, Payload=payload)
    assert refusal.value.response["Error"]["Code"] == code


def test_other_paths_and_browsers_are_refused(endpoint: Endpoint) -> None:
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
