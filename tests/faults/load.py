"""Steady mixed load on a running service, as customers make it, and what became of each request."""

import itertools
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tests.faults.ledger import ABSENT, EITHER, PRESENT, Account

PASSWORD = "correct horse battery"
# Reads of what the service knows: they go on through any single fault but PostgreSQL's.
READS = frozenset({"product", "products", "favorite", "favorites"})
KNOWN_PRODUCTS = [str(number) for number in range(1, 61)]

_TIMEOUT = 20.0  # seconds; well over what is allowed, so that an answer that comes too late is seen to come
_GRACE = 25.0  # seconds; a little less than GRACE of shared.accounts.sessions
_THINK = 0.15  # seconds between an answer and the next request of a worker, on average
_MOST_ACCOUNTS = 4  # of one worker

_accounts = itertools.count(1)
_unknown = itertools.count(70_001)


@dataclass(frozen=True)
class Sample:
    """One request: when it began (time.monotonic), how long it took (seconds), and what came of it.

    `status` is 0 where no answer came. `failure` says what is wrong with the answer in a working service.
    """

    kind: str
    started: float
    seconds: float
    status: int
    failure: str | None


class Load:
    """`workers` customers who ask the service at `url` one thing after the other, until stop().

    `samples` grows meanwhile, and so does `contradictions`: answers that cannot be true after those before.
    """

    def __init__(self, url: str, workers: int = 8) -> None:
        self.samples: list[Sample] = []
        self.contradictions: list[str] = []
        self.accounts: list[Account] = []
        self.stopping = threading.Event()
        self.settled = 0  # how often nothing could still be on its way that was asked during a fault
        self._threads = [
            threading.Thread(target=_Worker(self, url).run, name=f"customer-{number}", daemon=True)
            for number in range(workers)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join()

    def between(self, start: float, end: float) -> list[Sample]:
        return [it for it in list(self.samples) if start <= it.started and it.started + it.seconds <= end]

    def under_way(self, start: float, end: float) -> list[Sample]:
        return [it for it in list(self.samples) if it.started < end and start < it.started + it.seconds]


class _Worker:
    def __init__(self, load: Load, url: str) -> None:
        self._load = load
        self._http = httpx.Client(base_url=url, timeout=_TIMEOUT)
        self._mine: list[Account] = []
        self._settled = 0
        self._random = random.Random()
        self._kinds: dict[Callable[[Account], None], int] = {
            self._product: 30,
            self._products: 10,
            self._favorites: 12,
            self._favorite: 10,
            self._put: 11,
            self._post: 6,
            self._delete: 9,
            self._me: 3,
            self._unknown: 3,
            self._health: 1,
            self._log_in: 1,
            self._refresh: 3,
            self._leave: 1,
        }

    def run(self) -> None:
        with self._http:
            while not self._load.stopping.is_set():
                if self._settled != self._load.settled:
                    self._settled = self._load.settled
                    for account in self._mine:
                        account.settle()
                self._step()
                self._load.stopping.wait(self._random.uniform(0, 2 * _THINK))
            # Every refresh token that was given out is good, whatever came after it.
            for account in self._mine:
                if account.is_registered == PRESENT:
                    account.settle()
                    self._refresh(account)

    def _step(self) -> None:
        registered = [account for account in self._mine if account.is_registered == PRESENT]
        if not registered or (len(registered) < _MOST_ACCOUNTS and self._random.random() < 0.02):
            self._register()
            return
        account = self._random.choice(registered)
        if not account.access_token:
            self._log_in(account)
            return
        if account.refresh_doubted_at is not None and self._random.random() < 0.3:
            self._refresh(account)  # as any client does whose answer was lost
            return
        (act,) = self._random.choices(list(self._kinds), list(self._kinds.values()))
        act(account)

    def _ask(
        self,
        kind: str,
        request: str,
        expected: tuple[int, ...],
        account: Account | None = None,
        body: Mapping[str, str] | None = None,
    ) -> httpx.Response | None:
        """The answer, if one came that tells anything: not where it was lost, nor where it was a 5xx."""
        method, path = request.split()
        headers = {"Authorization": f"Bearer {account.access_token}"} if account else {}
        started = time.monotonic()
        answer, failure = None, None
        try:
            answer = self._http.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as error:
            status, failure = 0, type(error).__name__
        else:
            status = answer.status_code
            if status not in expected:
                failure = _name_of(answer)
        self._load.samples.append(Sample(kind, started, time.monotonic() - started, status, failure))
        return None if answer is None or status >= 500 else answer

    def _contradiction(self, account: Account, answer: httpx.Response) -> None:
        asked = f"{answer.request.method} {answer.request.url.path}"
        self._load.contradictions.append(
            f"{account.email}: {asked} → {answer.status_code} {answer.text[:200]}"
        )

    # ── Reads ─────────────────────────────────────────────────────────────────────────────────────────────

    def _product(self, _: Account) -> None:
        self._ask("product", f"GET /products/{self._random.choice(KNOWN_PRODUCTS)}", (200,))

    def _products(self, _: Account) -> None:
        limit = self._random.choice([5, 20, 100])
        self._ask("products", f"GET /products?limit={limit}", (200,))

    def _unknown(self, _: Account) -> None:
        self._ask("unknown product", f"GET /products/{next(_unknown)}", (404,))

    def _health(self, _: Account) -> None:
        self._ask("health", "GET /health", (200,))

    def _me(self, account: Account) -> None:
        answer = self._ask("client", "GET /clients/me", (200,), account)
        if answer is not None and answer.status_code == 200 and answer.json()["email"] != account.email:
            self._contradiction(account, answer)

    def _favorites(self, account: Account) -> None:
        answer = self._ask("favorites", "GET /favorites?limit=100", (200,), account)
        if answer is None or answer.status_code != 200:
            return
        listed = {favorite["product_id"] for favorite in answer.json()["items"]}
        for product_id in account.favorites.keys() | listed:
            now = PRESENT if product_id in listed else ABSENT
            if not account.saw(product_id, before=now, after=now):
                self._contradiction(account, answer)

    def _favorite(self, account: Account) -> None:
        product_id = self._one_of(account)
        answer = self._ask("favorite", f"GET /favorites/{product_id}", (200, 404), account)
        if answer is not None and answer.status_code in (200, 404):
            now = PRESENT if answer.status_code == 200 else ABSENT
            if not account.saw(product_id, before=now, after=now):
                self._contradiction(account, answer)

    # ── Writes ────────────────────────────────────────────────────────────────────────────────────────────

    def _put(self, account: Account) -> None:
        product_id = self._one_of(account)
        answer = self._ask("add", f"PUT /favorites/{product_id}", (200, 201), account)
        # 200 is true of one that was none, too: of a PUT that was done again because its answer was lost.
        self._wrote(account, product_id, answer, {201: (ABSENT, PRESENT), 200: (EITHER, PRESENT)})

    def _post(self, account: Account) -> None:
        product_id = self._one_of(account)
        body = {"product_id": product_id}
        answer = self._ask("create", "POST /favorites", (201, 409), account, body)
        self._wrote(account, product_id, answer, {201: (ABSENT, PRESENT), 409: (PRESENT, PRESENT)})

    def _delete(self, account: Account) -> None:
        product_id = self._one_of(account)
        answer = self._ask("remove", f"DELETE /favorites/{product_id}", (204, 404), account)
        self._wrote(account, product_id, answer, {204: (PRESENT, ABSENT), 404: (ABSENT, ABSENT)})

    def _wrote(
        self,
        account: Account,
        product_id: str,
        answer: httpx.Response | None,
        meaning: Mapping[int, tuple[frozenset[bool], frozenset[bool]]],
    ) -> None:
        if answer is None:
            account.doubt(product_id)
        elif answer.status_code in meaning:
            before, after = meaning[answer.status_code]
            if not account.saw(product_id, before=before, after=after):
                self._contradiction(account, answer)

    def _one_of(self, account: Account) -> str:
        if account.favorites and self._random.random() < 0.5:
            return self._random.choice(list(account.favorites))
        return self._random.choice(KNOWN_PRODUCTS)

    # ── Accounts and sessions ─────────────────────────────────────────────────────────────────────────────

    def _register(self) -> None:
        account = Account(f"customer{next(_accounts)}.{secrets.token_hex(4)}@example.com")
        body = {"name": "Ana Souza", "email": account.email, "password": PASSWORD}
        answer = self._ask("register", "POST /clients", (201,), body=body)
        self._load.accounts.append(account)
        if answer is None:
            account.is_registered = EITHER
        elif answer.status_code == 201:
            account.client_id = answer.json()["client_id"]
            self._mine.append(account)
        else:
            account.is_registered = ABSENT
            self._contradiction(account, answer)  # nobody else has the e-mail

    def _log_in(self, account: Account) -> None:
        body = {"email": account.email, "password": PASSWORD}
        answer = self._ask("log in", "POST /auth/login", (200,), body=body)
        if answer is not None and answer.status_code == 200:
            self._take_tokens(account, answer.json())
        elif answer is not None and answer.status_code != 429:
            self._contradiction(account, answer)

    def _refresh(self, account: Account) -> None:
        if not account.refresh_token:
            return
        # The token before is good for a while longer, for just the answers that were lost, and no more then.
        started, doubted_at = time.monotonic(), account.refresh_doubted_at
        is_good = doubted_at is None or started < doubted_at + _GRACE
        expected = (200,) if is_good else (200, 401)
        body = {"refresh_token": account.refresh_token}
        answer = self._ask("refresh", "POST /auth/refresh", expected, body=body)
        if answer is None:
            account.refresh_doubted_at = doubted_at or started
        elif answer.status_code == 200:
            self._take_tokens(account, answer.json())
        else:
            if is_good:
                self._contradiction(account, answer)
            account.refresh_token, account.refresh_doubted_at = "", None

    def _take_tokens(self, account: Account, tokens: Mapping[str, Any]) -> None:
        account.access_token, account.refresh_token = tokens["access_token"], tokens["refresh_token"]
        account.refresh_doubted_at = None

    def _leave(self, account: Account) -> None:
        self._log_in(account)  # who wants to go must have logged in lately
        answer = self._ask("leave", "DELETE /clients/me", (204,), account)
        if answer is None:
            account.is_registered = EITHER
        elif answer.status_code == 204:
            account.is_registered = ABSENT
        else:
            self._contradiction(account, answer)


def failures(samples: Iterable[Sample]) -> Counter[str]:
    return Counter(sample.failure for sample in samples if sample.failure is not None)


def _name_of(answer: httpx.Response) -> str:
    """What a refusal is, in short: `503 database-unavailable`."""
    kind = "health down" if answer.request.url.path == "/health" else ""
    if answer.headers.get("content-type", "").startswith("application/problem+json"):
        kind = str(answer.json()["type"]).removeprefix("/problems/")
        if answer.status_code == 503 and "retry-after" not in answer.headers:
            kind += " without Retry-After"
    return f"{answer.status_code} {kind}".rstrip()
