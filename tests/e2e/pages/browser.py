"""Chromium without a screen, driven by the WebDriver protocol (https://www.w3.org/TR/webdriver2/).

The protocol is JSON over HTTP: the few commands that the tests need take no library.
"""

import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from local.lifeline import Lifeline
from local.servers.services import wait_until

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the protocol's name for the reference of an element
_PATIENCE_SECONDS = 20  # a function's first request takes seconds on a machine that is busy
_FLAGS = [
    "--headless",
    "--no-sandbox",  # which Chromium cannot make as root, as on a build server; it opens nothing but our page
    "--disable-gpu",
    "--disable-background-networking",
    "--remote-debugging-pipe",  # whose end is the end of Chromium, should the driver be killed
    "--no-first-run",
    "--window-size=1280,900",
]


class NoBrowser(Exception):
    """Chromium or its driver is not installed."""


class Browser:
    """One window with a profile of its own in `folder`, started with these flags too. Raises NoBrowser."""

    def __init__(self, folder: Path, *flags: str) -> None:
        driver = shutil.which("chromedriver")
        chromium = shutil.which("chromium")
        if driver is None or chromium is None:
            raise NoBrowser("Chromium and its driver are not installed (Debian: chromium, chromium-driver)")
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "chromedriver.log"
        with log.open("wb") as file:
            self._lifeline = Lifeline(signal.SIGTERM)
            self._process = self._lifeline.start([driver, "--port=0"], log=file)
        self._client = httpx.Client(timeout=60)
        self._session = ""
        try:
            wait_until(lambda: "successfully on port " in log.read_text(), timeout=30)
            port = re.search(r"successfully on port (\d+)", log.read_text())
            assert port, log.read_text()
            self._client.base_url = httpx.URL(f"http://127.0.0.1:{port[1]}")
            options = {"binary": chromium, "args": [*_FLAGS, *flags, f"--user-data-dir={folder / 'profile'}"]}
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            opened = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
            self._session = f"/session/{opened['sessionId']}"
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._session:
            self._ask("DELETE", self._session)
        self._lifeline.end(self._process, signal.SIGTERM, patience=20)
        self._lifeline.close()
        self._client.close()

    def open(self, url: str) -> None:
        self._do("POST", "/url", {"url": url})

    def reload(self) -> None:
        self._do("POST", "/refresh", {})

    def run(self, script: str, *arguments: object) -> Any:
        return self._do("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def run_async(self, script: str) -> Any:
        """Run a script that calls its last argument with the result."""
        return self._do("POST", "/execute/async", {"script": script, "args": []})

    def emulate(self, *, width: int, scheme: str) -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self._command("Emulation.setDeviceMetricsOverride", size)
        scheme_feature = {"name": "prefers-color-scheme", "value": scheme}
        self._command("Emulation.setEmulatedMedia", {"features": [scheme_feature]})

    def find(self, css: str) -> "Element":
        """Return the first element, as soon as there is one."""
        found: list[Element] = []

        def look() -> bool:
            found[:] = self.all(css)
            return bool(found)

        assert wait_until(look, _PATIENCE_SECONDS), f"There is no {css} in: {self.text('body')}"
        return found[0]

    def all(self, css: str) -> list["Element"]:
        found = self._do("POST", "/elements", {"using": "css selector", "value": css})
        return [Element(self, each[_ELEMENT]) for each in found]

    def text(self, css: str) -> str:
        """Return the text of the first element as it is shown; empty when there is none."""
        return str(self.run("return document.querySelector(arguments[0])?.innerText ?? ''", css))

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        assert wait_until(condition, _PATIENCE_SECONDS, 0.05), f"{what}: {self.text('body')}"

    def type(self, keys: str) -> None:
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._do("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def faults(self) -> list[str]:
        """Return what the console shows as errors: of scripts, of requests, of the page's policy."""
        entries = self._do("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def _command(self, command: str, parameters: dict[str, Any]) -> None:
        """Chromium's own, of its DevTools protocol."""
        self._do("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def _do(self, method: str, path: str, body: object = None) -> Any:
        return self._ask(method, self._session + path, body)

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        answer = self._client.request(method, path, json=body).json()["value"]
        if isinstance(answer, dict) and "error" in answer:
            raise AssertionError(f"{method} {path}: {answer['error']}: {answer['message']}")
        return answer


class Element:
    def __init__(self, browser: Browser, reference: str) -> None:
        self._browser = browser
        self._reference = {_ELEMENT: reference}
        self._path = f"/element/{reference}"

    def click(self) -> None:
        """Click on it, away from what sticks to the window's edges."""
        self._browser.run("arguments[0].scrollIntoView({block: 'center'})", self._reference)
        self._browser._do("POST", f"{self._path}/click", {})

    def type(self, text: str) -> None:
        self._browser._do("POST", f"{self._path}/value", {"text": text})

    def attribute(self, name: str) -> str | None:
        value: str | None = self._browser._do("GET", f"{self._path}/attribute/{name}")
        return value

    def text(self) -> str:
        return str(self._browser._do("GET", f"{self._path}/text"))

    def label(self) -> str:
        """Return what a screen reader calls it."""
        return str(self._browser._do("GET", f"{self._path}/computedlabel"))

    def role(self) -> str:
        """Return what a screen reader says it is."""
        return str(self._browser._do("GET", f"{self._path}/computedrole"))
