import pytest

from tests.calls import call

pytestmark = pytest.mark.usefixtures("backends")


def many(count: int) -> str:
    return ",".join(map(str, range(count)))


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ({"product_id": ""}, ["query.product_id.0"]),
        ({"product_id": "7,,12"}, ["query.product_id.1"]),
        ({"product_id": "7, 12"}, ["query.product_id.1"]),
        ({"product_id": "a b"}, ["query.product_id.0"]),
        ({"product_id": "7," + "x" * 65}, ["query.product_id.1"]),
        ({"product_id": many(101)}, ["query.product_id"]),
        ({"product_id": ",".join(["7"] * 101)}, ["query.product_id"]),
        ({"product_id": "7", "cursor": "x"}, ["query.cursor"]),
        ({"limit": "0"}, ["query.limit"]),
        ({"limit": "1001"}, ["query.limit"]),
        ({"cursor": "forged"}, ["query.cursor"]),
        ({"product_ids": "7"}, ["query.product_ids"]),
    ],
)
def test_bad_parameters_are_422_and_named(query: dict[str, str], wrong: list[str]) -> None:
    assert call("list_favorite_ids", query=query).wrong == wrong
