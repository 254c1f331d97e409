"""A headless Chromium that sees nothing but this machine, and what it shows of a dashboard."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains

from tests.helpers import wait_until

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # as root there is none
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--window-size=1300,800",
)

# Xterm's terminal is in a closure. It has a `_core`: whose that is set first, is the terminal.
FIND_TERMINAL = """
Object.defineProperty(Object.prototype, "_core", {
  configurable: true,
  set(core) {
    Object.defineProperty(this, "_core", { value: core, writable: true, configurable: true });
    if (this.constructor && "buffer" in this) window.shownTerminal = this;
  },
});
"""

READ_TERMINAL = """
const terminal = window.shownTerminal;
if (!terminal) return [];
const buffer = terminal.buffer.active;
return [...Array(terminal.rows).keys()].map(y => buffer.getLine(buffer.viewportY + y).translateToString());
"""


def find_chromium() -> tuple[str, str]:
    """The browser and its driver; without them the test fails in CI, and elsewhere says why it is skipped."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if browser and driver:
        return browser, driver
    message = "needs Debian's packages chromium and chromium-driver"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


class Browser:
    """One tab."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, address: str) -> None:
        self.driver.get(address)

    def screen(self) -> str:
        """The terminal's text, as xterm holds it."""
        return "\n".join(self.driver.execute_script(READ_TERMINAL))  # type: ignore[no-untyped-call]

    def shows(self, *texts: str) -> None:
        """Waits until all of the texts are on the screen."""

        def all_there() -> bool:
            screen = self.screen()
            return all(text in screen for text in texts)

        try:
            wait_until(all_there, f"the browser shows {texts}", 60)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.screen()}\n{self.driver.get_log('browser')}") from None

    def type(self, keys: str) -> None:
        ActionChains(self.driver).send_keys(keys).perform()

    def requests(self) -> list[str]:
        """The address of everything that the page asked for."""
        addresses = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                addresses.append(message["params"]["request"]["url"])
            elif message["method"] == "Network.webSocketCreated":
                addresses.append(message["params"]["url"])
        return addresses

    def complaints(self) -> list[str]:
        """What the browser's console says of errors."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """Starts a browser with a profile of its own in `folder`."""
    browser, driver = find_chromium()
    options = Options()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    try:
        chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": FIND_TERMINAL})
        yield Browser(chrome)
    finally:
        chrome.quit()
