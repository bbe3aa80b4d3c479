"""A browser for the tests that look at a page."""

import os
from collections.abc import Iterator

import pytest

from tests.report.devtools import Page, browser, find_chromium


@pytest.fixture(scope="module")
def chromium_page() -> Iterator[Page]:
    program = find_chromium()
    if program is None:
        message = "no Chromium on the PATH; install it with: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with browser(program) as page:
        yield page
