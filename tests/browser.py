"""A headless Chromium for tests, controlled through chromedriver by the W3C WebDriver protocol."""

from __future__ import annotations

import base64
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAMS = ("chromedriver", "chromium")


class Browser:
    """One window of a running browser."""

    def __init__(self, server: str, width: int, height: int, arguments: tuple[str, ...]) -> None:
        options = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                            "--autoplay-policy=no-user-gesture-required", "--mute-audio", *arguments],
                   "mobileEmulation": {"deviceMetrics": {"width": width, "height": height, "pixelRatio": 1,
                                                         "mobile": width < 600, "touch": width < 600}}}
        self._server = server
        self._session = ""
        asked = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        made = self._call("POST", "/session", {"capabilities": {"alwaysMatch": asked}})
        self._session = f"/session/{made['sessionId']}"

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._server + self._session + path, data, method=method,
                                         headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def open(self, page: Path | str) -> None:
        """Open a file, or an address."""
        self._call("POST", "/url", {"url": page.resolve().as_uri() if isinstance(page, Path) else page})

    def run(self, script: str, *arguments: object) -> Any:
        """The value that a script returns."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait_for(self, script: str, seconds: float = 60) -> Any:
        """The first true value that a script returns."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.1)
        return value

    def complaints(self) -> list[str]:
        """The messages of the console: script errors, violations of the security policy, missing files."""
        return [entry["message"] for entry in self._call("POST", "/se/log", {"type": "browser"})]

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("GET", "/screenshot")))

    def close(self) -> None:
        self._call("DELETE", "")


@contextmanager
def open_browser(log: Path, width: int = 1280, height: int = 900, *arguments: str) -> Iterator[Browser]:
    """A browser of this window size; ``log`` is chromedriver's log file, ``arguments`` are more of Chromium's own."""
    driver = subprocess.Popen(["chromedriver", "--port=0", f"--log-path={log}"], stdout=subprocess.PIPE, text=True)
    try:
        started = next(line for line in driver.stdout if "successfully on port" in line)
        port = started.rpartition("port ")[2].strip(". \n")
        browser = Browser(f"http://127.0.0.1:{port}", width, height, arguments)
        try:
            yield browser
        finally:
            browser.close()
    finally:
        driver.terminate()
        driver.wait()
