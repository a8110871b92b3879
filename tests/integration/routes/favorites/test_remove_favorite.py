"""DELETE /favorites/{product_id}"""

import pytest

from shared.accounts.access_tokens import Caller
from shared.favorites import items
from tests.integration import accounts, concurrency
from tests.integration.accounts import ask

pytestmark = pytest.mark.usefixtures("catalog")


def test_own_favorite_is_removed_in_one_statement_with_204_and_then_404(ana: Caller) -> None:
    ben = accounts.new_caller()
    items.add(ben, "7")
    assert ask("get_favorite", ana).problem == "not-favorite"
    items.add(ana, "7")
    with concurrency.statements() as sent:
        removed = ask("remove_favorite", ana)
    assert (removed.status, removed.body, len(sent)) == (204, "", 1)
    for function in ("remove_favorite", "get_favorite"):
        answer = ask(function, ana)
        assert (answer.status, answer.problem) == (404, "not-favorite")
    assert ask("get_favorite", ben).status == 200
    assert ask("add_favorite", ana).status == 201
