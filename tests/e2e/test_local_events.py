"""Push and pull as a newcomer sees them: the sample catalog changes, and what the service makes of it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.__main__ import main
from local.servers.services import free_port, wait_until
from local.settings import ROOT
from local.stack import Stack
from tests import documents

PASSWORD = "correct horse battery"


class Console:
    """The running stack, what it printed, and a client who is logged in."""

    def __init__(self, stack: Stack, lines: list[str], consumer: Path) -> None:
        self.stack = stack
        self.consumer = consumer
        self.lines = lines
        self.http = httpx.Client(base_url=stack.url, timeout=30)
        account = {"name": "Ana", "email": "ana@example.com", "password": PASSWORD}
        assert self.http.post("/clients", json=account).status_code == 201
        del account["name"]
        self.token = self.http.post("/auth/login", json=account).json()["access_token"]
        self.http.headers["Authorization"] = f"Bearer {self.token}"

    def said(self, pattern: str) -> bool:
        return any(re.search(pattern, line) for line in self.lines.copy())

    def price(self, product_id: int) -> str:
        match = re.search(r'"price":([0-9.]+)', self.http.get(f"/products/{product_id}").text)
        assert match
        return match[1]

    def shows(self, product_id: int, price: str) -> bool:
        return self.price(product_id) == price

    def favorite(self, product_id: str) -> dict[str, Any]:
        items = self.http.get("/favorites").raise_for_status().json()["items"]
        found: dict[str, Any] = next(item for item in items if item["product_id"] == product_id)
        return found


@contextmanager
def _consumer(data: Path) -> Iterator[tuple[Path, str]]:
    """The consumer of docs/events.md: the file that it prints to, and its address."""
    (source,) = re.findall(r"```python\n(.*?)```", documents.text("docs/events.md"), re.DOTALL)
    port = free_port()
    printed = data / "consumer"
    with printed.open("w") as file:
        process = subprocess.Popen(  # noqa: S603 - the documentation's own
            [sys.executable, "-c", source.replace("8095", str(port))], stdout=file, stderr=subprocess.DEVNULL
        )
    yield printed, f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    lines: list[str] = []
    data = tmp_path_factory.mktemp("events")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_DATA", str(data))
        with (
            _consumer(data) as (consumer, url),
            Stack(
                data=data, schedule_seconds=2, log=lines.append, visibility_seconds=1, events_url=url
            ) as stack,
        ):
            console = Console(stack, lines, consumer)
            yield console
            console.http.close()
        assert not (data / "running.json").exists()


def test_the_first_request_is_a_hit_for_the_schedules_have_run(console: Console) -> None:
    assert console.http.get("/products/3").headers["X-Cache"] == "hit"
    assert console.http.get("/products").headers["X-Cache"] == "hit"
    assert console.said(r"^schedule \| warm_product_cache: 66 products, 66 changed, [0-9.]+ s$")
    assert console.said(r"^schedule \| publish_events: \d+ sent, 0 refused, 0 dead letters, \d+ left$")


def test_a_pushed_price_is_seen_in_the_detail_and_among_favorites(console: Console) -> None:
    console.http.put("/favorites/7").raise_for_status()
    assert console.price(7) == "11.20"
    assert console.favorite("7")["price_change"] == 0
    for price in ("9.90", "9.80"):
        assert main(["catalog", "price", "7", price]) == 0
        assert wait_until(partial(console.shows, 7, price), timeout=5)
        assert console.favorite("7")["price"] == float(price)
    favorite = console.favorite("7")
    assert (favorite["price_when_favorited"], favorite["price_change"]) == (11.2, -1.4)


def test_what_happened_here_is_told_on_the_bus(console: Console) -> None:
    console.http.put("/favorites/8").raise_for_status()
    assert main(["catalog", "price", "8", "1.10"]) == 0
    patterns = [
        r'^event \| favorites FavoriteAdded .*"product_id": "8"',
        r'^event \| favorites FavoriteProductPriceDropped .*"new_price": 1.10',
        r"^event \| favorites ClientRegistered ",
        r"^schedule \| publish_events: [1-9]\d* sent, 0 refused, 0 dead letters, \d+ left$",
    ]
    for pattern in patterns:
        assert wait_until(partial(console.said, pattern), timeout=20), (pattern, console.lines[-40:])


def test_a_consumer_of_ten_lines_gets_each_event_and_so_does_the_file(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    console.http.put("/favorites/12").raise_for_status()
    added = r'FavoriteAdded \{.*"product_id": "12"'
    assert wait_until(lambda: bool(re.search(added, console.consumer.read_text())), timeout=20)
    capsys.readouterr()
    assert main(["events", "FavoriteAdded"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "12" in {event["detail"]["product_id"] for event in events}
    assert {event["detail-type"] for event in events} == {"FavoriteAdded"}


def test_a_price_that_is_not_pushed_is_polled(console: Console) -> None:
    assert console.price(9) != "3.30"
    assert main(["catalog", "price", "9", "3.30", "--no-push"]) == 0
    assert wait_until(partial(console.shows, 9, "3.30"), timeout=20)
    told = r"^schedule \| warm_product_cache: 66 products, 1 changed, "
    assert wait_until(partial(console.said, told), timeout=5)


def test_a_product_goes_and_returns(console: Console, capsys: pytest.CaptureFixture[str]) -> None:
    console.http.put("/favorites/10").raise_for_status()
    assert main(["catalog", "remove", "10"]) == 0
    assert wait_until(lambda: console.http.get("/products/10").status_code == 404, timeout=1)
    assert console.favorite("10")["available"] is False
    assert main(["catalog", "restore", "10"]) == 0
    assert wait_until(lambda: console.http.get("/products/10").status_code == 200, timeout=1)
    assert console.favorite("10")["available"] is True
    capsys.readouterr()
    assert main(["catalog", "restore", "10"]) == 1
    assert main(["catalog", "price", "1000", "1"]) == 1
    assert capsys.readouterr().err == (
        "The sample catalog has no removed product 10.\nThe sample catalog has no such product 1000.\n"
    )


def test_a_poison_event_ends_as_a_dead_letter_and_holds_nobody_back(console: Console) -> None:
    assert console.stack._bus is not None
    console.stack._bus.put("catalog", "ProductChanged", '{"version": "poison"}')
    assert main(["catalog", "price", "11", "2.20"]) == 0
    assert wait_until(partial(console.shows, 11, "2.20"), timeout=5)
    dead_letter = r"^dead letter \| CatalogEventsQueue, 5 receives: "
    assert not console.said(dead_letter)  # the price was there before the poison was given up
    assert wait_until(partial(console.said, dead_letter), timeout=15)
    reasons = [line for line in console.lines if "event failed" in line]
    assert len(reasons) == 5
    assert "version" in reasons[0]


def test_sample_events_are_delivered_to_their_functions_or_refused_in_one_line(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(*arguments: str) -> Any:
        capsys.readouterr()
        assert main(["event", *arguments]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    events = ROOT / "events"
    assert answer(str(events / "get_health.json"))["statusCode"] == 200
    assert answer(str(events / "list_favorites.json"))["statusCode"] == 401
    page = answer(str(events / "list_favorites.json"), "--token", console.token)
    assert page["statusCode"] == 200
    assert json.loads(page["body"])["items"]
    assert answer(str(events / "run_migrations.json")) == {"applied": [], "admin_created": False}
    health = str(events / "get_health.json")
    assert main(["event", health, "--function", "nobody"]) == 1
    assert capsys.readouterr().err == "There is no function nobody.\n"
    assert main(["event", health, "--function", "refresh_product_cache"]) == 1
    assert capsys.readouterr().err == "refresh_product_cache failed: KeyError: 'Records'\n"


def test_an_event_can_be_pushed_with_curl(console: Console) -> None:
    (command,) = re.findall(
        r'^curl "\$EVENTS".*?\}\]\}\'$', documents.text("docs/events.md"), re.DOTALL | re.MULTILINE
    )
    assert console.http.get("/products/12").status_code == 200
    subprocess.run(  # noqa: S602 - the documentation's own
        command, shell=True, check=True, env={**os.environ, "EVENTS": console.stack.aws_url}
    )
    assert wait_until(lambda: console.http.get("/products/12").status_code == 404, timeout=5)


def test_seed_makes_three_clients_with_favorites_whose_prices_changed(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["seed"]) == 0
    assert "carla@example.com" in capsys.readouterr().out
    tokens = console.http.post(
        "/auth/login", json={"email": "carla@example.com", "password": PASSWORD}
    ).json()
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}

    def price_changes() -> set[bool]:
        items = console.http.get("/favorites", headers=bearer).json()["items"]
        return {item["price_change"] < 0 for item in items if item["price_change"]}

    assert wait_until(lambda: price_changes() == {True, False}, timeout=5)
    assert main(["seed"]) == 0
    assert "All of them were there already." in capsys.readouterr().out
