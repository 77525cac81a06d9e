"""Two configurations: what differs, and whether a running router can take it over."""

from __future__ import annotations

import json

import pytest

from trio_router.core.config import ReplicaEndpoint, RouterConfig, parse_config
from trio_router.core.config.diff import _AT_ONCE, _RESTART, ConfigDiff, diff_configs, merge_replicas
from trio_router.core.config.shape import model_in
from trio_router.core.errors import ReloadRefused

A, B, C = (ReplicaEndpoint(f"http://{name}", name=name) for name in "abc")


def config(text: str = "") -> RouterConfig:
    return parse_config(f"router: {{replicas: [{{url: http://a, name: a}}], {text}}}")


def diff(old: str, new: str) -> ConfigDiff:
    return diff_configs(config(old), config(new))


def replicas(*endpoints: ReplicaEndpoint) -> RouterConfig:
    return RouterConfig(replicas=endpoints)


def heavy(endpoint: ReplicaEndpoint, weight: float = 5.0) -> ReplicaEndpoint:
    return endpoint.model_copy(update={"weight": weight})


def test_the_same_differs_in_nothing() -> None:
    found = diff("port: 1", "port: 1")
    assert not found
    assert found.lines() == []


def test_replicas_are_added_removed_and_changed_by_their_url() -> None:
    found = diff_configs(replicas(A, B), replicas(heavy(B), C))
    assert found
    assert found.lines() == ["+ replica c http://c", "- replica a http://a", "~ replica b http://b  weight: 1 -> 5"]
    assert found.fields()["replicas"] == {
        "added": [{"name": "c", "url": "http://c"}],
        "changed": [{"name": "b", "url": "http://b", "changes": {"weight": [1.0, 5.0]}}],
        "removed": [{"name": "a", "url": "http://a"}],
    }


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("", "timeouts: {connect_seconds: 3}", "~ router.timeouts.connect_seconds: 5 -> 3 (for new sessions)"),
        ("", "limits: {max_sessions: 9}", "~ router.limits.max_sessions: none -> 9 (for new sessions)"),
        ("", "queue: {length: 9}", "~ router.queue.length: 100 -> 9 (for new sessions)"),
        ("", "balance: first", "~ router.balance: least_sessions -> first (for new sessions)"),
        ("", "log: {level: debug}", "~ router.log.level: info -> debug (at once)"),
        ("", "health_check: {path: /up}", "~ router.health_check.path: /health -> /up (at once)"),
        ("", "shutdown: {drain_seconds: 5}", "~ router.shutdown.drain_seconds: 600 -> 5 (at once)"),
        ("", "port: 1", "~ router.port: 9000 -> 1 (needs a restart)"),
        ("", "admin: {port: 1}", "~ router.admin.port: none -> 1 (needs a restart)"),
        ("", "affinity: {cookie: c}", "~ router.affinity.cookie: none -> c (needs a restart)"),
    ],
)
def test_each_setting_says_from_when_it_holds(old: str, new: str, line: str) -> None:
    found = diff(old, new)
    assert found.lines() == [line]
    assert found.restart == ((line[2 : line.index(":")],) if "restart" in line else ())


def test_tls_needs_a_restart_whatever_of_it_changes() -> None:
    found = diff("", "tls: {certificate: c, key: k}")
    assert found.restart == ("router.tls.certificate", "router.tls.key")


def test_a_path_is_shown_as_it_stands_in_the_file() -> None:
    (change,) = diff("", "streams: [{path: /x}]").settings
    assert change.new == [{"path": "/x", "dialect": None, "balance": None, "presets": []}]


def test_secrets_are_compared_and_not_shown() -> None:
    one, other = "0123456789abcdef", "fedcba9876543210"
    admin = "admin: {{port: 1, tokens: [{{name: a, token: {0}, role: viewer}}]}}, affinity: {{secret: {0}, cookie: c}}"
    found = diff(admin.format(one), admin.format(other))
    said = json.dumps(found.fields()) + "\n".join(found.lines())
    assert [change.key for change in found.settings] == ["router.affinity.secret", "router.admin.tokens"]
    assert one not in said
    assert other not in said
    added = diff("", f"affinity: {{secret: {one}}}")
    assert added.lines() == ["~ router.affinity.secret: none -> *** (needs a restart)"]
    removed = diff(f"affinity: {{secret: {one}}}", "")
    assert removed.lines() == ["~ router.affinity.secret: *** -> none (needs a restart)"]


def test_what_the_file_does_not_touch_stays_as_an_operator_made_it() -> None:
    by_api = ReplicaEndpoint("http://api")
    live = (heavy(A, 7.0), by_api)  # a's weight was changed, b removed, one added
    old = replicas(A, B, C)
    assert merge_replicas(old, old, live) == live
    assert merge_replicas(old, replicas(A, heavy(B), C), live) == (heavy(A, 7.0), heavy(B), by_api), "b was touched"
    assert merge_replicas(old, replicas(heavy(A), B), live) == (heavy(A), by_api), "a was touched"
    assert merge_replicas(old, replicas(B, C), live) == (by_api,), "a was taken out"
    named = ReplicaEndpoint("http://api", name="mine")
    assert merge_replicas(old, replicas(A, named), live) == (heavy(A, 7.0), named), "the file knows it now"


def test_a_refused_reload_names_the_keys() -> None:
    refused = ReloadRefused("a restart is needed", keys=["router.port"])
    assert (str(refused), refused.keys) == ("a restart is needed", ("router.port",))


@pytest.mark.parametrize("path", sorted(_AT_ONCE | _RESTART))
def test_each_setting_with_an_effect_of_its_own_exists(path: str) -> None:
    name, _, key = path.partition(".")
    field = RouterConfig.model_fields[name]
    if key:
        block = model_in(field.annotation)
        assert block is not None
        assert key in block.model_fields
