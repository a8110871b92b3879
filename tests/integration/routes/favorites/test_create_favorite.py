"""POST /favorites"""

import pytest

from shared.accounts.access_tokens import Caller
from tests.integration.accounts import ask

pytestmark = pytest.mark.usefixtures("catalog")


def test_post_is_201_with_its_location_and_again_409(ana: Caller) -> None:
    answer, again = (ask("create_favorite", ana, body={"product_id": "7"}) for _ in range(2))
    assert (answer.status, answer.headers["Location"]) == (201, "/favorites/7")
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.json == ask("get_favorite", ana).json
    assert (again.status, again.problem) == (409, "already-favorite")
