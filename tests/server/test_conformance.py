"""Autobahn's cases (by `kosoku`) get the same verdicts through the router as straight at the echo server behind it.

All 517 of them: 9.* (large and many messages) take a few seconds, and 12.*, 13.* (compression) are UNIMPLEMENTED on both
ways, because neither the server nor the router negotiates an extension.
"""

from __future__ import annotations

import json
from pathlib import Path

import trio

from tests.server.process import HERE, process, router_process, script

Verdict = tuple[str, str, int | None]  # of the exchange, of the close, and the close code that came

#: Cases that send a good message and a bad frame in one go. The server fails the connection at the bad frame, and
#: whether the echo of the good message leaves before that (OK) or not any more (NON-STRICT) is a race inside it; the
#: router, which finds the bad frame itself, changes who wins. Both verdicts are passes.
RACES = {
    *(f"3.{n}" for n in (2, 3, 4)),  # a reserved bit set behind a good message
    *(f"4.1.{n}" for n in (3, 4, 5)),  # a reserved data opcode behind one
    *(f"4.2.{n}" for n in (3, 4, 5)),  # a reserved control opcode behind one
    "5.15",  # a continuation of nothing behind one
}


async def verdicts(url: str) -> dict[str, Verdict]:
    with trio.fail_after(100):
        async with process(str(HERE / "fuzz.py"), url.replace("http:", "ws:") + "/v1/stream") as fuzz:
            text = (await fuzz.line("verdicts ")).removeprefix("verdicts ")
            assert await fuzz.exit_status() == 0
    return {case: (behavior, close, code) for case, (behavior, close, code) in json.loads(text).items()}


def same(case: str, verdict: Verdict) -> Verdict:
    """What has to be equal of a verdict."""
    behavior, close, code = verdict
    return ("OK" if case in RACES and behavior == "NON-STRICT" else behavior), close, code


#: Verdicts from the best to the worst, as Autobahn's report colours them.
RANKS = ("OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED", "WRONG CODE", "UNCLEAN", "FAILED BY CLIENT", "FAILED")


def worse(case: str, direct: Verdict, routed: Verdict) -> bool:
    """Whether the router makes it worse. Its own close code, where the server would have dropped TCP, does not."""
    before, after = same(case, direct), same(case, routed)
    return any(RANKS.index(after[i]) > RANKS.index(before[i]) for i in (0, 1))


async def test_a_server_that_drops_tcp_at_every_offence_fares_no_worse_through_the_router(tmp_path: Path) -> None:
    async with script("server_dropping.py") as (_, url), router_process(tmp_path, url) as (router, port):
        direct = await verdicts(url)
        routed = await verdicts(f"http://127.0.0.1:{port}")
        assert not [line for line in router.lines if "session crashed" in line or "unhealthy" in line]
    assert len(direct) > 500
    assert not [case for case, verdict in direct.items() if "FAILED" in verdict]
    assert direct.keys() == routed.keys()
    suffering = {case: (direct[case], routed[case]) for case in direct if worse(case, direct[case], routed[case])}
    assert not suffering, suffering


async def test_same_verdicts_through_the_router(tmp_path: Path) -> None:
    async with script("server_echo.py") as (_, url), router_process(tmp_path, url) as (router, port):
        direct = await verdicts(url)
        routed = await verdicts(f"http://127.0.0.1:{port}")
        assert not [line for line in router.lines if "session crashed" in line]
    assert len(direct) > 500
    assert sum(behavior == "OK" for behavior, _, _ in direct.values()) > 250, "the server itself is no measure"
    assert direct.keys() == routed.keys()
    differing = {
        case: (direct[case], routed[case]) for case in direct if same(case, direct[case]) != same(case, routed[case])
    }
    assert not differing, differing
