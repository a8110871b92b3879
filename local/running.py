"""How a second console finds and calls the running stack."""

import http.client
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from local.servers import private_file
from local.servers.services import ServiceFailed

_FILE = "running.json"
_PLACEHOLDER = "<access token>"
_ANSWER_SECONDS = 310  # the migrations may take 300


@dataclass(frozen=True)
class Running:
    """The addresses of a stack; `catalog` is None for a catalog of the user's."""

    api: str
    aws: str
    catalog: str | None

    def write(self, data: Path) -> None:
        """Store them for other processes of this user."""
        private_file.write(data / _FILE, json.dumps(asdict(self)))

    @classmethod
    def find(cls, data: Path) -> "Running":
        """Return the stack that uses the data. Raises ServiceFailed when none does."""
        try:
            return cls(**json.loads((data / _FILE).read_text()))
        except FileNotFoundError as error:
            raise _does_not_run() from error


def forget(data: Path) -> None:
    """Remove what Running.write stored."""
    (data / _FILE).unlink(missing_ok=True)


def deliver(data: Path, file: Path, function: str | None, token: str | None) -> Any:
    """Invoke a function with the event in `file`; return its answer.

    Without a name it is the function of the file's name. `token` replaces the placeholder in sample events.
    Raises ServiceFailed, also when the function failed.
    """
    try:
        event = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ServiceFailed(f"{file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ServiceFailed(f"{file} is not JSON: {error}.") from error
    if token is not None and isinstance(event, dict) and "authorization" in event.get("headers", {}):
        event["headers"]["authorization"] = event["headers"]["authorization"].replace(_PLACEHOLDER, token)
    name = function or file.stem
    path = f"/2015-03-31/functions/{quote(name, safe='')}/invocations"
    response, body = call(Running.find(data).aws, "POST", path, json.dumps(event).encode())
    if response.status == http.client.NOT_FOUND:
        advice = "" if function else " (taken from the name of the file; --function names another)"
        raise ServiceFailed(f"There is no function {name}{advice}.")
    answer = json.loads(body)
    if "X-Amz-Function-Error" in response.headers:
        raise ServiceFailed(f"{name} failed: {answer.get('errorType')}: {answer.get('errorMessage')}")
    return answer


def change_product(data: Path, product_id: str, change: str, *, push: bool) -> str:
    """Change a product of the sample catalog by {"price": 9.90} or {"removed": true}; return the result.

    Raises ServiceFailed.
    """
    url = Running.find(data).catalog
    if url is None:
        raise ServiceFailed(
            "The catalog is the one of CATALOG_URL, not the sample: change the product there."
        )
    query = "" if push else "?push=false"
    response, body = call(url, "PATCH", f"/products/{quote(product_id, safe='')}{query}", change.encode())
    if response.status == http.client.NOT_FOUND:
        there = "removed" if change == '{"removed": false}' else "such"
        raise ServiceFailed(f"The sample catalog has no {there} product {product_id}.")
    if response.status != http.client.OK:
        raise ServiceFailed(f"The sample catalog refused that: {body.decode()}")
    return body.decode()


def price(text: str) -> str:
    """Return the text as a number of JSON, with every digit. Raises ServiceFailed."""
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", text):
        raise ServiceFailed(f"A price is a number like 9.90, not {text!r}.")
    whole, point, decimals = text.partition(".")
    return f"{int(whole)}{point}{decimals}"


def call(
    url: str, method: str, path: str, body: bytes, token: str | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    """Call a server of the running stack; return its answer and the body. Raises ServiceFailed."""
    # Not urllib, which uses the proxies of the shell.
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_ANSWER_SECONDS)
    try:
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request(method, path, body, {"Content-Type": "application/json", **bearer})
        response = connection.getresponse()
        return response, response.read()
    except ConnectionRefusedError as error:
        raise _does_not_run() from error
    except (OSError, http.client.HTTPException) as error:
        raise ServiceFailed(f"The running service did not answer: {error or 'it went away'}") from error
    finally:
        connection.close()


def _does_not_run() -> ServiceFailed:
    return ServiceFailed("It does not run: start it with `make run`, in another console.")
