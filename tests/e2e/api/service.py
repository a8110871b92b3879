"""The service as its callers see it: an address, and who administers it."""

import functools
import itertools
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.e2e.api.document import NoRoute, judge

PASSWORD = "correct horse battery"

# The passwords and tokens that went in or out in this run: no log may have one (test_logs.py).
secrets_used: set[str] = set()
_SECRET_FIELDS = ("password", "current_password", "access_token", "refresh_token")

# Made once: reading the certificate authorities takes longer than most requests.
_tls = httpx.create_ssl_context()
_numbers = itertools.count(1)
# A service that outlives the run has the clients of earlier runs still.
_run = secrets.token_hex(4)


@dataclass(frozen=True)
class Gateway:
    """What stands between callers and functions, as far as its kinds differ; by default as on AWS."""

    no_route: NoRoute = (404, {"message": "Not Found"})
    passes_bytes: bool = True  # a body that is not text, in base 64
    numbers_requests: bool = True  # each gets an id of its own
    knows_slashes: bool = True  # a path with one more at its end is another one


# `make run` sets these right (local/aws/api_gateway.py); the command is as SAM CLI has it.
SAM_LOCAL_START_API = Gateway(
    no_route=(403, {"message": "Missing Authentication Token"}),  # that of a REST API
    passes_bytes=False,  # it answers 502
    numbers_requests=False,  # all have the id that was made when it started
    knows_slashes=False,  # it takes both paths for one
)


def gateway_of(no_route: httpx.Response) -> Gateway:
    found = (no_route.status_code, no_route.json())
    return SAM_LOCAL_START_API if found == SAM_LOCAL_START_API.no_route else Gateway()


@dataclass(frozen=True)
class Service:
    """All that a test of the contract knows of what it tests.

    `access_token_keys` (key id to secret) are those the service signs with, None where they are not known.
    """

    url: str
    admin_email: str
    admin_password: str
    access_token_keys: Mapping[str, str] | None
    gateway: Gateway = Gateway()

    def visitor(self, token: str | None = None) -> httpx.Client:
        """An HTTP client, every answer to which is judged; it sends the access token, if there is one."""
        return httpx.Client(
            base_url=self.url,
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
            event_hooks={"response": [functools.partial(judge, no_route=self.gateway.no_route), _remember]},
            timeout=30,
            verify=_tls,
        )

    def log_in(self, email: str, password: str) -> dict[str, Any]:
        with self.visitor() as visitor:
            answer = visitor.post("/auth/login", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    def register(self) -> "Customer":
        email = new_email()
        with self.visitor() as visitor:
            new = {"name": "Ana Souza", "email": email, "password": PASSWORD}
            answer = visitor.post("/clients", json=new)
        assert answer.status_code == 201, answer.text
        tokens = self.log_in(email, PASSWORD)
        return Customer(answer.json(), tokens, self.visitor(tokens["access_token"]))


@dataclass(frozen=True)
class Customer:
    """Somebody with an account: the Client they registered as, their tokens, and `http` to ask with."""

    client: dict[str, Any]
    tokens: dict[str, Any] = field(repr=False)
    http: httpx.Client

    @property
    def email(self) -> str:
        return str(self.client["email"])


def _remember(answer: httpx.Response) -> None:
    """Keep the secrets of the request and its answer, but for what may be in a log by chance."""
    for text in (answer.request.content, answer.content):
        try:
            held = json.loads(text)
        except (ValueError, RecursionError):  # a body that is bad on purpose
            continue
        values = [held.get(name) for name in _SECRET_FIELDS] if isinstance(held, dict) else []
        secrets_used.update(v for v in values if isinstance(v, str) and len(v) >= 12 and len(set(v)) > 1)


def new_email() -> str:
    return f"customer{next(_numbers)}.{_run}@example.com"


def problem(answer: httpx.Response) -> tuple[int, str]:
    """What a refusal is, in short: its status and the slug of its type."""
    assert answer.status_code >= 400, f"no refusal: {answer.status_code} {answer.text}"
    return answer.status_code, str(answer.json()["type"]).removeprefix("/problems/")


def next_page(answer: httpx.Response) -> str | None:
    return answer.links["next"]["url"] if "next" in answer.links else None
