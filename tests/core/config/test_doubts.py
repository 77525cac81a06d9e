"""What is legal but surely not meant is a warning, with its line."""

from __future__ import annotations

import pytest

from trio_router.core.config import read_config

AFFINITY = "affinity: {cookie: c, secret: 0123456789abcdef}"


def warnings(*lines: str, replicas: str = "[http://a]") -> list[str]:
    text = "router:\n" + "".join(f"  {line}\n" for line in (*lines, f"replicas: {replicas}"))
    return [problem.line() for problem in read_config(text).warnings]


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        (
            "health_check: {timeout_seconds: 6}",
            "line 2, column 35: router.health_check.timeout_seconds: 6 s is above interval_seconds (5 s): a replica that "
            "hangs is probed less often",
        ),
        (
            "health_check: {interval_seconds: 1}",
            "line 2, column 3: router.health_check.timeout_seconds: 2 s is above interval_seconds (1 s)",
        ),
        (
            "status_on_stream_port: false",
            "line 2, column 26: router.status_on_stream_port: /status can be reached nowhere: set status_port",
        ),
        ("status_host: h", "line 2, column 16: router.status_host: has no effect without status_port"),
        ("affinity: {cookie: c}", "line 2, column 22: router.affinity.cookie: without a secret, "),
        (
            "affinity: {secret: 0123456789abcdef}",
            "line 2, column 22: router.affinity.secret: signs nothing: no cookie is named",
        ),
        (
            "ejection: {base_seconds: 5m, max_seconds: 60}",
            "line 2, column 28: router.ejection.base_seconds: 300 s is above max_seconds (60 s), which is what counts",
        ),
        (
            "timeouts: {dead_peer_seconds: 30}",
            "line 2, column 33: router.timeouts.dead_peer_seconds: 30 s is below twice ping_interval_seconds (20 s): one "
            "pong that is late ends a session",
        ),
        (
            "timeouts: {suspect_seconds: 90}",
            "line 2, column 31: router.timeouts.suspect_seconds: 90 s has no effect above dead_peer_seconds (60 s)",
        ),
    ],
)
def test_what_is_doubtful_is_told_with_its_line(line: str, warning: str) -> None:
    (found,) = warnings(line)
    assert found.startswith(warning)


def test_hash_wants_a_key() -> None:
    nothing = "affinity: {keys: []}"
    assert warnings("balance: hash", nothing) == [
        "line 2, column 12: router.balance: hash has no key: affinity.keys is empty"
    ]
    assert warnings(nothing, "streams: [{path: /a}, {path: /b, balance: hash}]") == [
        "line 3, column 45: router.streams[1].balance: hash has no key: affinity.keys is empty"
    ]


@pytest.mark.parametrize(
    ("host", "url", "told"),
    [
        ("0.0.0.0", "http://localhost:9000", True),
        ("'::'", "http://127.0.0.1:9000", True),
        ("10.0.0.1", "http://10.0.0.1:9000", True),
        ("10.0.0.1", "http://localhost:9000", False),
        ("0.0.0.0", "http://gpu:9000", False),
        ("0.0.0.0", "http://localhost:8000", False),
        ("0.0.0.0", "http://localhost", False),
        ("0.0.0.0", "https://localhost", False),
    ],
)
def test_a_router_is_no_replica_of_its_own(host: str, url: str, told: bool) -> None:
    found = warnings(f"host: {host}", replicas=f"['{url}']")
    assert found == ([f"line 3, column 14: router.replicas[0].url: {url} is this router itself"] if told else [])


def test_fewer_sessions_than_the_replicas_have_room_for() -> None:
    limit = "limits: {max_sessions: 3}"
    two = "[{url: http://a, max_sessions: 2}, {url: http://b, max_sessions: 2}]"
    assert warnings(limit, replicas=two) == [
        "line 2, column 26: router.limits.max_sessions: 3 sessions leave replicas idle, which have room for 4"
    ]
    assert warnings(limit, replicas="[{url: http://a, max_sessions: 4}, http://b]")[0].endswith("room for 4 and more")
    assert warnings("limits: {max_sessions: 4}", replicas=two) == []


def test_what_is_well_is_not_doubted() -> None:
    assert warnings() == []
    assert warnings("status_on_stream_port: false", "status_port: 9001", "status_host: h", AFFINITY) == []
    assert warnings("balance: hash") == []


def test_warnings_come_in_the_order_of_the_file() -> None:
    found = warnings("timeouts: {dead_peer_seconds: 30}", "status_host: h", "health_check: {timeout_seconds: 6}")
    assert [line.split(",")[0] for line in found] == ["line 2", "line 3", "line 4"]
