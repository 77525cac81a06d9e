"""The page's look: it fits a phone, its text can be read in both schemes, and its controls have names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.demo.browser import ask, browse, open_page

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, WebSocketRoute

# Text elements below a contrast of 4.5 to 1 (WCAG 2.2, 1.4.3), each as "contrast tag#id: text". Grounds are composed from
# the page up; under the video's own elements the ground counts as white, the worst for light text. Disabled controls
# are exempt (1.4.3).
CONTRAST = """() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return { rgb: [r, g, b], a };
  };
  const over = (top, ground) => top.rgb.map((value, i) => value * top.a + ground[i] * (1 - top.a));
  const ground = (element) => {
    if (element === null) return [255, 255, 255];
    const style = getComputedStyle(element);
    if (style.backgroundImage !== "none") throw new Error(`cannot judge the picture of ${element.tagName}`);
    const under = element.classList.contains("screen") ? [255, 255, 255] : ground(element.parentElement);
    return element.classList.contains("screen") ? under : over(parse(style.backgroundColor), under);
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (light + 0.05) / (dark + 0.05);
  };
  const found = [];
  let judged = 0;
  const judge = (element, color, words) => {
    const back = ground(element);
    const ratio = contrast(over(parse(color), back), back);
    judged += 1;
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)} ${element.tagName}#${element.id}: ${words}`);
  };
  for (const element of document.querySelectorAll("body *")) {
    const words = [...element.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join("");
    if (!element.checkVisibility() || element.disabled) continue;
    if (words) judge(element, getComputedStyle(element).color, words);
    for (const pseudo of ["::before", "::after"]) {
      const style = getComputedStyle(element, pseudo);
      if (style.content !== "none") judge(element, style.color, pseudo);
    }
    if (element.placeholder) judge(element, getComputedStyle(element, "::placeholder").color, element.placeholder);
  }
  return { judged, found };
}"""
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])


def judge_contrast(page: Page) -> None:
    result = page.evaluate(CONTRAST)
    assert result["found"] == []
    assert result["judged"] > 30


def wear(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    expect(page.locator("#status-table tbody tr")).to_have_count(2)


@SCHEMES
async def test_text_has_contrast_while_waiting_playing_and_after_a_kill(
    chromium: str, address: str, scheme: str
) -> None:
    def visit(context: BrowserContext, url: str) -> None:
        with open_page(context, url) as page, open_page(context, url) as other, open_page(context, url) as third:
            wear(page, scheme)
            judge_contrast(page)
            for tab in (page, other):
                tab.bring_to_front()
                ask(tab, "a fox")
                expect(tab.locator("#segments li[data-state=complete]")).to_have_count(1)
            wear(third, scheme)
            ask(third, "an owl")
            expect(third.locator("#waiting")).to_be_visible()
            judge_contrast(third)
            page.bring_to_front()
            expect(page.locator("tr.serving")).to_have_count(1)
            judge_contrast(page)
            page.click("tr.serving button")
            expect(page.locator("#error")).to_be_visible()
            expect(page.locator("small.killed")).to_have_text("killed")
            judge_contrast(page)

    await browse(chromium, address, visit)


@SCHEMES
async def test_text_has_contrast_when_complete_with_a_prompt_left_and_the_router_away(
    chromium: str, address: str, scheme: str
) -> None:
    def visit(context: BrowserContext, url: str) -> None:
        with open_page(context, url, network_fails=True) as page:
            wear(page, scheme)
            for number in range(7):
                ask(page, f"number {number}")
            expect(page.locator("#segments li[data-state='not sent']")).to_have_count(1)
            context.route("**/status", lambda route: route.abort())
            expect(page.locator("table.away")).to_be_visible()
            judge_contrast(page)

    await browse(chromium, address, visit)


async def test_light_and_dark_follow_the_system(chromium: str, address: str) -> None:
    def visit(context: BrowserContext, url: str) -> None:
        with open_page(context, url) as page:
            brightness = {}
            for scheme in ("light", "dark"):
                wear(page, scheme)
                ground = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
                brightness[scheme] = sum(ground) / 3
                assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == scheme
            assert brightness["light"] > 200
            assert brightness["dark"] < 50

    await browse(chromium, address, visit)


@pytest.mark.parametrize("width", [390, 1280])
async def test_nothing_is_wider_than_the_screen(chromium: str, address: str, width: int) -> None:
    """In every state, with a long word as prompt."""

    def serve(route: WebSocketRoute) -> None:
        def on_message(_message: str | bytes) -> None:
            route.send(json.dumps({"type": "queue_status", "position": 12, "queue_depth": 345}))

        route.on_message(on_message)

    def fits(page: Page) -> bool:
        return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))

    def visit(context: BrowserContext, url: str) -> None:
        with open_page(context, url) as page, open_page(context, url) as waiting:
            page.set_viewport_size({"width": width, "height": 844})
            waiting.set_viewport_size({"width": width, "height": 844})
            assert fits(page)
            page.bring_to_front()
            ask(page, "unbreakable" * 20)
            expect(page.locator("#segments li[data-state=complete]")).to_have_count(1)
            expect(page.locator("tr.serving")).to_have_count(1)
            assert fits(page)
            page.click("tr.serving button")
            expect(page.locator("small.killed")).to_be_visible()
            expect(page.locator("#error")).to_be_visible()
            assert fits(page)
            waiting.bring_to_front()
            waiting.route_web_socket("**/v1/stream", serve)
            waiting.reload()
            ask(waiting, "unbreakable" * 20)
            expect(waiting.locator("#wait-place")).to_have_text("You are number 12 of 345 in the queue")
            assert fits(waiting)
            box, screen = (waiting.locator(name).bounding_box() for name in ("#waiting", ".screen"))
            assert box is not None
            assert screen is not None
            assert box["height"] <= screen["height"]

    await browse(chromium, address, visit)


async def test_every_control_has_a_name_and_news_are_announced(chromium: str, address: str) -> None:
    def visit(context: BrowserContext, url: str) -> None:
        with open_page(context, url) as page:
            expect(page.get_by_role("textbox", name="Your prompt")).to_be_focused()
            expect(page.get_by_role("button", name="Generate")).to_be_visible()
            for name in ("blue", "coral"):
                expect(page.get_by_role("button", name=f"Kill replica {name}")).to_be_visible()
                expect(page.get_by_role("rowheader", name=name)).to_be_visible()
            expect(page.locator("#announce[aria-live=polite]")).to_have_count(1)
            ask(page, "a fox")
            expect(page.locator("#segments li[data-state=complete]")).to_have_count(1)
            expect(page.locator("#announce")).to_have_text("Session: ready.")
            unnamed = (
                "[...document.querySelectorAll('button, input')].filter(e => !e.labels?.length && !e.innerText.trim()"
                " && !e.ariaLabel && !e.closest('[hidden]')).length"
            )
            assert page.evaluate(unnamed) == 0
            assert page.evaluate("document.documentElement.lang") == "en"

    await browse(chromium, address, visit)


async def test_a_row_keeps_its_button_and_the_focus_while_the_table_is_updated(chromium: str, address: str) -> None:
    def visit(context: BrowserContext, url: str) -> None:
        with open_page(context, url) as page:
            button = page.get_by_role("button", name="Kill replica coral")
            button.focus()
            for _poll in range(2):
                with page.expect_response("**/status"):
                    pass
            expect(button).to_be_focused()

    await browse(chromium, address, visit)
