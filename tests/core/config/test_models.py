"""The configuration from Python: the flat names of FastVideo's router, and every check, each with its text."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from trio_router.core.config import ReplicaEndpoint, RouterConfig

ONE = (ReplicaEndpoint("http://a"),)


def test_the_flat_field_names_and_defaults_of_fastvideos_router() -> None:
    config = RouterConfig(replicas=[ReplicaEndpoint(url="http://a:8000")])
    assert (config.host, config.port, config.health_check_path) == ("0.0.0.0", 9000, "/health")
    assert (config.health_check_interval_seconds, config.health_check_timeout_seconds) == (5.0, 2.0)
    assert (config.failure_threshold, config.recovery_threshold) == (3, 2)
    endpoint = config.replicas[0]
    assert (endpoint.url, endpoint.name, endpoint.primary, endpoint.weight) == ("http://a:8000", None, False, 1.0)


def test_a_trailing_slash_is_kept_in_the_url_and_left_out_of_the_base() -> None:
    endpoint = ReplicaEndpoint("http://Host:8000/")
    assert (endpoint.url, endpoint.base, endpoint.label) == ("http://Host:8000/", "http://host:8000", "Host:8000")
    assert ReplicaEndpoint("https://h", name="gpu-1").label == "gpu-1"


@pytest.mark.parametrize("url", ["http://h", "https://h/", "HTTP://h:1", "http://[::1]:65535", "http://10.0.0.1:8000/"])
def test_base_urls_are_accepted(url: str) -> None:
    assert ReplicaEndpoint(url).url == url


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ws://h", "must start with http:// or https://"),
        ("ftp://h", "must start with http"),
        ("h:8000", "must start with http"),
        ("", "must start with http"),
        ("http://", "names no host"),
        ("http://:8000", "names no host"),
        ("http://h/v1/stream", "without a path"),
        ("http://h//", "without a path"),
        ("http://h?x=1", "query/fragment"),
        ("http://h#top", "query/fragment"),
        ("http://h?", "query/fragment"),
        ("http://h/#", "query/fragment"),
        ("http://u:p@h", "user name or password"),
        ("http://h:0", "valid port"),
        ("http://h:65536", "valid port"),
        ("http://h:eighty", "valid port"),
        ("http://[::1", "Invalid IPv6"),
    ],
)
def test_other_urls_are_value_errors(url: str, words: str) -> None:
    with pytest.raises(ValueError, match="1 validation error") as caught:
        ReplicaEndpoint(url)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"replicas": ()}, "no replicas"),
        ({"replicas": (ReplicaEndpoint("http://a"), ReplicaEndpoint("http://a"))}, "Duplicate url 'http://a'"),
        ({"replicas": (ReplicaEndpoint("http://a"), ReplicaEndpoint("http://A/"))}, "Duplicate url 'http://A/'"),
        (
            {"replicas": (ReplicaEndpoint("http://a", name="x"), ReplicaEndpoint("http://b", name="x"))},
            "Duplicate name 'x'",
        ),
        ({"health_check_interval_seconds": 0}, "health_check_interval_seconds"),
        ({"health_check_interval_seconds": -1}, "health_check_interval_seconds"),
        ({"health_check_timeout_seconds": 0}, "health_check_timeout_seconds"),
        ({"health_check_timeout_seconds": float("inf")}, "health_check_timeout_seconds"),
        ({"health_check_path": "health"}, "health_check_path"),
        ({"health_check_path": "/health?deep=1"}, "health_check_path"),
        ({"failure_threshold": 0}, "failure_threshold"),
        ({"recovery_threshold": 0}, "recovery_threshold"),
        ({"port": 65536}, "port"),
        ({"port": -1}, "port"),
        ({"host": ""}, "host"),
        ({"port": 9000, "status_port": 9000}, "status_port must differ"),
        ({"streams": ()}, "no streams: list at least one"),
        ({"streams": ({"path": "/a"}, {"path": "/a"})}, "Duplicate path '/a'"),
        ({"streams": ({"path": "/status"},)}, "page of the router's own"),
        ({"streams": ({"path": "v1"},)}, "streams.0.path"),
        (
            {"replicas": ({"url": "http://a", "presets": ("wan",)},), "streams": ({"presets": ("wan", "ltx")},)},
            "streams[0].presets: no replica lists 'ltx'",
        ),
        ({"dialect": "g rpc"}, "dialect"),
        ({"balance": "the best"}, "balance"),
        ({"timeouts": {"ping_interval_seconds": 60}}, "must be below dead_peer_seconds"),
        ({"timeouts": {"close_seconds": 0}}, "close_seconds"),
        ({"limits": {"hold_bytes": 10}}, "hold_bytes"),
        ({"limits": {"attempts": 0}}, "attempts"),
        ({"queue": {"length": -1}}, "length"),
        ({"tls": {"certificate": "c.pem"}}, "certificate and key go together"),
        ({"tls": {"key": "k.pem"}}, "certificate and key go together"),
        ({"affinity": {"keys": ("client_id", "token")}}, "'token' is not client_id, query:NAME"),
        ({"affinity": {"keys": ("header:",)}}, "'header:' is not"),
        ({"shutdown": {"drain_seconds": -1}}, "drain_seconds"),
        ({"helth_check_path": "/x"}, "helth_check_path"),
    ],
)
def test_bad_values_are_value_errors(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match="validation error") as caught:
        RouterConfig(**{"replicas": ONE, **values})
    assert words in str(caught.value)


@pytest.mark.parametrize("values", [{"weight": 0}, {"weight": -1}, {"weight": float("nan")}, {"name": ""}])
def test_bad_endpoints_are_value_errors(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        ReplicaEndpoint("http://a", **values)


def test_a_replica_takes_url_name_primary_and_weight_by_position() -> None:
    """FastVideo's order."""
    endpoint = ReplicaEndpoint("http://a", "gpu-a", True, 2.0)
    assert (endpoint.url, endpoint.name, endpoint.primary, endpoint.weight) == ("http://a", "gpu-a", True, 2.0)
    assert ReplicaEndpoint("http://a", "gpu-a", max_sessions=3) == ReplicaEndpoint(
        url="http://a", name="gpu-a", max_sessions=3
    )


