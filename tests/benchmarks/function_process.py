"""A process that runs functions' code on services of its own, request by request: no runtime, no emulator.

    python -m tests.benchmarks.function_process

takes a task (JSON) from each line of its input and writes what came of it on a line of its output.
`FunctionProcess` is the other end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NamedTuple

from local.servers.services import Startable

ROOT = Path(__file__).resolve().parents[2]


class Step(NamedTuple):
    """One request: what it is called in the table, the function, its event, the status that it has to get."""

    name: str
    function: str
    event: Any
    status: int | None = 200


class FunctionProcess(Startable):
    """One such process; `variables` are the functions' settings."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it; what it prints besides its answers goes to this console."""
        self._process = subprocess.Popen(  # noqa: S603 — this module
            [sys.executable, "-m", __name__],
            cwd=ROOT,
            env={**os.environ, **self._variables, "POWERTOOLS_LOG_LEVEL": "ERROR"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def run(self, steps: Sequence[Step]) -> list[float]:
        """Seconds that each of the steps took. Ends the command where one is answered otherwise."""
        seconds: list[float] = self._ask("run", steps)
        return seconds

    def answer(self, step: Step) -> Any:
        """What the function answers."""
        return self._ask("answer", [step])

    def statements(self, step: Step) -> list[dict[str, Any]]:
        """Each statement that the step executed: its `text`, its `parameters` and the `seconds` it took."""
        executed: list[dict[str, Any]] = self._ask("statements", [step])
        return executed

    def plans(self, step: Step) -> list[dict[str, Any]]:
        """The plan of each statement that the step executed: `statements.Plan` and the `text`."""
        plans: list[dict[str, Any]] = self._ask("plans", [step])
        return plans

    def _ask(self, task: str, steps: Sequence[Step]) -> Any:
        process = self._process
        assert process is not None
        print(json.dumps({"task": task, "steps": steps}), file=_pipe(process.stdin), flush=True)
        line = _pipe(process.stdout).readline()
        answer = json.loads(line) if line else {"error": "the process ended"}
        if "error" in answer:
            sys.exit(f"{steps[0].name}: {answer['error']}")
        return answer["result"]


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


# ── In the process ────────────────────────────────────────────────────────────────────────────────────────


def _serve() -> None:
    answers = sys.stdout
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):  # log and metrics are no answers
        for line in sys.stdin:
            asked = json.loads(line)
            steps = [Step(*step) for step in asked["steps"]]
            try:
                answer = {"result": _TASKS[asked["task"]](steps)}
            except Exception as error:  # noqa: BLE001 — whoever asked ends with it
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer, default=str), file=answers, flush=True)


def _run(steps: Sequence[Step]) -> list[float]:
    seconds = []
    for step in steps:
        handler = _handler(step.function)
        started = time.perf_counter()
        answer = handler(step.event, _Context())
        seconds.append(time.perf_counter() - started)
        _check(step, answer)
    return seconds


def _answer(steps: Sequence[Step]) -> Any:
    answer = _handler(steps[0].function)(steps[0].event, _Context())
    _check(steps[0], answer)
    return answer


def _statements(steps: Sequence[Step]) -> list[dict[str, Any]]:
    from tests.benchmarks import statements

    with statements.recorded() as executed:
        _answer(steps)
    return [{"text": each.text, "parameters": each.parameters, "seconds": each.seconds} for each in executed]


def _plans(steps: Sequence[Step]) -> list[dict[str, Any]]:
    from tests.benchmarks import statements

    with statements.recorded(plans=True) as executed:
        _answer(steps)
    return [
        {**each.plan._asdict(), "whole_tables": each.plan.whole_tables, "text": each.text}
        for each in executed
        if each.plan
    ]


class _Context:
    """What Lambda tells a function of its invocation, as far as functions ask."""

    function_name = invoked_function_arn = aws_request_id = "benchmark"
    memory_limit_in_mb = 512

    def __init__(self, seconds: float = 120) -> None:
        self._ends = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        """Until the function would be killed."""
        return round((self._ends - time.monotonic()) * 1000)


def _handler(function: str) -> Any:
    return import_module(f"functions.{function}.handler").lambda_handler


def _check(step: Step, answer: Any) -> None:
    if step.status is not None and answer["statusCode"] != step.status:
        raise ValueError(f"{step.name} was answered {answer['statusCode']}: {str(answer.get('body'))[:300]}")


_TASKS = {"run": _run, "answer": _answer, "statements": _statements, "plans": _plans}


if __name__ == "__main__":
    _serve()
