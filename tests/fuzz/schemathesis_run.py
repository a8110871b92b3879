"""Schemathesis as a command, against a service that runs."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from local.stack import ROOT
from tests.e2e.api.document import operations

_HERE = Path(__file__).parent
_DOCUMENT = ROOT / "functions" / "get_docs" / "openapi.json"


@dataclass(frozen=True)
class Outcome:
    """What a run printed, how many requests it made of the document, and whether any check failed."""

    text: str
    requests: int
    failed: bool


@dataclass(frozen=True)
class Fuzz:
    """The questions of one kind of caller, `client` or `admin`, to the service at `url`.

    The database is where admins are made.
    """

    url: str
    database_url: str
    caller: str

    def run(self, at_least: int, seed: int | None = None) -> Outcome:
        """Ask so many questions or more, evenly of all routes; each time others, or those of the seed."""
        outcome = self._ask(at_least, seed)
        while outcome.requests < at_least and not outcome.failed:  # some routes know few questions
            more = self._ask(at_least - outcome.requests, None if seed is None else seed + outcome.requests)
            outcome = Outcome(outcome.text + more.text, outcome.requests + more.requests, more.failed)
        return outcome

    def _ask(self, about: int, seed: int | None) -> Outcome:
        examples = -(-about // len(list(operations())))
        command = [
            *(str(Path(sys.executable).with_name("schemathesis")), "--config-file"),
            *(str(_HERE / "schemathesis.toml"), "run", str(_DOCUMENT), "--no-color"),
            *("--url", self.url, "--max-examples", str(examples)),
            *([] if seed is None else ["--seed", str(seed)]),
        ]
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
            "FUZZ_URL": self.url,
            "FUZZ_DATABASE_URL": self.database_url,
            "FUZZ_CALLER": self.caller,
        }
        done = subprocess.run(  # noqa: S603 — a list, no shell
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        text = f"── as {self.caller} ──\n{done.stdout}{done.stderr}"
        generated = re.search(r"^ *([0-9,]+) generated", done.stdout, re.MULTILINE)
        requests = int(generated[1].replace(",", "")) if generated else 0
        return Outcome(text, requests, failed=done.returncode != 0)