def test_too_many_by_position_and_one_given_twice_are_type_errors() -> None:
    arguments: tuple[Any, ...] = ("http://a", "gpu-a", True, 2.0, 4)
    with pytest.raises(TypeError, match="takes url, name, primary, weight by position, not 5 arguments"):
        ReplicaEndpoint(*arguments)
    twice: dict[str, Any] = {"url": "http://b"}
    with pytest.raises(TypeError, match="got 'url' by position and by name"):
        ReplicaEndpoint("http://a", **twice)


def test_a_misspelt_keyword_and_no_url_are_value_errors() -> None:
    misspelt: dict[str, Any] = {"wieght": 2, "self": 1}
    with pytest.raises(ValidationError) as caught:
        ReplicaEndpoint(**misspelt)
    assert {error["loc"] for error in caught.value.errors()} == {("url",), ("wieght",), ("self",)}


def test_lists_are_taken_and_tuples_kept() -> None:
    config = RouterConfig(replicas=[ReplicaEndpoint("http://a", presets=["wan"])])
    assert (config.replicas, config.replicas[0].presets) == ((ReplicaEndpoint("http://a", presets=["wan"]),), ("wan",))
    hash(config)


@pytest.mark.parametrize("room", [0, -1])
def test_a_replica_has_capacity_for_one_session_at_least(room: int) -> None:
    with pytest.raises(ValueError, match="must be 1 or more, or auto"):
        ReplicaEndpoint("http://a", max_sessions=room)


@pytest.mark.parametrize(
    "values",
    [
        {"port": 0, "status_port": 0},
        {"status_port": 9000, "status_host": "127.0.0.1"},
        {"replicas": (ReplicaEndpoint("http://a", primary=True), ReplicaEndpoint("http://b", primary=True))},
        {"replicas": (*ONE, ReplicaEndpoint("https://a", name="tls"), ReplicaEndpoint("http://a:81"))},
        {"streams": ({"path": "/v1/stream"}, {"path": "/ws", "dialect": "dreamverse", "balance": "hash"})},
        {"streams": ({"presets": ("wan",)},)},
        {"replicas": ({"url": "http://a", "presets": ("wan",)},), "streams": ({"presets": ("wan",)},)},
        {"affinity": {"keys": ()}},
        {"affinity": {"keys": ("client_id", "query:user", "header:X-User", "cookie:id")}},
        {"tls": {"certificate": "c.pem", "key": "k.pem"}},
        {"shutdown": {"drain_seconds": 0, "spread_seconds": 0}},
    ],
)
def test_what_is_allowed(values: dict[str, Any]) -> None:
    RouterConfig(**{"replicas": ONE, **values})


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        RouterConfig(replicas=(), port=-1, failure_threshold=0, dialect="")
    assert {error["loc"] for error in caught.value.errors()} == {
        ("replicas",),
        ("port",),
        ("failure_threshold",),
        ("dialect",),
    }


def test_a_configuration_is_frozen() -> None:
    config = RouterConfig(replicas=ONE)
    for model, name in ((config, "port"), (config.replicas[0], "url"), (config.timeouts, "close_seconds")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(model, name, "changed")
    assert isinstance(config.replicas, tuple)
    assert hash(config) == hash(RouterConfig(replicas=ONE))
