"""DELETE /shares/{share_id}"""

from shared.accounts.access_tokens import Caller
from tests.integration import accounts
from tests.integration.accounts import ask


def test_a_removed_share_ends_at_once(ana: Caller) -> None:
    share = ask("create_share", ana, body={}).json
    link = {"token": share["token"]}
    assert ask("list_shared_favorites", ana, path=link).status == 200
    removed, again = (ask("remove_share", ana, path={"share_id": share["share_id"]}) for _ in range(2))
    assert (removed.status, again.problem) == (204, "unknown-share")
    assert ask("list_shared_favorites", ana, path=link).problem == "unknown-share"


def test_another_clients_share_is_unknown(ana: Caller) -> None:
    share = ask("create_share", ana, body={}).json
    refused = ask("remove_share", accounts.new_caller(), path={"share_id": share["share_id"]})
    assert (refused.status, refused.problem) == (404, "unknown-share")
    assert ask("list_shares", ana).json["items"] == [share]


def test_a_malformed_id_is_unknown(ana: Caller) -> None:
    assert ask("remove_share", ana, path={"share_id": "7"}).problem == "unknown-share"
