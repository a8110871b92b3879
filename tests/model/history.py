"""Customers who do whatever comes to mind, several on one account, and the history of their answers."""

import itertools
import random
import secrets
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx

from local.servers.services import wait_until
from tests.model.linearizability import Meaning, Operation, State, change, observe

PASSWORD = "correct horse battery"
PRODUCTS = [str(number) for number in range(1, 21)]

GONE = "gone"  # the state of each favorite of a removed client; else None, or when it was marked


@dataclass(frozen=True)
class _Login:
    client_id: str
    token: str = field(repr=False)


@dataclass
class _Slot:
    """An e-mail that somebody registers with again and again, and their latest log-in."""

    email: str
    login: _Login | None = None


@dataclass
class History:
    """What was answered, as operations on the registers it tells of, and what no register explains.

    A register is a favorite (client, product), from the client's registration on, or an e-mail: who has it.
    """

    favorites: dict[tuple[str, str], list[Operation]] = field(default_factory=lambda: defaultdict(list))
    emails: dict[str, list[Operation]] = field(default_factory=lambda: defaultdict(list))
    added: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # client, product, when
    removed: Counter[tuple[str, str]] = field(default_factory=Counter)
    by_etag: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)  # what ids it stands for
    unexpected: list[str] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    clients: set[str] = field(default_factory=set)


