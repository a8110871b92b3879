"""API Gateway as it is emulated here, in front of the functions of a template of its own."""

import base64
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.aws.api_gateway import ApiGateway
from local.aws.execution_environment import FunctionFailed
from local.aws.functions import Functions
from local.aws.template import Queue, Schedule, Template, declared_parameters
from local.servers.services import ServiceFailed, wait_until

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Color: {Type: String}
  Size: {Type: Number, Default: 7}
  CorsOrigins: {Type: String, Default: ""}
Conditions:
  AllowsOrigins: !Not [!Equals [!Ref CorsOrigins, ""]]
Globals:
  Function:
    Runtime: python3.13
    Timeout: 10
    Layers: [!Ref SharedLayer]
    Environment: {Variables: {COLOR: !Ref Color, SIZE: !Ref Size}}
Resources:
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      CorsConfiguration: !If
        - AllowsOrigins
        - AllowOrigins: !Split [",", !Ref CorsOrigins]
          AllowMethods: [GET, POST]
          AllowHeaders: [authorization]
          ExposeHeaders: [etag, link]
          MaxAge: 3600
        - !Ref AWS::NoValue
  SharedLayer:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: shared/}
  EchoFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/echo/
      Handler: functions.echo.handler.lambda_handler
      Events:
        Get: {Type: HttpApi, Properties: {ApiId: !Ref Api, Method: GET, Path: "/echo/{name}"}}
        Post: {Type: HttpApi, Properties: {ApiId: !Ref Api, Method: POST, Path: /echo}}
  HiddenFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/hidden/
      Handler: functions.hidden.handler.lambda_handler
      Events:
        Often: {Type: ScheduleV2, Properties: {ScheduleExpression: !Sub "rate(${Size} minutes)"}}
        Nightly: {Type: ScheduleV2, Properties: {ScheduleExpression: "cron(0 3 * * ? *)"}}
        Paused: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 minute), State: DISABLED}}
        Queue:
          Type: SQS
          Properties:
            Queue: !GetAtt Letters.Arn
            BatchSize: 3
            FunctionResponseTypes: [ReportBatchItemFailures]
  Letters:
    Type: AWS::SQS::Queue
    Properties: {RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 2}}
  Dead: {Type: AWS::SQS::Queue}
  Rule:
    Type: AWS::Events::Rule
    Properties:
      EventPattern: {source: [post], detail: {kind: [letter, card]}}
      Targets: [{Id: Letters, Arn: !GetAtt Letters.Arn}]
"""

ECHO = """
import json, os, time
from shared.words import GREETING

def lambda_handler(event, context):
    query = event.get("queryStringParameters") or {}
    if "fail" in query:
        raise ValueError("a secret of the code")
    if "sleep" in query:
        time.sleep(float(query["sleep"]))
    if "empty" in query:
        return {"statusCode": 204}
    answer = {"greeting": GREETING, "pid": os.getpid(), "event": event}
    return {"statusCode": 200, "headers": {"X-Sample": "yes"}, "body": json.dumps(answer)}
"""

HIDDEN = """
import os

def lambda_handler(event, context):
    color = os.environ["SHADE"] + os.environ["COLOR"]
    return {"color": color, "size": os.environ["SIZE"], "number": 1 / event["divisor"]}
"""


class Sample:
    """A project of two functions and one layer, served."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lines: list[str] = []
        self.write("template.yaml", TEMPLATE)
        self.write("functions/echo/handler.py", ECHO)
        self.write("functions/hidden/handler.py", HIDDEN)
        self.write("shared/words.py", 'GREETING = "hello"\n')
        self.template = Template(root / "template.yaml", {"Color": "green"})
        self.functions = Functions(
            self.template, concurrency=2, log=self.lines.append, variables={"SHADE": "dark"}
        )
        self.gateway = ApiGateway(self.template, self.functions, self.lines.append)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.gateway.serve(self.listener)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.listener.getsockname()[1]}", timeout=30)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def get(self, path: str) -> Any:
        return self.client.get(path).raise_for_status().json()

    def close(self) -> None:
        self.client.close()
        self.gateway.stop()
        self.functions.stop()
        self.listener.close()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    sample = Sample(tmp_path_factory.mktemp("sample"))
    yield sample
    sample.close()


