"""Starts a headless Chromium by Playwright, whichever is installed.

Importing this file needs no Playwright: it is an extra of the package.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from superset_ext.errors import SupersetExtError

if TYPE_CHECKING:
    from playwright.async_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--disable-dev-shm-usage", "--disable-background-networking")
_CLOSE_SECONDS = 10.0  # after which a browser that does not close is killed
_INSTALL = "install one with `playwright install chromium`, or set SUPERSET_EXT_WARM_BROWSER to a chromium executable"


class BrowserMissing(SupersetExtError):
    """There is no browser on this machine, or nothing that drives one."""


def playwright_api() -> Any:
    """Playwright's asynchronous API. The other one waits without end for a page whose script does not return.

    Raises:
        BrowserMissing: Playwright is not installed.
    """
    try:
        from playwright import async_api
    except ImportError:
        raise BrowserMissing(f"Playwright is not installed; run `pip install playwright`, then {_INSTALL}") from None
    return async_api


@asynccontextmanager
async def launched(playwright: Playwright, executable: str | None, seconds: float) -> AsyncIterator[Browser]:
    """A browser, closed at the end of the block.

    Args:
        executable: a Chromium; where `None`, Playwright's own or else one on the path.
        seconds: that it may take to start.

    Raises:
        BrowserMissing: none starts.
    """
    browser = await _launch(playwright, executable, seconds)
    try:
        yield browser
    finally:
        with suppress(TimeoutError, playwright_api().Error):  # Playwright kills it when it ends itself
            await asyncio.wait_for(browser.close(), _CLOSE_SECONDS)


async def _launch(playwright: Playwright, executable: str | None, seconds: float) -> Browser:
    paths = [executable] if executable else [None, *filter(None, map(shutil.which, NAMES))]
    reasons = []
    for path in paths:
        try:
            return await _start(playwright, path, seconds)
        except playwright_api().TimeoutError:
            raise  # there is one, and the machine is slow
        except playwright_api().Error as error:
            reasons.append(_why(error))
    raise BrowserMissing(f"no Chromium starts ({reasons[-1]}); {_INSTALL}")


async def _start(playwright: Playwright, path: str | None, seconds: float) -> Browser:
    sandbox = os.geteuid() != 0  # root's Chromium has none; without it, Playwright adds `--no-sandbox`
    return await playwright.chromium.launch(
        executable_path=path, args=FLAGS, chromium_sandbox=sandbox, timeout=seconds * 1000, headless=True
    )


def _why(error: Exception) -> str:
    """Why a Chromium did not start; its words about its sandbox come far down in its output."""
    if "No usable sandbox" in str(error):
        return "its sandbox needs user namespaces, which this machine or container does not allow"
    return error_line(error)


def error_line(error: Exception) -> str:
    """The first line of an error's text, without the call that raised it."""
    return str(error).strip().partition("\n")[0].split(": ", 1)[-1]
