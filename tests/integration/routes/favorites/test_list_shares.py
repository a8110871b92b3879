"""GET /shares"""

from shared.accounts.access_tokens import Caller
from shared.favorites.shares import MAX_SHARES
from tests.integration import accounts
from tests.integration.accounts import ask


def test_the_shares_are_those_of_the_caller_newest_first_and_never_stored(ana: Caller) -> None:
    first, second = (ask("create_share", ana, body={"title": title}).json for title in ("First", "Second"))
    ask("create_share", accounts.new_caller(), body={})
    answer = ask("list_shares", ana)
    assert answer.json == {"items": [second, first], "max": MAX_SHARES}
    assert answer.headers["Cache-Control"] == "no-store"
