"""The browser of the tests; where there is none, they are skipped."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from dev.browser import CHROMIUM, MISSING, TIMEOUT_MS, browsing, opening

__all__ = ["SKIPPED", "browsing", "needs_browser", "opening", "run"]

SKIPPED = MISSING

expect.set_options(timeout=TIMEOUT_MS)

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason=SKIPPED)


def run(page: Page, script: str, *arguments: object) -> Any:
    """The result of a function's body in the page; if that is a promise, the value that it resolves to."""
    return page.evaluate(f"given => (function () {{ {script} }}).apply(null, given)", list(arguments))
