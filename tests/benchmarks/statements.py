"""The SQL that a function runs, recorded as it runs, and what PostgreSQL's plan for it looks at.

Nothing here knows a statement's wording: a function is invoked in this process, its connection keeps what was
executed with which parameters and for how long, and the plan is read as JSON.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import scalar_row

from shared.platform import database


class Plan(NamedTuple):
    """What running a statement looked at; `rows` are of the largest reading of any one table."""

    scans: list[str]
    """How each table was read: `favorites: Index Scan`."""
    rows: int
    """Rows that the largest reader of a table took from it, those it then threw away included."""
    sorted: int
    """Rows that the largest sort had."""
    pages: int
    """8 kB pages that were asked for, in memory or not."""

    @property
    def whole_tables(self) -> list[str]:
        """The tables that were read from their beginning to their end."""
        return [scan for scan in self.scans if scan.endswith("Seq Scan")]


@dataclass(frozen=True)
class Statement:
    """One statement as it was executed; the plan is that of just before, where plans were asked for."""

    text: str
    parameters: Any
    seconds: float
    plan: Plan | None


@contextmanager
def recorded(*, plans: bool = False) -> Iterator[list[Statement]]:
    """What the environment's connection executes inside the block, as it comes."""
    executed: list[Statement] = []

    class Recorder(psycopg.Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            text = query if isinstance(query, str) else query.as_string(self)
            plan = _plan(self.connection, text, params) if plans and _reads_or_writes(text) else None
            started = time.perf_counter()
            try:
                return super().execute(query, params, **options)
            finally:
                executed.append(Statement(text, params, time.perf_counter() - started, plan))

    connection = database.connection()
    usual = connection.cursor_factory
    connection.cursor_factory = Recorder
    try:
        yield executed
    finally:
        connection.cursor_factory = usual


def _reads_or_writes(text: str) -> bool:
    return text.lstrip(" \n(").upper().startswith(("SELECT", "WITH", "INSERT", "UPDATE", "DELETE"))


def _plan(connection: psycopg.Connection[Any], text: str, parameters: Any) -> Plan:
    """The plan of the statement as it is run with its parameters; what it writes is undone."""
    with (
        connection.transaction(force_rollback=True),
        psycopg.Cursor(connection, row_factory=scalar_row) as cursor,
    ):
        explain = f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {text}"
        explained = cursor.execute(explain.encode(), parameters).fetchone()
    assert explained is not None
    root = explained[0]["Plan"]
    nodes = list(_nodes(root))
    readers = [node for node in nodes if "Scan" in node["Node Type"] and "Relation Name" in node]
    return Plan(
        sorted({f"{node['Relation Name']}: {node['Node Type']}" for node in readers}),
        max((_looked_at(node) for node in readers), default=0),
        max((_looked_at(node) for node in nodes if node["Node Type"] == "Sort"), default=0),
        int(root["Shared Hit Blocks"] + root["Shared Read Blocks"]),
    )


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from _nodes(child)


def _looked_at(node: Mapping[str, Any]) -> int:
    rows: float = sum(
        node.get(name, 0)
        for name in ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    )
    return int(rows * node["Actual Loops"])
