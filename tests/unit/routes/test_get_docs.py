import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from functions.get_docs import pages
from shared.errors import DomainError
from tests.calls import Answer, call, sample


def get(path: str, **query: str) -> Answer:
    """The answer to GET on one of the function's two addresses."""
    http = sample("get_docs")["requestContext"]["http"]
    context = sample("get_docs")["requestContext"] | {"http": http | {"path": path}}
    return call("get_docs", rawPath=path, routeKey=f"GET {path}", requestContext=context, query=query)


class Addresses(HTMLParser):
    """Every address that a page loads something from."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        loading = {"src", "srcset", "action", "data", "poster"} | ({"href"} if tag == "link" else set())
        self.found += [value or "" for name, value in attrs if name in loading]


def test_the_document_is_openapi_3_1() -> None:
    answer = get("/openapi.json")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json["openapi"].startswith("3.1")


def test_the_page_is_html_and_carries_the_document_with_it() -> None:
    answer = get("/docs")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "SwaggerUIBundle" in answer.body
    assert all(path.replace("/", "\\/") in answer.body or path in answer.body for path in document()["paths"])


def test_the_page_loads_nothing_from_elsewhere() -> None:
    addresses = Addresses()
    addresses.feed(get("/docs").body)
    assert [address for address in addresses.found if re.match(r"(https?:)?//", address)] == []


def test_the_browser_is_told_to_load_nothing_from_elsewhere_either() -> None:
    policy = dict(
        directive.strip().split(" ", 1)
        for directive in get("/docs").headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    allowed = {source for sources in policy.values() for source in sources.split()}
    assert allowed <= {"'none'", "'self'", "'unsafe-inline'", "data:"}


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_both_may_be_cached_by_anybody(path: str) -> None:
    answer = get(path)
    assert answer.headers["Cache-Control"] == "public, max-age=300"


def test_nothing_in_the_document_ends_the_script_that_carries_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "document", lambda: '{"openapi":"3.1.0","info":"</script><script>alert()"}')
    page = pages.swagger_ui.__wrapped__()
    assert '"openapi":"3.1.0"' in page
    assert "</script><script>alert" not in page


def test_the_pages_link_to_its_source_leads_to_the_document() -> None:
    answer = get("/docs", format="json")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.body == get("/openapi.json").body


def test_another_address_is_404() -> None:
    assert get("/docs/secret").problem == "not-found"


def document() -> dict[str, Any]:
    """The API's description."""
    value: dict[str, Any] = json.loads(get("/openapi.json").body)
    return value


def problem_page(code: str) -> Answer:
    """The answer to GET on the address that is the `type` of a problem."""
    path = {"code": code}
    return call("get_docs", rawPath=f"/problems/{code}", routeKey="GET /problems/{code}", path=path)


@pytest.mark.parametrize("kind", DomainError.kinds())
def test_the_type_of_every_problem_leads_to_a_page_about_it(kind: type[DomainError]) -> None:
    answer = problem_page(kind.type_uri().removeprefix("/problems/"))
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert f"<h1>{kind.title}</h1>" in answer.body
    assert "@" not in answer.body.partition("<body>")[2]


@pytest.mark.parametrize("code", ["no-such-problem", "<script>", "../docs"])
def test_a_type_that_there_is_not_is_404(code: str) -> None:
    assert problem_page(code).problem == "not-found"