def test_a_request_becomes_an_event_and_a_result_an_answer(sample: Sample) -> None:
    response = sample.client.get("/echo/caf%C3%A9?limit=2")
    assert response.status_code == 200
    assert response.headers["X-Sample"] == "yes"
    event = response.json()["event"]
    assert event["version"] == "2.0"
    assert event["routeKey"] == "GET /echo/{name}"
    assert event["pathParameters"] == {"name": "café"}
    assert event["queryStringParameters"] == {"limit": "2"}


def test_every_request_has_an_id_of_its_own(sample: Sample) -> None:
    ids = {sample.get("/echo/1")["event"]["requestContext"]["requestId"] for _ in range(3)}
    assert len(ids) == 3


def test_an_answer_without_a_body(sample: Sample) -> None:
    response = sample.client.get("/echo/1?empty=1")
    assert (response.status_code, response.content) == (204, b"")


def test_a_body_that_is_no_text_arrives_in_base_64(sample: Sample) -> None:
    event = sample.client.post("/echo", content=b"\xff\xfe").json()["event"]
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == b"\xff\xfe"
    assert event["routeKey"] == "POST /echo"


def test_a_body_of_a_megabyte_arrives(sample: Sample) -> None:
    text = "x" * 1024 * 1024
    assert sample.client.post("/echo", content=text).json()["event"]["body"] == text


def test_a_body_larger_than_lambda_takes_is_refused(sample: Sample) -> None:
    assert sample.client.post("/echo", content="x" * 7 * 1024 * 1024).status_code == 413


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nothing"),
        ("DELETE", "/echo"),
        ("HEAD", "/echo/1"),
        ("GET", "/echo/1/"),
        ("POST", "/echo/"),
        ("POST", "//echo"),
        ("GET", "/echo/%2F"),
    ],
)
def test_what_is_no_route_is_404(sample: Sample, method: str, path: str) -> None:
    response = sample.client.request(method, path)
    assert response.status_code == 404
    assert method == "HEAD" or response.json() == {"message": "Not Found"}


def test_an_exception_is_500_and_tells_nothing_of_the_code(sample: Sample) -> None:
    response = sample.client.get("/echo/1?fail=1")
    assert response.status_code == 500
    assert response.json() == {"message": "Internal server error"}
    assert wait_until(lambda: "echo | [ERROR] ValueError: a secret of the code" in sample.lines, timeout=5)
    refused = r"GET /echo/\S+ 500 [0-9.]+ ms  request_id=[0-9a-f-]{36}"
    assert wait_until(lambda: any(re.fullmatch(refused, line) for line in sample.lines), timeout=5)


def test_every_request_is_logged(sample: Sample) -> None:
    sample.get("/echo/logged")
    assert any(re.fullmatch(r"GET /echo/logged 200 [0-9.]+ ms", line) for line in sample.lines)
    assert any(re.fullmatch(r"echo \| cold start: [0-9.]+ s", line) for line in sample.lines)


def test_what_is_no_request_is_refused_and_logged(sample: Sample) -> None:
    with socket.create_connection(
        sample.listener.getsockname(), timeout=5
    ) as connection:  # httpx sends no such thing
        connection.sendall(f"GET /{'x' * 70_000} HTTP/1.1\r\n\r\n".encode())
        assert b" 414 " in connection.recv(100)
    assert any("414" in line for line in sample.lines)


def test_a_hundred_requests_at_once_share_two_processes(sample: Sample) -> None:
    with ThreadPoolExecutor(100) as callers:
        answers = list(callers.map(lambda _: sample.get("/echo/1?sleep=0.005"), range(100)))
    assert len({answer["pid"] for answer in answers}) <= 2


