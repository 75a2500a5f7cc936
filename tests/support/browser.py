"""A headless Chromium: its path, which is None where no browser is installed, its options, and pages opened in it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HEADLESS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=5000",
]


STORED_VALUES = "JSON.stringify(Object.entries(localStorage).sort())"


class SharedBrowser:
    """A Chromium that the tests of a file open their pages in: a start costs more than most pages do."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None

    def new_page(self, **settings: Any) -> Page:
        """Return an empty page with storage, cookies and settings of its own; start the browser where none runs."""
        if self._browser is None or not self._browser.is_connected():
            self.close()
            self._playwright = sync_playwright().start()
            options = [option for option in HEADLESS if not option.startswith(("--headless", "--virtual"))]
            self._browser = self._playwright.chromium.launch(executable_path=BROWSER, args=options)
        return self._browser.new_context(**settings).new_page()

    def close(self) -> None:
        """End the browser, if one runs. While one runs, this thread cannot start another event loop."""
        if self._browser is not None:
            self._browser.close()
        if self._playwright is not None:
            self._playwright.stop()
        self._browser = self._playwright = None


#: tests/conftest.py ends it after each file.
SHARED_BROWSER = SharedBrowser()


@contextmanager
def open_page(
    target: Path | str,
    scheme: Literal["light", "dark"] = "light",
    width: int = 1280,
    **settings: Any,
) -> Iterator[Page]:
    """Open an HTML file, or an address of this machine, in headless Chromium.

    A request to another address and an error of the page's code are failures.

    Args:
        settings: of the page's context.
    """
    address = target.as_uri() if isinstance(target, Path) else target
    if BROWSER is None:
        pytest.skip("no Chromium is installed")
    page = SHARED_BROWSER.new_page(color_scheme=scheme, viewport={"width": width, "height": 844}, **settings)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: None if is_local(request.url, address) else faults.append(request.url))
    try:
        page.goto(address)
        yield page
    finally:
        page.context.close()
    assert faults == []


def open_again(page: Page) -> Page:
    """Return another tab with the page, which reads the values that the page stored before.

    Chromium hands what a page stores to its other processes a moment later; and without a profile it may drop what was
    stored when no tab has it open, as while the only tab is loaded again.
    """
    stored = page.evaluate(STORED_VALUES)
    tab = page.context.new_page()
    for _ in range(200):
        tab.goto(page.url)
        if tab.evaluate(STORED_VALUES) == stored:
            return tab
    raise AssertionError(f"another tab does not read what the page stored: {stored}")


def is_local(url: str, address: str) -> bool:
    """Return whether a request of the page at `address` stays on this machine."""
    return not url.startswith("http") or url.startswith(address)


def serious_findings(page: Page) -> list[str]:
    """Run axe on a page; return "rule: elements" of each serious or critical finding."""
    rules = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {', '.join(str(node['target']) for node in rule['nodes'][:3])}"
        for rule in rules
        if rule["impact"] in ("serious", "critical")
    ]
