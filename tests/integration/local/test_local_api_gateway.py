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
from tests.integration.local.sample_project import TEMPLATE, SampleProject


class Sample(SampleProject):
    """The project, served."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.gateway = ApiGateway(self.template, self.functions, self.lines.append)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.gateway.serve(self.listener)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.listener.getsockname()[1]}", timeout=30)

    def get(self, path: str) -> Any:
        return self.client.get(path).raise_for_status().json()

    def logs(self, pattern: str) -> bool:
        return wait_until(lambda: any(re.fullmatch(pattern, line) for line in self.lines), timeout=5)

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


def test_a_request_becomes_an_event_and_a_result_an_answer_and_a_line(sample: Sample) -> None:
    response = sample.client.get("/echo/caf%C3%A9?limit=2")
    assert (response.status_code, response.headers["X-Sample"]) == (200, "yes")
    event = response.json()["event"]
    assert event["version"] == "2.0"
    assert event["routeKey"] == "GET /echo/{name}"
    assert event["pathParameters"] == {"name": "café"}
    assert event["queryStringParameters"] == {"limit": "2"}
    assert sample.logs(r"GET /echo/\S+limit=2 200 [0-9.]+ ms")
    assert sample.logs(r"echo \| cold start: [0-9.]+ s")


def test_a_body_that_is_no_text_arrives_in_base_64(sample: Sample) -> None:
    event = sample.client.post("/echo", content=b"\xff\xfe").json()["event"]
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == b"\xff\xfe"
    assert event["routeKey"] == "POST /echo"


def test_a_body_larger_than_lambda_takes_is_refused(sample: Sample) -> None:
    assert sample.client.post("/echo", content="x" * 5 * 1024 * 1024).status_code == 200
    assert sample.client.post("/echo", content="x" * 7 * 1024 * 1024).status_code == 413


@pytest.mark.parametrize(
    "request_line",
    [
        "GET /nothing",
        "DELETE /echo",
        "HEAD /echo/1",
        "GET /echo/1/",
        "POST /echo/",
        "POST //echo",
        "GET /echo/%2F",
    ],
)
def test_a_path_or_method_without_a_route_is_404(sample: Sample, request_line: str) -> None:
    method, path = request_line.split()
    response = sample.client.request(method, path)
    assert response.status_code == 404
    assert method == "HEAD" or response.json() == {"message": "Not Found"}


def test_an_exception_is_500_and_tells_nothing_of_the_code(sample: Sample) -> None:
    response = sample.client.get("/echo/1?fail=1")
    assert (response.status_code, response.json()) == (500, {"message": "Internal server error"})
    assert sample.logs(r"echo \| \[ERROR\] ValueError: a secret of the code")
    assert sample.logs(r"GET /echo/\S+ 500 [0-9.]+ ms  request_id=[0-9a-f-]{36}")


def test_a_malformed_request_is_refused_and_logged(sample: Sample) -> None:
    address = sample.listener.getsockname()
    with socket.create_connection(address, timeout=5) as connection:  # httpx sends no such thing
        connection.sendall(f"GET /{'x' * 70_000} HTTP/1.1\r\n\r\n".encode())
        assert b" 414 " in connection.recv(100)
    assert any("414" in line for line in sample.lines)


def test_requests_at_once_share_as_many_processes_as_the_limit_allows(sample: Sample) -> None:
    with ThreadPoolExecutor(20) as callers:
        answers = list(callers.map(lambda _: sample.get("/echo/1?sleep=0.02"), range(20)))
    assert len({answer["pid"] for answer in answers}) == 2


@pytest.mark.parametrize("name", ["ReadLetterFunction", "read_letter"])
def test_a_function_is_invoked_by_its_name_or_its_folder(sample: Sample, name: str) -> None:
    result = sample.functions.invoke(name, {"divisor": 2})
    assert result == {"color": "darkgreen", "size": "7", "half": 0.5}
    with pytest.raises(FunctionFailed, match="ZeroDivisionError"):
        sample.functions.invoke(name, {"divisor": 0})


def test_an_unknown_function_is_a_key_error(sample: Sample) -> None:
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


def test_a_template_has_parameters_schedules_queues_and_rules(sample: Sample) -> None:
    declared = declared_parameters(sample.root / "template.yaml")
    assert declared["Color"] == {"Type": "String"}
    assert declared["Size"] == {"Type": "Number", "Default": 7}
    function = "ReadLetterFunction"
    assert sample.template.schedules == [Schedule(function, 420), Schedule(function, None)]
    queue = Queue("Letters", function, batch=3, receives=2, reports_failures=True)
    assert sample.template.queues == [queue]
    (rule,) = sample.template.rules
    assert rule.pattern == {"source": ["post"], "detail": {"kind": ["letter", "card"]}}
    assert rule.queues == ("Letters",)


MISTAKES = {
    "Resources: [": r"template\.yaml cannot be used: [^\n]+$",
    TEMPLATE.replace("Path: /echo}", "}"): r"template\.yaml cannot be used: [^\n]+$",
    TEMPLATE.replace("[post]", "[{prefix: po}]"): "cannot match the pattern of source",
}


@pytest.mark.parametrize("template", MISTAKES)
def test_a_mistake_in_the_template_is_one_line(tmp_path: Path, template: str) -> None:
    (tmp_path / "template.yaml").write_text(template)
    with pytest.raises(ServiceFailed, match=MISTAKES[template]):
        Template(tmp_path / "template.yaml", {"Color": "green"})


ORIGIN = "http://localhost:5173"


@pytest.fixture
def with_cors(tmp_path: Path) -> Iterator[str]:
    """The sample's gateway with two origins, without its functions."""
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    parameters = {"Color": "green", "CorsOrigins": f"{ORIGIN},https://a.example"}
    template = Template(tmp_path / "template.yaml", parameters)
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
    assert (answer.status_code, answer.headers["Vary"]) == (204, "Origin")
    expected = {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": "GET,POST",
        "access-control-allow-headers": "authorization",
        "access-control-expose-headers": "etag,link",
        "access-control-max-age": "3600",
    }
    assert allowed == ({} if "other" in origin else expected)


def test_an_answer_names_the_origin_that_may_read_it(with_cors: str) -> None:
    answer = httpx.get(f"{with_cors}/nothing", headers={"Origin": ORIGIN})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (404, ORIGIN)
    assert answer.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Methods" not in answer.headers