def test_a_function_without_a_route_is_invoked_by_its_name(sample: Sample) -> None:
    for name in ("HiddenFunction", "hidden"):
        result = sample.functions.invoke(name, {"divisor": 2})
        assert result == {"color": "darkgreen", "size": "7", "number": 0.5}
    with pytest.raises(FunctionFailed, match="ZeroDivisionError"):
        sample.functions.invoke("HiddenFunction", {"divisor": 0})
    with pytest.raises(KeyError):
        sample.functions.invoke("NoFunction", {})


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [("shared/words.py", "hello", "good day"), ("functions/echo/handler.py", "GREETING,", "GREETING + '!',")],
)
def test_changed_code_runs_without_a_restart(sample: Sample, file: str, old: str, new: str) -> None:
    before = sample.get("/echo/1")["greeting"]
    sample.write(file, (sample.root / file).read_text().replace(old, new))
    assert wait_until(lambda: sample.get("/echo/1")["greeting"] != before, timeout=10, interval=0.1)


def test_the_parameters_of_a_template_are_known(sample: Sample) -> None:
    declared = declared_parameters(sample.root / "template.yaml")
    assert declared["Color"] == {"Type": "String"}
    assert declared["Size"] == {"Type": "Number", "Default": 7}


def test_what_else_invokes_a_function_is_known(sample: Sample) -> None:
    assert sample.template.schedules == [Schedule("HiddenFunction", 420), Schedule("HiddenFunction", None)]
    queue = Queue("Letters", "HiddenFunction", batch=3, receives=2, reports_failures=True)
    assert sample.template.queues == [queue]
    (rule,) = sample.template.rules
    assert rule.pattern == {"source": ["post"], "detail": {"kind": ["letter", "card"]}}
    assert rule.queues == ("Letters",)


def test_a_pattern_that_cannot_be_matched_here_is_told(tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text(TEMPLATE.replace("[post]", "[{prefix: po}]"))
    with pytest.raises(ServiceFailed, match="cannot match the pattern of source"):
        Template(tmp_path / "template.yaml", {"Color": "green"})


@pytest.mark.parametrize("template", ["Resources: [", TEMPLATE.replace("Path: /echo}", "}")])
def test_a_mistake_in_the_template_is_one_line(tmp_path: Path, template: str) -> None:
    (tmp_path / "template.yaml").write_text(template)
    with pytest.raises(ServiceFailed, match=r"template\.yaml cannot be used: [^\n]+$"):
        Template(tmp_path / "template.yaml", {"Color": "green"})


ORIGIN = "http://localhost:5173"


@pytest.fixture
def with_cors(tmp_path: Path) -> Iterator[str]:
    """The sample's gateway with two origins, without its functions."""
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    template = Template(
        tmp_path / "template.yaml", {"Color": "green", "CorsOrigins": f"{ORIGIN},https://a.example"}
    )
    functions = Functions(template, log=lambda _: None)
    gateway = ApiGateway(template, functions, lambda _: None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gateway.serve(listener)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        gateway.stop()
    functions.stop()


@pytest.mark.parametrize("origin", [ORIGIN, "https://a.example", "https://other.example"])
def test_a_preflight_is_answered_as_the_template_has_it(with_cors: str, origin: str) -> None:
    asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    answer = httpx.options(f"{with_cors}/echo", headers=asks)
    allowed = {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}
    assert answer.status_code == 204
    assert answer.headers["Vary"] == "Origin"
    if origin == "https://other.example":
        assert allowed == {}
    else:
        assert allowed == {
            "access-control-allow-origin": origin,
            "access-control-allow-methods": "GET,POST",
            "access-control-allow-headers": "authorization",
            "access-control-expose-headers": "etag,link",
            "access-control-max-age": "3600",
        }


def test_an_answer_names_the_origin_that_may_read_it(with_cors: str) -> None:
    answer = httpx.get(f"{with_cors}/nothing", headers={"Origin": ORIGIN})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (404, ORIGIN)
    assert answer.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Methods" not in answer.headers
