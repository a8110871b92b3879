"""What a shop does with the client that openapi-python-client generated: `python shop.py <address> <e-mail>`.

Its types are checked against the client's as a shop's own would be (test_generated_clients.py).
"""

import sys
from datetime import UTC, datetime, timedelta

from favorites_client import AuthenticatedClient, Client
from favorites_client.api.auth import login
from favorites_client.api.clients import create_client
from favorites_client.api.favorites import (
    add_favorite,
    change_favorites,
    create_favorite,
    list_favorite_ids,
    list_favorites,
)
from favorites_client.api.products import get_product
from favorites_client.models import (
    Account,
    ChangedFavorites,
    Credentials,
    Favorite,
    FavoriteChanges,
    FavoriteIds,
    FavoritePage,
    GatewayError,
    Mark,
    NewClient,
    NewFavorite,
    Problem,
    Tokens,
)

PASSWORD = "correct horse battery"


def log_in(address: str, email: str) -> AuthenticatedClient:
    """Register, and log in."""
    with Client(address) as visitor:
        registered = create_client.sync(
            client=visitor, body=NewClient(name="Ana Souza", email=email, password=PASSWORD)
        )
        assert isinstance(registered, Account)
        tokens = login.sync(client=visitor, body=Credentials(email=email, password=PASSWORD))
        assert isinstance(tokens, Tokens)
        return AuthenticatedClient(address, token=tokens.access_token)


def merge(client: AuthenticatedClient) -> None:
    """Take what the guest collected, once more than needed."""
    guests = [
        Mark(product_id="3", favorited_at=datetime.now(UTC) - timedelta(days=2)),
        Mark(product_id="7"),
        Mark(product_id="998"),
    ]
    merged = change_favorites.sync(client=client, body=FavoriteChanges(add=guests))
    assert isinstance(merged, ChangedFavorites)
    assert (merged.added, merged.already, merged.count) == (["3"], ["7"], 2)
    assert [(each.product_id, each.type_) for each in merged.refused] == [
        ("998", "/problems/unknown-product")
    ]
    again = change_favorites.sync(client=client, body=FavoriteChanges(add=guests, remove=["12"]))
    assert isinstance(again, ChangedFavorites)
    assert (again.added, again.already, again.absent) == ([], ["3", "7"], ["12"])


def pages(client: AuthenticatedClient) -> list[Favorite]:
    """All favorites, cheapest first, a page after the other."""
    items: list[Favorite] = []
    cursor: str | None = None
    while True:
        page = (
            list_favorites.sync(client=client, limit=1, sort="price")
            if cursor is None
            else list_favorites.sync(client=client, limit=1, sort="price", cursor=cursor)
        )
        assert isinstance(page, FavoritePage)
        assert page.count == 2
        items += page.items
        cursor = page.next_cursor
        if cursor is None:
            return items


def main(address: str, email: str) -> None:
    """Register, log in, mark, merge, list, ask for hearts, be refused."""
    with log_in(address, email) as client:
        marked = add_favorite.sync("7", client=client)
        assert isinstance(marked, Favorite)
        assert marked.price == marked.price_when_favorited
        merge(client)
        shown = pages(client)
        assert sorted(each.product_id for each in shown) == ["3", "7"]
        assert [each.price for each in shown] == sorted(each.price for each in shown)
        hearts = list_favorite_ids.sync(client=client, product_id=["7", "12", "3"])
        assert isinstance(hearts, FavoriteIds)
        assert (hearts.product_ids, hearts.count, hearts.max_) == (["7", "3"], 2, 5_000)
        refused = create_favorite.sync(client=client, body=NewFavorite(product_id="7"))
        assert isinstance(refused, Problem)
        assert (refused.type_, refused.status) == ("/problems/already-favorite", 409)
        nonsense = list_favorite_ids.sync(client=client, product_id=["no product"])
        assert isinstance(nonsense, Problem)
        assert nonsense.errors
        assert nonsense.errors[0].location == "query.product_id.0"
    with Client(f"{address}/v2") as lost:  # no such route: API Gateway answers, and no function
        answer = get_product.sync("7", client=lost)
        assert isinstance(answer, GatewayError)
        assert answer.message == "Not Found"


if __name__ == "__main__":
    main(*sys.argv[1:])
