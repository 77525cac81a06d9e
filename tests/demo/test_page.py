"""The page is served from memory, complete, and refers to nothing outside of its origin."""

from __future__ import annotations

import re

import pytest
from quart_trio import QuartTrio

from trio_router.demo.controls import ReplicaControls
from trio_router.demo.page import demo_page

SCRIPTS = ["app", "connection", "player", "replicas", "session", "status", "view", "words"]
ASSETS = ["/", *(f"/demo/static/{name}.js" for name in SCRIPTS), "/demo/static/style.css"]


@pytest.fixture
def app() -> QuartTrio:
    app = QuartTrio("page")
    app.register_blueprint(demo_page(ReplicaControls(token="secret")))
    return app


@pytest.mark.parametrize("path", ASSETS)
async def test_assets_are_served_and_self_contained(app: QuartTrio, path: str) -> None:
    response = await app.test_client().get(path)
    body = await response.get_data(as_text=True)
    assert response.status_code == 200
    assert response.content_type.startswith("text/")
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    assert "http://" not in body
    assert "https://" not in body


async def test_every_asset_that_the_page_names_exists(app: QuartTrio) -> None:
    named, seen = {"/"}, set[str]()
    while named - seen:
        path = (named - seen).pop()
        response = await app.test_client().get(path)
        assert response.status_code == 200, path
        seen.add(path)
        body = await response.get_data(as_text=True)
        named |= set(re.findall(r'(?:src|href)="(/[^"]+)"', body))
        named |= {f"/demo/static/{name}" for name in re.findall(r'from "\./([^"]+)"', body)}
    assert seen == set(ASSETS)


async def test_ids_for_browser_tests_are_stable(app: QuartTrio) -> None:
    body = await (await app.test_client().get("/")).get_data(as_text=True)
    for name in ("prompt", "go", "video", "state", "replica", "status-table", "log", "retry", "close-code"):
        assert f'id="{name}"' in body


@pytest.mark.parametrize("name", ["nothing.js", "..%2fpage.py", "__init__.py", "index.html"])
async def test_nothing_else_is_served(app: QuartTrio, name: str) -> None:
    assert (await app.test_client().get(f"/demo/static/{name}")).status_code == 404


async def test_no_other_site_can_frame_the_page(app: QuartTrio) -> None:
    """A frame would let another site steal a click on a button that kills a replica."""
    response = await app.test_client().get("/")
    assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]


async def test_every_script_imports_only_what_exists_and_uses_no_framework(app: QuartTrio) -> None:
    for name in SCRIPTS:
        body = await (await app.test_client().get(f"/demo/static/{name}.js")).get_data(as_text=True)
        assert set(re.findall(r'^import .* from "\./(\w+)\.js";$', body, re.MULTILINE)) <= set(SCRIPTS)
        assert len(re.findall(r"^import ", body, re.MULTILINE)) == len(
            re.findall(r'^import .* from "\./', body, re.MULTILINE)
        )
