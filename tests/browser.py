"""A real Chromium for pages of ours; tests that need one skip with a reason where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), "")
_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")


@contextmanager
def browser(profile: Path, *flags: str, **options: Any) -> Iterator[Any]:  # Any: Playwright's, which may be absent.
    """Start one, in a profile of its own.

    Args:
        profile: Folder of the profile.
        flags: Of the command line, more than are needed anyway.
        options: Of Playwright's context, such as `viewport`.
    """
    if not PROGRAM:
        pytest.skip("there is no Chromium: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install 'ns-talking[dev]'")
    with playwright.sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            str(profile),
            executable_path=PROGRAM,
            args=[*_FLAGS, "--disable-sync", *flags],
            headless=True,
            **options,
        )
        yield context
        context.close()
