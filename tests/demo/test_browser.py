"""The page in a real browser, through the real router: prompts play and continue, ends and errors show."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.demo.browser import ask, browse, open_page, text, until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, WebSocketRoute


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


async def test_a_prompt_beyond_the_last_segment_is_marked_as_not_sent(chromium: str, address: str) -> None:
    def visit(context: BrowserContext, url: str) -> None:
        with open_page(context, url) as page:
            for prompt in ("one", "two", "three", "four", "five", "six", "seven"):
                ask(page, prompt)
            expect(page.locator("#error-text")).to_have_text("The stream is complete. 1 prompt was not sent.")
            expect(page.locator("#segments li[data-state=complete]")).to_have_count(6)
            expect(page.locator("#segments li[data-state='not sent']")).to_have_text("sevennot sent")
            expect(page.locator("#retry")).to_have_text("Send in a new stream")
            page.click("#retry")
            expect(page.locator("#segments li")).to_have_text(["seven"])
            expect(page.locator("#segments li[data-state=complete]")).to_have_count(1)

    await browse(chromium, address, visit)


async def test_place_in_queue_error_and_retry_are_shown(chromium: str, address: str) -> None:
    """The server is played by the test: a waiting queue and a failure are hard to order at will."""

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
            words = "No GPU server is running at the moment. Your prompt is kept."
            expect(page.locator("#error-text")).to_have_text(words)
            expect(page.locator("#announce")).to_have_text(f"{words} The page tries again by itself.")
            expect(page.locator("#countdown")).to_have_text(re.compile(r"^Trying again in \d seconds?\.$"))
            expect(page.locator("#error-message")).to_have_text("no GPU <b>today</b>")
            expect(page.locator("#close-code")).to_have_text("1013 no_healthy_replica")
            expect(page.locator("#state")).to_have_attribute("data-state", "retrying")
            page.click("#retry")
            expect(page.locator("#log .sent")).to_have_count(2)
            expect(page.locator("#log .sent")).to_have_count(3)  # by itself
            page.click("#stop")
            expect(page.locator("#state")).to_have_text("closed")

    await browse(chromium, address, visit)


async def test_an_error_that_would_come_again_is_not_retried(chromium: str, address: str) -> None:
    def serve(route: WebSocketRoute) -> None:
        def on_message(_message: str | bytes) -> None:
            route.send(json.dumps({"type": "error", "code": "session_rejected", "message": "no", "retryable": False}))
            route.close(code=1013, reason="session_rejected")

        route.on_message(on_message)

    def visit(context: BrowserContext, url: str) -> None:
        context.route_web_socket("**/v1/stream", serve)
        with open_page(context, url) as page:
            ask(page, "a fox")
            expect(page.locator("#state")).to_have_text("failed")
            expect(page.locator("#error-text")).to_have_text("The server refused this session. Your prompt is kept.")
            expect(page.locator("#countdown")).to_be_empty()
            expect(page.locator("#retry")).to_have_text("Try again")

    await browse(chromium, address, visit)


async def test_delays_of_retries_grow_to_a_limit_and_half_of_each_is_random(chromium: str, address: str) -> None:
    def visit(context: BrowserContext, url: str) -> None:
        with open_page(context, url) as page:
            script = "import('/demo/static/connection.js').then(m => [1, 2, 3, 4, 5, 99].map(n => m.delaySeconds(n, () => {})))"
            longest, shortest = (page.evaluate(script.replace("{}", number)) for number in ("1", "0"))
            assert longest == [3, 6, 12, 24, 30, 30]
            assert shortest == [1.5, 3, 6, 12, 15, 15]

    await browse(chromium, address, visit)
