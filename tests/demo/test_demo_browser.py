"""The page in a real browser, through the real router: prompts play and continue, ends and errors show."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from playwright.sync_api import expect, sync_playwright

from trio_router.demo.command import open_demo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from playwright.sync_api import BrowserContext, Page, WebSocketRoute

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


@pytest.fixture(scope="module")
def chromium() -> str:
    """Where Chromium is; without one the tests are skipped, except in CI, where that is a failure."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None and os.environ.get("CI"):
        pytest.fail("CI must have Chromium for the page's tests")
    if found is None:
        pytest.skip("no Chromium on this machine")
    return found


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """Two demo replicas behind a router; its `host:port`."""
    async with open_demo(step_seconds=0.01) as address:
        yield address


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
def open_page(context: BrowserContext, url: str) -> Iterator[Page]:
    """The page, which must not have logged an error or broken its content security policy by the end."""
    page, problems = context.new_page(), list[str]()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    page.goto(url)
    yield page
    assert problems == []


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


async def test_two_prompts_play_one_after_the_other(chromium: str, address: str) -> None:
    def visit(context: BrowserContext, url: str) -> None:
        with open_page(context, url) as page:
            ask(page, "a lighthouse in a storm")
            until(page, "video.currentTime > 0.3")
            until(page, "video.buffered.end(0) > 2.4")
            ask(page, "the storm calms down")
            until(page, "video.buffered.end(0) > 4.9 && video.buffered.length === 1")
            until(page, "video.currentTime > 2.7")  # a segment is 2.5 s long: this is the second one
            expect(page.locator("#segments li[data-state=complete]")).to_have_count(2)
            expect(page.locator("#state")).to_have_text("ready")
            name = text(page, "#replica").partition(" ")[0]
            assert name in {"blue", "coral"}
            expect(page.locator("#status-table tr.serving")).to_contain_text(name)
            page.screenshot(path=os.environ.get("DEMO_SCREENSHOT") or None)

    await browse(chromium, address, visit)


async def test_status_table_shows_both_replicas(chromium: str, address: str) -> None:
    def visit(context: BrowserContext, url: str) -> None:
        with open_page(context, url) as page:
            expect(page.locator("#status-table tbody tr")).to_have_count(2)
            expect(page.locator("#status-table tbody tr [data-state=healthy]")).to_have_count(2)

    await browse(chromium, address, visit)


async def test_two_tabs_are_served_by_two_replicas(chromium: str, address: str) -> None:
    def visit(context: BrowserContext, url: str) -> None:
        with open_page(context, url) as one, open_page(context, url) as two:
            for page in (one, two):
                page.bring_to_front()
                ask(page, "a fox")
                expect(page.locator("#segments li[data-state=complete]")).to_have_count(1)
            assert {text(page, "#replica").split()[0] for page in (one, two)} == {"blue", "coral"}

    await browse(chromium, address, visit)


async def test_a_complete_stream_can_be_started_again(chromium: str, address: str) -> None:
    def visit(context: BrowserContext, url: str) -> None:
        with open_page(context, url) as page:
            for prompt in ("one", "two", "three", "four", "five", "six"):
                ask(page, prompt)
            expect(page.locator("#retry")).to_have_text("Start again")
            expect(page.locator("#state")).to_have_text("complete")
            expect(page.locator("#close-code")).to_have_text(re.compile("^1000"))
            page.click("#retry")
            expect(page.locator("#segments li[data-state=complete]")).to_have_count(1)
            expect(page.locator("#close-code")).not_to_contain_text("1000")

    await browse(chromium, address, visit)


async def test_place_in_line_error_and_retry_are_shown(chromium: str, address: str) -> None:
    """The server is played by the test: a waiting line and a failure are hard to order at will."""

    def serve(route: WebSocketRoute) -> None:
        def say(**message: object) -> None:
            route.send(json.dumps(message))

        def on_message(_message: str | bytes) -> None:
            say(type="a_type_of_next_year")
            say(type="queue_status", position=3, queue_depth=7)
            say(type="error", code="gpu_unavailable", message="no GPU <b>today</b>", retryable=True)
            route.close(code=1013, reason="no_healthy_replica")

        route.on_message(on_message)

    def visit(context: BrowserContext, url: str) -> None:
        context.route_web_socket("**/v1/stream", serve)
        with open_page(context, url) as page:
            ask(page, "a fox")
            expect(page.locator("#error-text")).to_have_text("no GPU <b>today</b>")
            expect(page.locator("#queue")).to_have_text("place 3 of 7")
            expect(page.locator("#close-code")).to_have_text("1013 no_healthy_replica")
            expect(page.locator("#state")).to_have_text("failed")
            page.click("#retry")
            expect(page.locator("#log .sent")).to_have_count(2)

    await browse(chromium, address, visit)
