"""What tells about the service: its description, the page to browse it, its health."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import httpx
import pytest

from tests.e2e.api.document import DOCUMENT
from tests.e2e.api.service import Service


@pytest.mark.smoke
def test_the_document_served_is_the_committed_one(visitor: httpx.Client) -> None:
    answer = visitor.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    assert answer.json() == DOCUMENT


def test_every_documented_route_exists(visitor: httpx.Client) -> None:
    for path, methods in DOCUMENT["paths"].items():
        for method in methods:
            answer = visitor.request(method, path.replace("{client_id}", "me").replace("{product_id}", "1"))
            assert answer.status_code != 404, (method, path)


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/nothing"),
        ("PUT", "/products"),
        ("DELETE", "/clients"),
        ("POST", "/products/1"),
    ],
)
def test_what_is_no_route_is_refused_by_the_gateway(
    service: Service, visitor: httpx.Client, method: str, path: str
) -> None:
    answer = visitor.request(method, path)
    assert (answer.status_code, answer.json()) == service.gateway.no_route


class _Page(HTMLParser):
    """What a page names to be loaded, its styles, and the routes that Swagger UI shows on it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.styles = ""
        self.routes: list[str] = []
        self._within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._within = tag
        named = {"src", "srcset", "href", "action", "formaction", "data", "poster", "background", "ping"}
        self.loads += [value or "" for name, value in attrs if name in named]
        self.routes += [value or "" for name, value in attrs if name == "data-path"]

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - named so by HTMLParser
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "style":
            self.styles += data


def test_the_docs_page_names_nothing_to_load(visitor: httpx.Client) -> None:
    answer = visitor.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    page = _Page(answer.text)
    assert page.loads == []
    assert "swagger-ui" in page.styles
    assert "@import" not in page.styles
    assert all(address.startswith("data:") for address in re.findall(r"url\([\"']?([^)\"']*)", page.styles))


def test_the_docs_page_forbids_the_browser_to_load_anything_from_elsewhere(visitor: httpx.Client) -> None:
    policy = visitor.get("/docs").headers["content-security-policy"]
    directives = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    for name, sources in directives.items():
        allowed = set(sources.split())
        assert allowed <= {"'none'", "'self'", "'unsafe-inline'", "data:"}, name


@pytest.mark.smoke
def test_the_docs_page_describes_every_operation(visitor: httpx.Client) -> None:
    text = visitor.get("/docs").text
    for methods in DOCUMENT["paths"].values():
        for operation in methods.values():
            assert operation["operationId"] in text


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium here")
def test_a_browser_shows_every_route_on_the_docs_page(
    service: Service, tmp_path_factory: pytest.TempPathFactory
) -> None:
    profile = tmp_path_factory.mktemp("profile")
    browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    quiet = ["--disable-background-networking", "--no-first-run", f"--user-data-dir={profile}"]
    dump = ["--virtual-time-budget=3000", "--dump-dom", f"{service.url}/docs"]
    shown = subprocess.run(  # noqa: S603 - the command is this test's own
        [*browser, *quiet, *dump], capture_output=True, text=True, timeout=60, check=True
    )
    page = _Page(shown.stdout)
    assert set(page.routes) == set(DOCUMENT["paths"])
    assert [address for address in page.loads if re.match(r"(https?:)?//", address)] == []


@pytest.mark.smoke
def test_health_is_200_and_names_each_part_with_its_state_and_time(visitor: httpx.Client) -> None:
    answer = visitor.get("/health")
    assert answer.status_code == 200
    health = answer.json()
    assert health.keys() == {"status", "database", "cache", "catalog"}
    assert health["status"] == "ok"
    for part in ("database", "cache", "catalog"):
        assert health[part]["state"] == "up"
        assert 0 <= health[part]["milliseconds"] < 5000
    assert answer.headers["cache-control"] == "no-store"
