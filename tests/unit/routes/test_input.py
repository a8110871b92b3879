"""What a caller sends and a function refuses: each value, and where the 422 says that it is wrong."""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from functions.list_favorites.handler import Sort
from shared.favorites import listing
from tests.calls import ADMIN, ANA, SOMEBODY_ELSE, call, sample, token

pytestmark = pytest.mark.usefixtures("backends")

PASSWORD = "correct horse battery"
HALF = "\ud800"  # half a character: no UTF-8, so nothing that PostgreSQL could keep
BAD_NAMES = ["A\r\nBcc: x@x.example", "\x1b[31mAna", "Ana\u202eazuoS", "\u200b", "\u3164", "\u0301"]
NO_IDS = ["", "a b", "7\n", "\0", HALF, "é", "x" * 65, 7, None, ["4"], True]

BAD_TOKENS: dict[str, list[Any]] = {"refresh_token": [None, "", "x" * 513, 7, HALF], "scope": ["all"]}


def many(count: int) -> str:
    return ",".join(map(str, range(count)))


def at(**ago: float) -> str:
    return (datetime.now(UTC) - timedelta(**ago)).isoformat()


def mark(favorited_at: object) -> dict[str, Any]:
    return {"add": [{"product_id": "7", "favorited_at": favorited_at}]}


# Of each function that takes a body: a good one, with bad values of its fields.
BAD_VALUES: dict[str, tuple[dict[str, Any], dict[str, list[Any]]]] = {
    "create_client": (
        {"name": "Ana Souza", "email": "ana@example.com", "password": PASSWORD},
        {
            "name": ["", "   ", "x" * 201, "Ana\0Souza", f"Ana {HALF}", None, 7, ["Ana"], *BAD_NAMES],
            # All that is no e-mail is in tests/unit/shared/test_emails.py.
            "email": ["", "ana", f"ana@{HALF}.com", "a" * 250 + "@example.com", None, {"at": "x.com"}],
            "password": ["7 chars", "x" * 129, "Senha@123", "Ana Souza 1", f"half a {HALF} one", None, 1e9],
            "role": ["admin"],  # nobody makes themselves one
        },
    ),
    "update_client": (
        {"name": "Ana", "password": "incorrect zebra staple", "current_password": PASSWORD},
        {
            "name": [None, "", "\0", "\udfff"],  # RFC 7396 would remove null; a client always has one
            "email": [None, "nonsense"],
            "password": [None, "short"],
            "current_password": [""],
            "role": ["admin"],
            "client_id": [str(SOMEBODY_ELSE)],
            "created_at": ["2026-11-23T12:00:00Z"],
            "Name": ["Ana"],
        },
    ),
    "login": (
        {"email": "ana@example.com", "password": PASSWORD},
        {
            "email": [None, "a" * 255, "ana\0@example.com", HALF, ["ana@example.com"]],
            "password": [None, "", "x" * 129, HALF],
            "remember": [True],
        },
    ),
    "refresh_token": ({"refresh_token": "x"}, BAD_TOKENS),
    "logout": ({"refresh_token": "x"}, BAD_TOKENS),
    "create_favorite": ({"product_id": "7"}, {"product_id": NO_IDS, "client_id": [str(SOMEBODY_ELSE)]}),
}  # fmt: skip


@pytest.mark.parametrize(
    ("function", "field", "value"),
    [
        (function, field, value)
        for function, (_, fields) in BAD_VALUES.items()
        for field, values in fields.items()
        for value in values
    ],
)
def test_a_bad_value_is_422_and_named(function: str, field: str, value: object) -> None:
    answer = call(function, body=BAD_VALUES[function][0] | {field: value})
    assert answer.status == 422
    assert answer.wrong == [f"body.{field}"]


