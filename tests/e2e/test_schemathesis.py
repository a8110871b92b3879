"""A short run of `make fuzz`: questions that somebody else's program thinks of when it reads the document."""

import pytest

from local.stack import Stack
from tests.fuzz.schemathesis_run import Fuzz


@pytest.mark.parametrize("caller", ["client", "admin"])
def test_no_answer_leaves_the_document_whatever_is_asked(stack: Stack, caller: str) -> None:
    outcome = Fuzz(stack.url, stack.settings["DATABASE_URL"], caller).run(at_least=18, seed=7)
    assert not outcome.failed, outcome.text
    assert outcome.requests >= 200
