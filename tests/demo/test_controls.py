"""Who may kill and revive the demo's replicas: the page of this run, and nobody else."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

import pytest
import trio
from quart_trio import QuartTrio

from tests.demo.conftest import QUICK
from tests.demo.talk import until_refused
from trio_router.demo.command import open_demo
from trio_router.demo.controls import ReplicaControls
from trio_router.demo.killable import KillableReplica
from trio_router.demo.page import demo_page

if TYPE_CHECKING:
    import httpx
    from quart.wrappers import Response

HOST = "127.0.0.1:9000"
FROM_PAGE = {"Host": HOST, "Origin": f"http://{HOST}", "X-Demo-Token": "secret"}


@pytest.fixture
async def replica(nursery: trio.Nursery) -> KillableReplica:
    replica = KillableReplica(QUICK)
    await nursery.start(replica.run)
    return replica


@pytest.fixture
def app(replica: KillableReplica) -> QuartTrio:
    app = QuartTrio("page")
    app.register_blueprint(demo_page(ReplicaControls({"blue": replica}, token="secret")))
    return app


async def post(app: QuartTrio, path: str, headers: dict[str, str]) -> Response:
    return await app.test_client(use_cookies=False).post(path, headers=headers)


async def test_the_page_kills_and_revives(app: QuartTrio, replica: KillableReplica) -> None:
    answer = await post(app, "/demo/replicas/blue/kill", FROM_PAGE)
    assert (answer.status_code, await answer.get_json()) == (200, {"name": "blue", "alive": False})
    listed = await (await app.test_client().get("/demo/replicas")).get_json()
    assert listed == {"replicas": [{"name": "blue", "alive": False}]}
    answer = await post(app, "/demo/replicas/blue/revive", FROM_PAGE)
    assert (answer.status_code, await answer.get_json()) == (200, {"name": "blue", "alive": True})
    assert replica.alive


@pytest.mark.parametrize(
    "wrong",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:9001"},
        {"Origin": "null"},
        {"Origin": None},
        {"X-Demo-Token": "guess"},
        {"X-Demo-Token": "sécret"},
        {"X-Demo-Token": None},
        {"Host": "evil.example:9000", "Origin": "http://evil.example:9000"},  # a name that resolves to this machine
        {"Host": "127.0.0.1.evil.example", "Origin": "http://127.0.0.1.evil.example"},
        {"Host": "[", "Origin": "http://["},
    ],
)
@pytest.mark.parametrize("action", ["kill", "revive"])
async def test_others_are_refused(
    app: QuartTrio, replica: KillableReplica, wrong: dict[str, str | None], action: str
) -> None:
    headers = {key: value for key, value in (FROM_PAGE | wrong).items() if value is not None}
    answer = await post(app, f"/demo/replicas/blue/{action}", headers)
    assert answer.status_code == 403
    assert (await answer.get_json())["error"] == "forbidden"
    assert replica.alive


@pytest.mark.parametrize("host", ["localhost:9000", "[::1]:9000", "localhost"])
async def test_every_name_of_this_machine_will_do(app: QuartTrio, replica: KillableReplica, host: str) -> None:
    await post(app, "/demo/replicas/blue/kill", FROM_PAGE | {"Host": host, "Origin": f"http://{host}"})
    assert not replica.alive


async def test_links_kill_nobody(app: QuartTrio, replica: KillableReplica) -> None:
    answer = await app.test_client().get("/demo/replicas/blue/kill", headers=FROM_PAGE)
    assert answer.status_code == 405
    assert replica.alive


async def test_unknown_replica(app: QuartTrio) -> None:
    answer = await post(app, "/demo/replicas/mauve/kill", FROM_PAGE)
    assert (answer.status_code, (await answer.get_json())["message"]) == (404, "no replica 'mauve'")


async def test_revival_on_a_port_that_was_taken_is_a_conflict(app: QuartTrio, replica: KillableReplica) -> None:
    port = replica.port
    replica.kill()
    await until_refused(port)
    with socket.create_server(("127.0.0.1", port)):
        answer = await post(app, "/demo/replicas/blue/revive", FROM_PAGE)
    assert answer.status_code == 409
    assert "replica blue cannot listen again: " in (await answer.get_json())["message"]


async def test_each_run_has_a_token_of_its_own_and_only_the_page_shows_it(http: httpx.AsyncClient) -> None:
    tokens = []
    for _run in range(2):
        async with open_demo(replicas=1) as address:
            page = await http.get(f"http://{address}/")
            (token,) = re.findall(r'name="demo-token" content="([\w-]{40,})"', page.text)
            headers = {"Origin": f"http://{address}", "X-Demo-Token": token}
            answer = await http.post(f"http://{address}/demo/replicas/blue/kill", headers=headers)
            assert answer.status_code == 200
            assert token not in repr(ReplicaControls(token=token))
            tokens.append(token)
    assert tokens[0] != tokens[1]


async def test_a_router_without_the_demo_has_no_such_endpoint(http: httpx.AsyncClient) -> None:
    from trio_router import ReplicaEndpoint, RouterConfig, open_router

    config = RouterConfig(host="127.0.0.1", port=0, replicas=[ReplicaEndpoint("http://127.0.0.1:9", name="blue")])
    async with open_router(config) as router:
        base = f"http://127.0.0.1:{router.port}/demo/replicas"
        assert (await http.get(base)).status_code == 404
        assert (await http.post(f"{base}/blue/kill")).status_code == 404