BODIES: list[tuple[str, Any, list[str]]] = [
    ("create_client", {}, ["body.name", "body.email", "body.password"]),
    (
        "create_client",
        {"name": "", "email": "ana", "password": "x", "age": 7},
        ["body.name", "body.email", "body.password", "body.age"],
    ),
    ("update_client", {"password": "incorrect zebra staple"}, ["body.current_password"]),
    ("login", {}, ["body.email", "body.password"]),
    ("refresh_token", {}, ["body.refresh_token"]),
    ("create_favorite", {}, ["body.product_id"]),
    ("change_favorites", {}, ["body"]),
    ("change_favorites", {"add": [], "remove": []}, ["body"]),
    ("change_favorites", {"add": None}, ["body.add"]),
    ("change_favorites", {"add": ["7"]}, ["body.add.0"]),
    ("change_favorites", {"add": [{}]}, ["body.add.0.product_id"]),
    ("change_favorites", {"add": [{"product_id": 7}]}, ["body.add.0.product_id"]),
    ("change_favorites", {"add": [{"product_id": "7", "price": 1}]}, ["body.add.0.price"]),
    ("change_favorites", {"remove": [{"product_id": "7"}]}, ["body.remove.0"]),
    ("change_favorites", {"add": [{"product_id": "7"}], "remove": ["8", "7"]}, ["body.remove.1"]),
    ("change_favorites", {"remove": many(101).split(",")}, ["body.remove"]),
    ("change_favorites", {"add": [{"product_id": "x"}], "remove": many(100).split(",")}, ["body"]),
    ("change_favorites", {"adds": []}, ["body.adds"]),
    *(
        ("change_favorites", mark(when), ["body.add.0.favorited_at"])
        for when in (
            *(1795435212, "1795435212", "2026-11-20", ""),
            *("2026-11-20T12:00:00", "2026-11-20 12:00:00Z", "2026-11-20T25:00:00Z", "2026-11-20T12:00Z"),
        )
    ),
]


@pytest.mark.parametrize("number", range(len(BODIES)))
def test_all_that_is_wrong_with_a_body_is_named(number: int) -> None:
    function, body, wrong = BODIES[number]
    assert call(function, body=body).wrong == wrong


def test_an_admin_needs_the_current_password_for_their_own() -> None:
    answer = call("update_client", authorization=token(ADMIN, "admin"), body={"password": "incorrect zebra"})
    assert answer.wrong == ["body.current_password"]
    assert answer.json["errors"][0]["type"] == "missing"


def test_a_refused_password_is_not_repeated() -> None:
    answer = call("create_client", body=BAD_VALUES["create_client"][0] | {"password": "Passw0rd"})
    assert answer.wrong == ["body.password"]
    assert "Passw0rd" not in answer.body


# ── Query ─────────────────────────────────────────────────────────────────────────────────────────────────

LIMITS = [
    *("0", "101", "-1", "abc", "", "1.5", "1e1", "9" * 5_000, "1_0", "5.0", "+5", "05", " 5", "5\n"),
    "\u0665",
]

# Of each list, bad values of its parameters.
BAD_PARAMETERS: dict[str, dict[str, list[str]]] = {
    "list_clients": {"limit": LIMITS},
    "list_favorites": {
        "limit": LIMITS,
        "sort": ["FAVORITED_AT", "", "rating", "favorited_at;"],
        "available": ["maybe", "yes", "1", "True", "true ", "on"],
        "price_dropped": ["", "no"],
        "category": ["x" * 201, "\0"],
        "cursor": ["forged", "", "=" * 8],
    },
    "list_favorite_ids": {
        "limit": [*LIMITS[2:], "0", "1001"],
        "cursor": ["forged"],
        "product_id": [many(101), ",".join(["7"] * 101)],
        "product_ids": ["7"],
    },
    "list_products": {
        "limit": LIMITS,
        "sort": ["rating", "", "price,title", "PRICE", "--price"],
        "category": ["x" * 201],
        "cursor": ["", "x" * 2_001, "forged", "Zm9yZ2VkIGJ1dCBiYXNlNjQ"],
        "product_id": [many(101)],
    },
}


