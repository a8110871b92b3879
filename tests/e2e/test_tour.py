"""The tour as a reader follows it: every command runs against the stack, every answer has the shape shown."""

import os
import re
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from local.servers.services import wait_until
from local.stack import Stack
from tests import documents
from tests.documents import ROOT

# curl puts no line break behind a body; the pages show the next answer on a line of its own.
PREAMBLE = 'set -e\ncurl() { command curl --silent "$@"; echo; }\n'
NEXT = "──── the next block ────"

CURSOR = r"\b[A-Za-z0-9_-]{23,}"
# What differs from run to run or machine to machine, by its shape.
VARYING = [
    (r"…", r".*"),
    (r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", r"[0-9a-f-]{36}"),
    (r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{6}Z", r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{6}Z"),
    (r"\b[0-9a-f]{24}\b", r"[0-9a-f]{24}"),  # an entity tag
    (CURSOR, r"([A-Za-z0-9_-]+)"),
    (r"(?<=seconds\":)\d+\.\d", r"\d+\.\d"),
    (r"(?<=Age: )\d+", r"\d+"),
    (r"(?<=version\": )\d{13}", r"\d{13}"),  # a time
    (r"\d+(?= sent)", r"\d+"),
    (r"\d\.\d\d(?= s$)", r"\d+\.\d\d?"),  # hundredths of a second: 0.3 is one too
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the stack, which the commands of a second console find it by."""
    return tmp_path_factory.mktemp("tour")


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def running(data: Path, said: list[str]) -> Iterator[Stack]:
    """A stack with its schedules, as `make run` starts it."""
    with Stack(data=data, schedule_seconds=30, log=said.append) as stack:
        yield stack


@pytest.fixture
def stack(running: Stack) -> Stack:
    """The stack, with the price of product 7 that the pages begin with: they change it."""
    assert running.backing.catalog is not None
    running.backing.catalog.set_price(7, "11.20")
    running.backing.catalog.push(7)
    url = f"{running.url}/products/7"
    assert wait_until(lambda: '"price":11.20,' in httpx.get(url, timeout=30).text, timeout=20)
    return running


def varying(line: str) -> Iterator[tuple[re.Match[str], str]]:
    """What varies in a line, and the pattern for all of its shape."""
    for match in re.finditer("|".join(f"({what})" for what, _ in VARYING), line):
        assert match.lastindex is not None
        yield match, VARYING[match.lastindex - 1][1]


def shape(line: str) -> str:
    """A pattern for all lines of this shape; its groups are the cursors."""
    pattern, end = "", 0
    for match, all_of_it in varying(line):
        pattern += re.escape(line[end : match.start()]) + all_of_it
        end = match.end()
    return pattern + re.escape(line[end:])


def cursors_of(line: str) -> list[str]:
    return [match[0] for match, pattern in varying(line) if pattern == dict(VARYING)[CURSOR]]


def told(page: str) -> list[tuple[str, str]]:
    """The commands of a page that follows the tour, each block with the answers shown below it."""
    fences = [fence for fence in documents.fences(page) if fence.language != "mermaid"]
    pairs = zip(fences, [*fences[1:], documents.Fence("bash", "")], strict=True)
    return [
        (command.text, answer.text if answer.language == "" else "")
        for command, answer in pairs
        if command.language == "bash" and not command.text.startswith("make ")
    ]


@pytest.mark.parametrize("page", ["docs/tour.md", "README.md", "README.pt-BR.md"])
def test_every_command_of_the_tour_gives_the_answer_shown(stack: Stack, data: Path, page: str) -> None:
    blocks = told(page)
    assert blocks
    name = Path(page).name.lower().replace(".md", "")  # whoever registered in the page before is there still
    follow(stack, data, page, blocks, name=name)


# What the page of events asks for before it begins.
BEGUN = """\
export API=http://127.0.0.1:3000
curl -f -X POST "$API/clients" -H 'Content-Type: application/json' \
  -d '{"name": "Ana", "email": "ana@example.com", "password": "correct horse battery"}'
export TOKEN=$(curl -s -X POST "$API/auth/login" -H 'Content-Type: application/json' \
  -d '{"email": "ana@example.com", "password": "correct horse battery"}' \
  | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')
curl -f -X PUT "$API/favorites/7" -H "Authorization: Bearer $TOKEN"
"""


def test_every_command_of_the_page_of_events_gives_what_is_shown_on_both_consoles(
    stack: Stack, data: Path, said: list[str]
) -> None:
    page = "docs/events.md"
    # A program that is not there, one that does not end, and what tests/e2e/test_local_events.py runs.
    left_out = ("aws lambda invoke", "--follow", '"$EVENTS"')
    blocks = [
        (command, answer) for command, answer in told(page) if not any(each in command for each in left_out)
    ]
    shown = [
        line
        for fence in documents.fences(page)
        for line in fence.text.splitlines()
        if fence.language == "" and re.match("event|schedule", line)
    ]
    assert len(blocks) >= 3
    assert len(shown) >= 4
    blocks = [(command, "" if answer.startswith("schedule") else answer) for command, answer in blocks]
    follow(stack, data, page, [(BEGUN, ""), *blocks], name="events")
    for line in shown:
        assert wait_until(partial(is_said, line, said), timeout=40), (
            f"{page} shows\n{line}\nwhich the first console does not:\n" + "\n".join(said)
        )


def is_said(line: str, said: list[str]) -> bool:
    return any(re.fullmatch(shape(line), each) for each in said)


def follow(stack: Stack, data: Path, page: str, blocks: list[tuple[str, str]], *, name: str) -> None:
    """Run the commands, as a client of this name, and compare the answers with those that the page shows."""
    script = PREAMBLE + "".join(f"{command}\necho '{NEXT}'\n" for command, _ in blocks)
    script = script.replace("http://127.0.0.1:3000", stack.url).replace("ana@", f"{name}@")
    ran = subprocess.run(  # noqa: S603 - the page's own commands
        ["/bin/bash", "-c", script],
        cwd=ROOT,
        env={**os.environ, "LOCAL_DATA": str(data)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    cursors: dict[str, str] = {}  # as shown, and as answered
    for (command, shown), said in zip(blocks, ran.stdout.split(NEXT), strict=False):
        lines = iter(said.replace("\r", "").splitlines())
        for line in filter(None, shown.replace("ana@", f"{name}@").splitlines()):
            met = next(filter(None, (re.fullmatch(shape(line), each) for each in lines)), None)
            assert met, (
                f"{page} shows\n{line}\nwhich does not come in its turn in the answer to\n{command}\n{said}"
            )
            for here, there in zip(cursors_of(line), met.groups(), strict=True):
                assert cursors.setdefault(here, there) == there, f"{page}: {here} is two cursors: {line}"
    assert len({*cursors.values()}) == len(cursors), f"{page} shows one cursor as two"
