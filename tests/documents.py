"""The project's documents as the tests read them: headings, links, tables, fenced blocks."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]

_FENCE = re.compile(r"^([ \t]*)```(\S*)[^\n]*\n(.*?)^[ \t]*```[ \t]*$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#{1,6}) (.+?)\s*$", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")


class Fence(NamedTuple):
    language: str
    text: str


class Route(NamedTuple):
    """A row of the contract's table. `query` and `body` are names; a `?` behind one makes it optional."""

    function: str
    method: str
    path: str
    query: list[str]
    body: list[str]
    who: str
    success: str
    failures: set[int]


def pages() -> list[str]:
    files = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("events/*.md")]
    return sorted(str(file.relative_to(ROOT)) for file in files)


@cache
def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def fences(page: str) -> list[Fence]:
    """Its fenced blocks in order; one that is indented, as in a list, loses its indentation."""
    return [
        Fence(match[2], re.sub(rf"^{match[1]}", "", match[3], flags=re.MULTILINE))
        for match in _FENCE.finditer(text(page))
    ]


def prose(page: str) -> str:
    return _FENCE.sub("", text(page))


def headings(page: str) -> list[tuple[int, str]]:
    return [(len(match[1]), match[2]) for match in _HEADING.finditer(prose(page))]


def anchors(page: str) -> list[str]:
    """The anchors of its headings in order, as the forge makes them."""
    found: list[str] = []
    for _, heading in headings(page):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        found.append(slug if slug not in found else f"{slug}-{found.count(slug)}")
    return found


def links(page: str) -> list[str]:
    """The targets of its links in order; what is code is no link."""
    return [match[1] for match in _LINK.finditer(re.sub(r"`[^`\n]*`", "code", prose(page)))]


def tables(page: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Its tables: the head, and the rows below it."""
    for block in re.findall(r"(?:^\|.*\|$\n?)+", prose(page), re.MULTILINE):
        rows = [
            [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in block.strip().splitlines()
        ]
        yield rows[0], rows[2:]


def table(page: str, first: str) -> list[list[str]]:
    return next(rows for head, rows in tables(page) if head[0] == first)


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def contract() -> list[Route]:
    """The table of the routes in docs/contract.md."""
    found = []
    for function, route, who, success, failures in table("docs/contract.md", "function"):
        spans = codes(route)
        fields = next((span[1:-1].split(",") for span in spans if span.startswith("{")), [])
        for span in spans:
            if not span.startswith("{"):
                method, _, address = span.partition(" ")
                path, _, query = address.partition("?")
                statuses = {int(status) for status in re.findall(r"\b[45]\d\d\b", failures)}
                parameters = [name for name in query.split("&") if name]
                methods = (method, "HEAD") if method == "GET" else (method,)  # as the page says
                found += [
                    Route(function, each, path, parameters, fields, who, success, statuses)
                    for each in methods
                ]
    return found
