"""The page when replicas are busy, killed and revived, or when the router is away, as a person sees it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.demo.browser import ask, browse, open_page, text, until
from trio_router.demo.command import open_demo

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Route


def click_switch(page: Page, action: str, replica: str) -> None:
    page.get_by_role("button", name=f"{action} replica {replica}").click()


def serving(page: Page) -> str:
    expect(page.locator("#replica")).to_contain_text("GPU")
    return text(page, "#replica").split()[0]


async def test_a_third_tab_sees_its_place_and_its_own_prompt_until_its_turn_comes(chromium: str, address: str) -> None:
    def visit(context: BrowserContext, url: str) -> None:
        with open_page(context, url) as one, open_page(context, url) as two, open_page(context, url) as third:
            for page in (one, two):
                page.bring_to_front()
                ask(page, "a fox")
                expect(page.locator("#segments li[data-state=complete]")).to_have_count(1)
            third.bring_to_front()
            ask(third, "an owl <at> night")
            expect(third.locator("#wait-place")).to_have_text("You are next in the queue")
            expect(third.locator("#wait-estimate")).to_contain_text("No estimate yet")
            expect(third.locator("#wait-prompt")).to_have_text("an owl <at> night")
            expect(third.locator("#announce")).to_contain_text("You are next in the queue")
            assert inside(third, "#waiting", ".screen")
            with open_page(context, url) as fourth:
                ask(fourth, "a mole")
                expect(fourth.locator("#wait-place")).to_have_text("You are number 2 of 2 in the queue")
                fourth.click("#stop")
                expect(fourth.locator("#waiting")).to_be_hidden()
            one.bring_to_front()
            one.click("#stop")
            third.bring_to_front()
            expect(third.locator("#segments li[data-state=complete]")).to_have_text(["an owl <at> night"])
            expect(third.locator("#waiting")).to_be_hidden()

    await browse(chromium, address, visit)


def inside(page: Page, inner: str, outer: str) -> bool:
    small, large = (page.locator(selector).bounding_box() for selector in (inner, outer))
    assert small is not None
    assert large is not None
    return (
        small["x"] >= large["x"]
        and small["y"] >= large["y"]
        and small["x"] + small["width"] <= large["x"] + large["width"]
        and small["y"] + small["height"] <= large["y"] + large["height"]
    )


async def test_estimate_counts_down_in_plain_words(chromium: str, address: str) -> None:
    def visit(context: BrowserContext, url: str) -> None:
        with open_page(context, url) as page:
            script = (
                "import('/demo/static/words.js').then(m => [[61, 0], [61, 20.4], [1, 0], [1, 5], [300, 0]].map("
                "([estimateSeconds, later]) => m.estimate({ estimateSeconds, at: 0 }, later * 1000)))"
            )
            assert page.evaluate(script) == [
                "About 61 seconds to wait.",
                "About 41 seconds to wait.",
                "About 1 second to wait.",
                "It should be your turn any moment now.",
                "About 5 minutes to wait.",
            ]

    await browse(chromium, address, visit)


async def test_after_a_kill_the_page_says_so_and_plays_again_by_itself(chromium: str) -> None:
    def visit(context: BrowserContext, url: str) -> None:
        with open_page(context, url) as page:
            ask(page, "a lighthouse")
            expect(page.locator("#segments li[data-state=complete]")).to_have_count(1)
            ask(page, "the storm")
            expect(page.locator("#segments li[data-state=generating]")).to_have_text(re.compile("the storm"))
            killed = serving(page)
            click_switch(page, "Kill", killed)
            words = "The GPU server failed during your session. Your prompt is kept."
            expect(page.locator("#error-text")).to_have_text(words)
            expect(page.locator("#countdown")).to_contain_text("Trying again in")
            expect(page.locator("#segments li[data-state=waiting]")).to_have_text(re.compile("the storm"))
            expect(page.locator(f"[data-replica={killed}]")).to_contain_text("killed")
            expect(page.locator(f"[data-replica={killed}] .pill")).to_have_text("not answering")
            expect(page.locator("#segments li[data-state=complete]")).to_have_text(["a lighthouse", "the storm"])
            expect(page.locator("#error")).to_be_hidden()
            until(page, "video.buffered.length === 1 && video.buffered.end(0) > 4.9")
            until(page, "video.currentTime > 2.7")
            assert serving(page) != killed
            click_switch(page, "Revive", killed)
            expect(page.locator(f"[data-replica={killed}] .pill")).to_have_text("healthy")
            expect(page.locator(f"[data-replica={killed}]")).not_to_contain_text("killed")

    async with open_demo(step_seconds=0.1) as address:
        await browse(chromium, address, visit)


async def test_with_no_replica_left_the_page_goes_on_trying_until_one_is_revived(chromium: str) -> None:
    def visit(context: BrowserContext, url: str) -> None:
        with open_page(context, url) as page:
            expect(page.locator("#status-table tbody tr")).to_have_count(1)
            ask(page, "a fox")
            expect(page.locator("#segments li[data-state=generating]")).to_have_count(1)
            click_switch(page, "Kill", "blue")
            expect(page.locator("#countdown")).to_contain_text("Trying again in")
            expect(page.locator("[data-replica=blue] .pill")).to_have_text("not answering")
            click_switch(page, "Revive", "blue")
            expect(page.locator("[data-replica=blue] .pill")).to_have_text("healthy")
            expect(page.locator("#segments li[data-state=complete]")).to_have_text(["a fox"])
            until(page, "video.currentTime > 0.3")

    async with open_demo(replicas=1, step_seconds=0.1) as address:
        await browse(chromium, address, visit)


async def test_rows_turn_grey_while_the_router_is_away(chromium: str, address: str) -> None:
    def away(route: Route) -> None:
        route.abort("connectionrefused")

    def visit(context: BrowserContext, url: str) -> None:
        with open_page(context, url, network_fails=True) as page:
            pill = page.locator("[data-replica=blue] .pill")
            expect(pill).to_have_text("healthy")
            fresh = pill.evaluate("e => getComputedStyle(e).color")
            context.route("**/status", away)
            expect(page.locator("#status-note")).to_contain_text("The router does not answer. These rows are")
            assert pill.evaluate("e => getComputedStyle(e).color") != fresh
            expect(page.get_by_role("button", name="Kill replica blue")).to_be_disabled()
            context.unroute("**/status", away)
            expect(page.locator("#status-note")).to_be_empty()
            assert pill.evaluate("e => getComputedStyle(e).color") == fresh
            expect(page.get_by_role("button", name="Kill replica blue")).to_be_enabled()

    await browse(chromium, address, visit)


async def test_a_router_that_cannot_be_reached_is_tried_again(chromium: str) -> None:
    def visit(context: BrowserContext, url: str) -> None:
        with open_page(context, url, network_fails=True) as page:
            context.set_offline(True)
            ask(page, "a fox")
            expect(page.locator("#error-text")).to_have_text("The router does not answer. Your prompt is kept.")
            context.set_offline(False)
            expect(page.locator("#segments li[data-state=complete]")).to_have_text(["a fox"])

    async with open_demo(replicas=1, step_seconds=0.01) as address:
        await browse(chromium, address, visit)
