"""A real browser, driven over the WebDriver protocol."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from dev.stack import free_port, join, terminate, wait_until

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP *.example 127.0.0.1",
)
DRIVER = shutil.which("chromedriver")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """Headless Chromium with one open page."""

    def __init__(self, driver: httpx.Client, profile: Path) -> None:
        self._driver = driver
        options = {"binary": CHROMIUM, "args": [*ARGUMENTS, f"--user-data-dir={profile}"]}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "timeouts": {"script": 20_000}}
        session = self._command("/session", capabilities={"alwaysMatch": wanted})["sessionId"]
        self._session = f"/session/{session}"

    def open(self, url: str) -> None:
        """Load a page; scripts run in it from now on."""
        self._command(f"{self._session}/url", url=url)

    def run(self, script: str, *arguments: object) -> Any:
        """The result of a script; if that is a promise, the value that it resolves to."""
        return self._command(f"{self._session}/execute/sync", script=script, args=arguments)

    def close(self) -> None:
        self._driver.delete(self._session)

    def _command(self, path: str, **body: object) -> Any:
        answer = self._driver.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]


@contextlib.contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """A browser within the block, with a new profile in the folder."""
    assert DRIVER
    port = free_port()
    with (folder / "chromedriver.log").open("wb") as log:
        process = subprocess.Popen([DRIVER, f"--port={port}"], stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as driver:
            wait_until(lambda: _is_ready(driver), "the driver of the browser is ready")
            with contextlib.closing(Browser(driver, folder / "profile")) as browser:
                yield browser
    finally:
        terminate(process)
        join(process)


def _is_ready(driver: httpx.Client) -> bool:
    try:
        return bool(driver.get("/status").json()["value"]["ready"])
    except httpx.TransportError:
        return False
