"""Starts a headless Chromium by Playwright, whichever is installed.

Importing this file needs no Playwright: it is an extra of the package.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superset_ext.errors import SupersetExtError

if TYPE_CHECKING:
    from playwright.async_api import Browser, Playwright

NAMES = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "chrome-headless-shell",
    "headless_shell", "microsoft-edge", "brave-browser",
)  # fmt: skip
# Where browsers lie that are on no path: systems' own places, and what other versions of Playwright have installed.
PLACES = (
    "/opt/google/chrome/chrome",
    "/usr/lib/chromium/chromium",
    "/snap/bin/chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "~/.cache/ms-playwright/chromium*-*/chrome-*/*hrome*",
    "~/Library/Caches/ms-playwright/chromium-*/chrome-mac*/Chromium.app/Contents/MacOS/Chromium",
)
FLAGS = ("--disable-dev-shm-usage", "--disable-background-networking")
_CLOSE_SECONDS = 10.0  # after which a browser that does not close is killed
_SET = "or set SUPERSET_EXT_WARM_BROWSER to a chromium executable"


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
        raise BrowserMissing(f"Playwright is not installed; run `pip install playwright`, then {_install()}") from None
    return async_api


def problem(executable: str | None, seconds: float) -> str | None:
    """Why no page can be opened on this machine, with the command that helps; `None` where a Chromium starts."""
    try:
        asyncio.run(_start_and_close(executable, seconds))
    except BrowserMissing as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  (Playwright has no class for the death of its own driver)
        return f"a Chromium was started and failed: {error_line(error)}"
    return None


async def _start_and_close(executable: str | None, seconds: float) -> None:
    async with playwright_api().async_playwright() as playwright, launched(playwright, executable, seconds):
        return


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
        with suppress(
            TimeoutError, asyncio.TimeoutError, playwright_api().Error
        ):  # Playwright kills it when it ends itself
            await asyncio.wait_for(browser.close(), _CLOSE_SECONDS)


async def _launch(playwright: Playwright, executable: str | None, seconds: float) -> Browser:
    paths = [executable] if executable else [None, *present()]
    reasons = []
    for path in paths:
        try:
            return await _start(playwright, path, seconds)
        except playwright_api().TimeoutError:
            raise  # there is one, and the machine is slow
        except playwright_api().Error as error:
            reasons.append(_why(error))
    raise BrowserMissing(f"no Chromium starts ({reasons[-1]}); {_install()}")


def present() -> list[str]:
    """The browsers that are on the path, or where systems keep them, each once; none of them was tried."""
    on_path = filter(None, map(shutil.which, NAMES))
    elsewhere = (path for place in PLACES for path in _matches(Path(place).expanduser()))
    return list(dict.fromkeys([*on_path, *(str(path) for path in elsewhere if os.access(path, os.X_OK))]))


def _matches(place: Path) -> list[Path]:
    root = Path(place.anchor)
    return [path for path in root.glob(str(place.relative_to(root))) if path.is_file()]


def _install() -> str:
    """What installs a browser, as a command that runs in any folder."""
    beside = Path(sys.executable).with_name("playwright")
    return f"install one with `{beside if beside.exists() else 'playwright'} install --with-deps chromium`, {_SET}"


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