@pytest.mark.parametrize(
    ("function", "name", "value"),
    [
        (function, name, value)
        for function, parameters in BAD_PARAMETERS.items()
        for name, values in parameters.items()
        for value in values
    ],
)
def test_a_bad_parameter_is_422_and_named(function: str, name: str, value: str) -> None:
    answer = call(function, authorization=_admin(function), query={name: value})
    assert answer.wrong == [f"query.{name}"]


@pytest.mark.parametrize(
    ("function", "query", "wrong"),
    [
        ("list_favorites", {"limit": "0", "sort": "x"}, ["query.limit", "query.sort"]),
        ("list_products", {"limit": "0", "sort": "x"}, ["query.limit", "query.sort"]),
        *(
            ("list_products", {"product_id": "7", name: "price"}, [f"query.{name}"])
            for name in ("cursor", "category", "sort", "colour")
        ),
        ("list_favorite_ids", {"product_id": "7", "cursor": "x"}, ["query.cursor"]),
        *(
            (function, {"product_id": ids}, [f"query.product_id.{wrong}"])
            for function in ("list_favorite_ids", "list_products")
            for ids, wrong in {"": 0, "7,,12": 1, "7, 12": 1, "a b": 0, "7," + "x" * 65: 1, "7,": 1}.items()
        ),
    ],
)
def test_parameters_that_do_not_go_together_are_422(
    function: str, query: dict[str, str], wrong: list[str]
) -> None:
    assert call(function, query=query).wrong == wrong


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("list_clients", "limit"),
        *(("list_favorites", name) for name in ("limit", "sort", "cursor")),
        *(("list_products", name) for name in ("limit", "sort", "cursor")),
        ("list_products", "category"),
    ],
)  # fmt: skip
def test_a_repeated_parameter_is_422_and_not_guessed(function: str, name: str) -> None:
    joined = {name: "1,2"}  # as API Gateway does
    answer = call(
        function,
        authorization=_admin(function),
        rawQueryString=f"{name}=1&{name}=2",
        queryStringParameters=joined,
    )
    assert answer.wrong == [f"query.{name}"]


def test_the_sorts_that_the_route_takes_are_those_that_the_pages_know() -> None:
    sorts, *_ = get_args(Sort)
    assert set(get_args(sorts)) == listing.ORDERS.keys()


# ── Paths ─────────────────────────────────────────────────────────────────────────────────────────────────

NO_PRODUCTS = ["x" * 65, "a b", "7;", "é", "%2e", "7\n", "\0", "7,8", "..%2fclients", ""]
NO_CLIENTS = ["42", "ME", "me ", "null", str(ANA)[:-1], str(ANA) + "0", "%00", "é", "'--", "x" * 500]


@pytest.mark.parametrize("function", ["add_favorite", "get_favorite", "remove_favorite", "get_product"])
def test_an_id_that_no_product_can_have_is_404(function: str) -> None:
    for product_id in NO_PRODUCTS:
        answer = call(function, path={"product_id": product_id})
        assert (answer.status, answer.problem in ("unknown-product", "not-found")) == (404, True), product_id
    path = sample(function)["rawPath"] + "\n"  # API Gateway decodes %0A: a line break is no end of an id
    assert call(function, rawPath=path, pathParameters={"product_id": "7\n"}).problem == "unknown-product"


@pytest.mark.parametrize("function", ["get_client", "update_client", "delete_client"])
def test_an_id_that_is_no_uuid_is_404_whatever_the_body(function: str) -> None:
    for client_id in NO_CLIENTS:
        answer = call(function, path={"client_id": client_id}, body={"name": None})
        assert (answer.status, answer.problem in ("unknown-client", "not-found")) == (404, True), client_id


@pytest.mark.parametrize(
    "function", ["get_client", "update_client", "delete_client", "export_client", "end_sessions"]
)
def test_another_client_is_403_without_a_look_at_the_database(function: str) -> None:
    answer = call(function, path={"client_id": str(SOMEBODY_ELSE)})
    assert (answer.status, answer.problem) == (403, "forbidden")


def _admin(function: str) -> str:
    return token(ADMIN, "admin") if function == "list_clients" else token()
