"""The examples of examples/ do what they say, and leave out no route."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import httpx

from local.stack import ROOT, Stack
from tests.e2e.api.document import DOCUMENT
from tests.e2e.api.service import new_email

FILE = ROOT / "examples" / "favorites.http"


@dataclass
class Request:
    title: str
    name: str
    method: str
    address: str
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None

    @property
    def statuses(self) -> set[int]:
        return {int(status) for status in re.findall(r"\b[2-5]\d\d\b", self.title)}


def parse(text: str) -> tuple[dict[str, str], list[Request]]:
    """The variables and the requests of a file, in the form that both editors read."""
    top, *parts = re.split(r"^### ", text, flags=re.MULTILINE)
    variables = dict(re.findall(r"^@(\w+) = (.+)$", top, flags=re.MULTILINE))
    requests = []
    for part in parts:
        head, _, body = part.strip().partition("\n\n")
        title, *lines = head.splitlines()
        name = next((line.removeprefix("# @name ") for line in lines if line.startswith("# @name ")), "")
        first, *headers = [line for line in lines if not line.startswith("#")]
        method, address = first.split(" ", 1)
        fields = dict(header.split(": ", 1) for header in headers)
        requests.append(Request(title, name, method, address, fields, body or None))
    return variables, requests


def test_every_request_of_the_file_answers_as_its_title_says(stack: Stack) -> None:
    variables, requests = parse(FILE.read_text())
    values: dict[str, Any] = variables | {
        "api": stack.url,
        "email": new_email(),
        "adminEmail": stack.settings["ADMIN_EMAIL"],
        "adminPassword": stack.admin_password,
    }

    def filled(text: str) -> str:
        return re.sub(r"{{([^}]+)}}", lambda found: str(values[found[1]]), text)

    with httpx.Client(timeout=30) as http:
        for each in requests:
            answer = http.request(
                each.method,
                filled(each.address),
                headers={name: filled(value) for name, value in each.headers.items()},
                content=each.body and filled(each.body),
            )
            assert answer.status_code in each.statuses, (each.title, answer.status_code, answer.text)
            if each.name:
                answered = json.loads(answer.text)
                values |= {f"{each.name}.response.body.$.{key}": value for key, value in answered.items()}


def test_the_file_has_every_route() -> None:
    _, requests = parse(FILE.read_text())
    sent = {(each.method, each.address.removeprefix("{{api}}").partition("?")[0]) for each in requests}
    for path, operations in DOCUMENT["paths"].items():
        pattern = re.sub(r"{\w+}", "[^/]+", path)
        for method in operations.keys() - {"head"}:  # as GET, without the body
            found = [each for each in sent if each[0] == method.upper() and re.fullmatch(pattern, each[1])]
            assert found, f"{method.upper()} {path}"
