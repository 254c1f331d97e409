"""The dashboard in a real browser: it opens, shows the jobs, and takes keys; all of it from this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.helpers import wait_until

from .browser import Browser, chromium
from .conftest import Serve, gone


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with chromium(tmp_path / "profile") as tab:
        yield tab


def test_a_browser_shows_the_demos_batches_and_takes_keys(serve: Serve, browser: Browser) -> None:
    served = serve()
    browser.open(served.address)
    browser.shows("python/identifiers", "python/imports", "python/lines")
    browser.type("?")
    browser.shows("KEYS", "mark all missing")
    browser.type("\ue00c")  # Escape
    wait_until(lambda: "KEYS" not in browser.screen(), "the help is closed")

    ours = urlsplit(served.address)
    asked = [urlsplit(url) for url in browser.requests() if url.partition(":")[0] not in ("chrome", "data")]
    assert {url.netloc for url in asked} == {ours.netloc}
    assert all(url.path.startswith(ours.path) for url in asked)
    assert any(url.path.endswith(".ttf") for url in asked), "its font is its own"
    assert browser.complaints() == []

    (dashboard,) = served.dashboards()
    assert served.end() == 0
    gone([dashboard])
    wait_until(
        lambda: "has ended" in browser.driver.find_element("id", "closed").text, "the page says that it ended"
    )


def test_a_second_visit_gets_a_dashboard_of_its_own_and_a_closed_tab_ends_its_own(
    serve: Serve, browser: Browser
) -> None:
    served = serve("--read-only", "--filter", "state:init")
    browser.open(served.address)
    browser.shows("python/lines", "state:init")
    first = served.dashboards()
    browser.open(served.address)
    gone(first)
    browser.shows("python/lines")
    (second,) = served.dashboards()
    assert second not in first
    assert "--read-only" in second.cmdline()
    browser.driver.get("about:blank")
    gone([second])
    assert served.process.poll() is None
