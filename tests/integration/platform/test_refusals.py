"""What the service answers to people whom it refuses: each sentence to the letter, as `detail` has it."""

from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest

from shared.accounts import profile_changes, profiles, removal
from shared.accounts.access_tokens import Caller
from shared.accounts.models import ClientChanges
from shared.accounts.sessions import starts
from shared.errors import DomainError, InvalidInput
from shared.favorites import bulk as favorites_changes
from shared.favorites import items
from shared.favorites.models import FavoriteChanges, Mark
from tests.hostile_catalog import Answer, HostileCatalog, product
from tests.integration import accounts

pytestmark = pytest.mark.usefixtures("catalog")


def change(caller: Caller, if_match: str | None = None, **given: str) -> None:
    profile_changes.update(caller, "me", ClientChanges(**given), if_match=if_match)


def mark_twice(caller: Caller) -> None:
    items.create(caller, "7")
    items.create(caller, "7")


NOT_A_FAVORITE = "The product is not one of your favorites."

BY_A_CLIENT: dict[str, tuple[str, Callable[[Caller], object]]] = {
    "register": (
        "Another client has this e-mail.",
        lambda ana: accounts.register(email=profiles.get(ana, "me").email),
    ),
    "change": (
        "The client has changed since the ETag that If-Match names.",
        lambda ana: change(ana, if_match='"other"', name="Maria"),
    ),
    "password": (
        "The current password is another.",
        lambda ana: change(ana, password="another fine one", current_password="a guess"),
    ),
    "remove": (
        "Log in again before you remove your account.",
        lambda ana: removal.remove(replace(ana, authenticated_at=0), "me"),
    ),
    "other": ("This belongs to another client.", lambda ana: profiles.get(ana, uuid4())),
    "list": (
        "Only admins may do this.",
        lambda ana: profiles.list_all(ana, limit=1, cursor=None, email=None),
    ),
    "log in": (
        "The e-mail or the password is wrong.",
        lambda ana: starts.log_in(profiles.get(ana, "me").email, "a guess"),
    ),
    "unknown": ("There is no product '99'.", lambda ana: items.add(ana, "99")),
    "twice": ("The product is already one of your favorites.", mark_twice),
    "get": (NOT_A_FAVORITE, lambda ana: items.get(ana, "7")),
    "unmark": (NOT_A_FAVORITE, lambda ana: items.remove(ana, "7")),
}


@pytest.mark.parametrize("what", BY_A_CLIENT)
def test_a_client_reads_why(ana: Caller, catalog: HostileCatalog, what: str) -> None:
    catalog.answer("/products/7", Answer.json(product(7)))
    sentence, ask = BY_A_CLIENT[what]
    with pytest.raises(DomainError) as refused:
        ask(ana)
    assert refused.value.detail == sentence


BY_AN_ADMIN: dict[str, tuple[str, Callable[[Caller], object]]] = {
    "nobody": ("There is no such client.", lambda admin: profiles.get(admin, uuid4())),
    "last": (
        "This is the last admin: make another client an admin first.",
        lambda admin: removal.remove(admin, "me"),
    ),
}


@pytest.mark.parametrize("what", BY_AN_ADMIN)
def test_an_admin_reads_why(db: psycopg.Connection, what: str) -> None:
    sentence, ask = BY_AN_ADMIN[what]
    with pytest.raises(DomainError) as refused:
        ask(accounts.new_admin(db))
    assert refused.value.detail == sentence


VALUES: dict[str, tuple[str, str, str, Callable[[Caller], object]]] = {
    "password": (
        "body.current_password",
        "missing",
        "is needed to change the e-mail or password",
        lambda ana: change(ana, password="another fine one"),
    ),
    "none": (
        "body",
        "length",
        "add and remove have 1 to 100 products together",
        lambda ana: favorites_changes.change(ana, FavoriteChanges(add=[], remove=[])),
    ),
    "twice": (
        "body.remove.1",
        "repeated",
        "is in add too",
        lambda ana: favorites_changes.change(
            ana, FavoriteChanges(add=[Mark(product_id="7")], remove=["8", "7"])
        ),
    ),
}


@pytest.mark.parametrize("what", VALUES)
def test_a_client_reads_which_value_is_wrong_and_why(ana: Caller, what: str) -> None:
    location, kind, message, ask = VALUES[what]
    with pytest.raises(InvalidInput) as refused:
        ask(ana)
    assert (refused.value.location, refused.value.kind, refused.value.message) == (location, kind, message)
