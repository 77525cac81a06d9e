"""The demo's page in a headless Chromium: what its tests share."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio
from playwright.sync_api import expect, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import BrowserContext, Page

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
]
BOUND_MS = 20_000


async def browse(chromium: str, address: str, visit: Callable[[BrowserContext, str], None]) -> None:
    """Run `visit` in a browser of its own, in a worker thread: the router goes on in this one."""
    await trio.to_thread.run_sync(partial(_browse, chromium, f"http://{address}/", visit))


def _browse(chromium: str, url: str, visit: Callable[[BrowserContext, str], None]) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGS)
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(BOUND_MS)
        expect.set_options(timeout=BOUND_MS)
        visit(context, url)
        browser.close()


@contextmanager
def open_page(context: BrowserContext, url: str, *, network_fails: bool = False) -> Iterator[Page]:
    """The page, which must not have logged an error or broken its content security policy by the end.

    With `network_fails`, requests and connections that fail are expected: Chromium logs each as an error.
    """
    page, problems = context.new_page(), list[str]()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    page.goto(url)
    yield page
    if network_fails:
        problems = [text for text in problems if "Failed to load resource" not in text and "WebSocket" not in text]
    assert problems == [], problems


def until(page: Page, expression: str) -> None:
    """Wait for a JavaScript expression. Playwright's wait_for_function needs eval, which the page forbids."""
    give_up_at = time.monotonic() + BOUND_MS / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < give_up_at, f"{expression} never became true\n{page.inner_text('body')}"
        page.wait_for_timeout(20)


def ask(page: Page, prompt: str) -> None:
    page.fill("#prompt", prompt)
    page.click("#go")


def text(page: Page, selector: str) -> str:
    return page.inner_text(selector)
