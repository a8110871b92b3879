"""If-Match and If-None-Match of requests that change something (RFC 9110 §13.1 and §13.2)."""

import pytest

from shared.accounts.access_tokens import Caller
from shared.favorites import items
from tests.integration.accounts import ask

pytestmark = pytest.mark.usefixtures("catalog")

OLD = '"an older one"'
PUT, DELETE = "add_favorite", "remove_favorite"

# Of a product that is a favorite (True) or none: the function, the header with the current ETag in place of
# {}, and the status.
ROWS = [
    (True, PUT, "if-match", "{}", 200),
    (True, PUT, "if-match", "*", 200),
    (True, PUT, "if-match", f"{OLD}, {{}}", 200),
    (True, PUT, "if-match", OLD, 412),
    (True, PUT, "if-match", "W/{}", 412),  # the strong comparison
    (True, PUT, "if-none-match", "*", 412),
    (True, PUT, "if-none-match", "{}", 412),
    (True, PUT, "if-none-match", "W/{}", 412),
    (True, PUT, "if-none-match", OLD, 200),
    (False, PUT, "if-none-match", "*", 201),
    (False, PUT, "if-match", "*", 412),
    (False, PUT, "if-match", OLD, 412),
    (True, DELETE, "if-match", "{}", 204),
    (True, DELETE, "if-match", "*", 204),
    (True, DELETE, "if-match", OLD, 412),
    (True, DELETE, "if-none-match", "*", 412),
    (False, DELETE, "if-match", OLD, 404),  # what would fail anyway fails as it would
    (True, "delete_client", "if-match", "{}", 204),
    (True, "delete_client", "if-match", OLD, 412),
    (True, "update_client", "if-match", OLD, 412),
]


@pytest.mark.parametrize(("is_favorite", "function", "header", "value", "status"), ROWS)
def test_a_change_happens_only_under_its_precondition(
    ana: Caller, is_favorite: bool, function: str, header: str, value: str, status: int
) -> None:
    if is_favorite:
        items.add(ana, "7")
    read = "get_client" if function.endswith("client") else "get_favorite"
    before = ask(read, ana)
    sent = value.replace("{}", before.headers.get("ETag", ""))
    answer = ask(function, ana, headers={header: sent})
    assert answer.status == status
    if status == 412:
        assert answer.problem == "changed-meanwhile"
        after = ask(read, ana)
        assert (after.status, after.headers.get("ETag")) == (before.status, before.headers.get("ETag"))


def test_of_an_unknown_product_that_is_what_is_said(ana: Caller) -> None:
    for headers in ({"if-match": OLD}, {"if-none-match": "*"}):
        answer = ask("add_favorite", ana, path={"product_id": "999"}, headers=headers)
        assert answer.problem == "unknown-product"