class Customers:
    """`workers` of them on `clients` accounts, at random operations on the service at `url`."""

    def __init__(self, url: str, *, workers: int = 32, clients: int = 8, seed: int | None = None) -> None:
        run = secrets.token_hex(4)
        self.history = History()
        self._http = httpx.Client(
            base_url=url, timeout=60, limits=httpx.Limits(max_connections=workers), trust_env=False
        )
        self._workers = workers
        self._slots = [_Slot(f"model{number}.{run}@example.com") for number in range(clients)]
        self._writing = threading.Lock()
        self._stopping = threading.Event()
        self._seeds = itertools.count(secrets.randbits(32) if seed is None else seed)

    def work(self, seconds: float, at_least: int = 0) -> None:
        """Let them work so long, and until so many requests are answered; returns after the last answer."""
        with self._http, ThreadPoolExecutor(self._workers) as threads:
            list(threads.map(self._register, self._slots))
            working = [threads.submit(self._work) for _ in range(self._workers)]
            self._stopping.wait(seconds)
            wait_until(lambda: self.history.requests.total() >= at_least, timeout=60, interval=0.1)
            self._stopping.set()
            for worker in working:
                worker.result()

    def _work(self) -> None:
        chance = random.Random(next(self._seeds))
        acts: dict[Callable[[_Slot, _Login, str], None], int] = {
            partial(self._favorite_itself, "PUT"): 25,
            partial(self._favorite_itself, "POST"): 12,
            partial(self._favorite_itself, "DELETE"): 25,
            partial(self._favorite_itself, "GET"): 18,
            self._change: 8,
            self._list: 12,
            self._ids: 6,
            self._me: 2,
            self._leave: 1,
            lambda slot, *_: self._register(slot): 1,
        }
        while not self._stopping.is_set():
            slot = chance.choice(self._slots)
            login = slot.login
            assert login is not None  # from the first log-in on there is one, if only of a removed client
            (act,) = chance.choices(list(acts), list(acts.values()))
            act(slot, login, chance.choice(PRODUCTS))

    # ── What they do ──────────────────────────────────────────────────────────────────────────────────────

    def _favorite_itself(self, method: str, slot: _Slot, login: _Login, product_id: str) -> None:
        """PUT, GET, DELETE, or POST to the collection."""
        if method == "POST":
            asked = self._ask("POST", "/favorites", login, {"product_id": product_id})
        else:
            asked = self._ask(method, f"/favorites/{product_id}", login)
        match method, asked.status:
            case (("PUT" | "POST"), 201):
                self._added(asked, login, product_id, asked.body["favorited_at"])
            case (("PUT" | "GET"), 200):
                self._favorite(asked, login, product_id, is_state(asked.body["favorited_at"]))
            case "POST", 409:
                self._favorite(asked, login, product_id, observe(_is_marked))
            case "DELETE", 204:
                self._removed(asked, login, product_id)
            case (("DELETE" | "GET"), 404):
                self._favorite(asked, login, product_id, observe(_is_none))
            case _:
                self._refused(asked, slot, login)

    def _change(self, slot: _Slot, login: _Login, product_id: str) -> None:
        first = PRODUCTS.index(product_id)
        touched = [PRODUCTS[(first + step) % len(PRODUCTS)] for step in range(4)]
        # Times of our own, as the answer has none: a guest marked the product some days ago.
        marks = {each: _some_time_ago() for each in touched[:2]}
        body = {
            "add": [{"product_id": each, "favorited_at": when} for each, when in marks.items()],
            "remove": touched[2:],
        }
        asked = self._ask("POST", "/favorite-changes", login, body)
        if asked.status != 200 or asked.body["refused"]:
            self._refused(asked, slot, login)
            return
        for each in asked.body["added"]:
            self._added(asked, login, each, marks[each])
        for each in asked.body["removed"]:
            self._removed(asked, login, each)
        for each in asked.body["already"]:
            self._favorite(asked, login, each, observe(_is_marked))
        for each in asked.body["absent"]:
            self._favorite(asked, login, each, observe(_is_none))

    def _list(self, slot: _Slot, login: _Login, _: str) -> None:
        asked = self._ask("GET", "/favorites?limit=100", login)
        if asked.status != 200:
            self._refused(asked, slot, login)
            return
        listed = {item["product_id"]: item["favorited_at"] for item in asked.body["items"]}
        in_order = [*listed.values()] == sorted(listed.values(), reverse=True)
        if not in_order or asked.body["next_cursor"] or asked.body["count"] != len(listed):
            self._unexpected(asked)
        for product_id in PRODUCTS:
            meaning = is_state(listed[product_id]) if product_id in listed else observe(_is_none)
            self._favorite(asked, login, product_id, meaning)

    def _ids(self, slot: _Slot, login: _Login, _: str) -> None:
        asked = self._ask("GET", "/favorite-ids", login)
        if asked.status != 200:
            self._refused(asked, slot, login)
            return
        ids = frozenset(asked.body["product_ids"])
        with self._writing:
            same = self.history.by_etag.setdefault((login.client_id, asked.etag), ids)
        if asked.body["count"] != len(ids) or same != ids:
            self._unexpected(asked)
        for product_id in PRODUCTS:
            self._favorite(asked, login, product_id, observe(_is_marked if product_id in ids else _is_none))

    def _me(self, slot: _Slot, login: _Login, _: str) -> None:
        asked = self._ask("GET", "/clients/me", login)
        if asked.status == 200 and asked.body["email"] == slot.email:
            self._email(asked, slot, observe(lambda holder: holder == login.client_id))
        else:
            self._refused(asked, slot, login)

    def _leave(self, slot: _Slot, login: _Login, _: str) -> None:
        asked = self._ask("DELETE", "/clients/me", login)
        if asked.status != 204:
            self._refused(asked, slot, login)
            return
        self._email(asked, slot, change(lambda holder: holder == login.client_id, None))
        for product_id in PRODUCTS:
            self._favorite(asked, login, product_id, change(lambda state: state != GONE, GONE))
        self._register(slot)

    def _register(self, slot: _Slot) -> None:
        new = {"name": "Ana Souza", "email": slot.email, "password": PASSWORD}
        asked = self._ask("POST", "/clients", None, new)
        match asked.status:
            case 201:
                client_id = asked.body["client_id"]
                with self._writing:
                    self.history.clients.add(client_id)
                self._email(asked, slot, change(_is_none, client_id))
                self._log_in(slot, client_id)
            case 409:
                self._email(asked, slot, observe(lambda holder: holder is not None))
            case _:
                self._unexpected(asked)

    def _log_in(self, slot: _Slot, client_id: str) -> None:
        asked = self._ask("POST", "/auth/login", None, {"email": slot.email, "password": PASSWORD})
        if asked.status == 200:
            # Nobody can have removed the client yet: the log-in is the first that can act for it.
            slot.login = _Login(client_id, asked.body["access_token"])
        else:
            self._unexpected(asked)

    # ── What the answers mean ─────────────────────────────────────────────────────────────────────────────

    def _added(self, asked: "_Asked", login: _Login, product_id: str, when: str) -> None:
        with self._writing:
            self.history.added[login.client_id, product_id, when] += 1
        self._favorite(asked, login, product_id, change(_is_none, when))

    def _removed(self, asked: "_Asked", login: _Login, product_id: str) -> None:
        with self._writing:
            self.history.removed[login.client_id, product_id] += 1
        self._favorite(asked, login, product_id, change(_is_marked, None))

    def _refused(self, asked: "_Asked", slot: _Slot, login: _Login) -> None:
        """A 401 says that the client is gone; there is no other reason to refuse."""
        if asked.status != 401:
            self._unexpected(asked)
            return
        self._email(asked, slot, observe(lambda holder: holder != login.client_id))
        for product_id in PRODUCTS:
            self._favorite(asked, login, product_id, observe(lambda state: state == GONE))

    def _favorite(self, asked: "_Asked", login: _Login, product_id: str, meaning: Meaning) -> None:
        with self._writing:
            self.history.favorites[login.client_id, product_id].append(asked.operation(meaning))

    def _email(self, asked: "_Asked", slot: _Slot, meaning: Meaning) -> None:
        with self._writing:
            self.history.emails[slot.email].append(asked.operation(meaning))

    def _unexpected(self, asked: "_Asked") -> None:
        with self._writing:
            self.history.unexpected.append(f"{asked.what}: {asked.text[:300]}")

    def _ask(
        self, method: str, path: str, login: _Login | None, body: Mapping[str, Any] | None = None
    ) -> "_Asked":
        headers = {"Authorization": f"Bearer {login.token}"} if login else {}
        called = time.monotonic()
        answer = self._http.request(method, path, json=body, headers=headers)
        returned = time.monotonic()
        what = f"{method} {path} → {answer.status_code}"
        with self._writing:
            kind = path.partition("?")[0].rstrip("0123456789")
            self.history.requests[f"{method} {kind} {answer.status_code}"] += 1
        body = answer.json() if answer.content else None
        etag = answer.headers.get("etag", "")
        return _Asked(what, called, returned, answer.status_code, answer.text, body, etag)


@dataclass(frozen=True)
class _Asked:
    what: str
    called: float
    returned: float
    status: int
    text: str
    body: Any
    etag: str

    def operation(self, meaning: Meaning) -> Operation:
        return Operation(self.what, self.called, self.returned, meaning)


def _some_time_ago() -> str:
    """A time that no other mark has, as the service writes it."""
    ago = timedelta(days=30, microseconds=secrets.randbelow(10**12))
    return (datetime.now(UTC) - ago).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _is_none(state: State) -> bool:
    return state is None


def _is_marked(state: State) -> bool:
    return state is not None and state != GONE


def is_state(seen: State) -> Meaning:
    return observe(lambda state: state == seen)
