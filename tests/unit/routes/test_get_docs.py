import re
from html.parser import HTMLParser

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


def test_the_document_and_the_page_that_carries_it_may_be_cached_by_anybody() -> None:
    document, page = get("/openapi.json"), get("/docs")
    assert (document.status, page.status) == (200, 200)
    assert document.headers["Content-Type"] == "application/json"
    assert page.headers["Content-Type"].startswith("text/html")
    assert document.headers["Cache-Control"] == page.headers["Cache-Control"] == "public, max-age=300"
    assert document.json["openapi"].startswith("3.1")
    assert "SwaggerUIBundle" in page.body
    assert all(path.replace("/", "\\/") in page.body or path in page.body for path in document.json["paths"])
    linked = get("/docs", format="json")  # the page's link to its source
    assert (linked.headers["Content-Type"], linked.body) == ("application/json", document.body)
    assert get("/docs/secret").problem == "not-found"


def test_the_page_loads_nothing_from_elsewhere_and_forbids_it_to_the_browser() -> None:
    page = get("/docs")
    addresses = Addresses()
    addresses.feed(page.body)
    assert [address for address in addresses.found if re.match(r"(https?:)?//", address)] == []
    directives = page.headers["Content-Security-Policy"].split(";")
    policy = dict(directive.strip().split(" ", 1) for directive in directives)
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    allowed = {source for sources in policy.values() for source in sources.split()}
    assert allowed <= {"'none'", "'self'", "'unsafe-inline'", "data:"}


def test_nothing_in_the_document_ends_the_script_that_carries_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "document", lambda: '{"openapi":"3.1.0","info":"</script><script>alert()"}')
    page = pages.swagger_ui.__wrapped__()
    assert '"openapi":"3.1.0"' in page
    assert "</script><script>alert" not in page


def problem_page(code: str) -> Answer:
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
def test_an_unknown_type_is_404(code: str) -> None:
    assert problem_page(code).problem == "not-found"
