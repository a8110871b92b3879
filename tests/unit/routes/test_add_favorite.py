import pytest

from tests.calls import call

pytestmark = pytest.mark.usefixtures("backends")


@pytest.mark.parametrize("function", ["add_favorite", "get_favorite", "remove_favorite"])
@pytest.mark.parametrize("product_id", ["x" * 65, "a b", "7;", "é", "%2e", "7\n", "\0", "7,8"])
def test_an_id_that_no_product_can_have_is_404(function: str, product_id: str) -> None:
    answer = call(function, path={"product_id": product_id})
    assert answer.status == 404
    assert answer.problem in ("unknown-product", "not-favorite", "not-found")
