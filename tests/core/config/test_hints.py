"""What an unknown key was probably meant to be; what is ignored; a replica in short."""

from __future__ import annotations

import pytest

from trio_router.core.config import ReplicaEndpoint, parse_config
from trio_router.core.errors import ConfigError


def problem(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    (found,) = caught.value.problems
    return found


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("drain_seconds", "did you mean router.shutdown.drain_seconds?"),
        ("drain_second", "did you mean router.shutdown.drain_seconds?"),
        ("interval_seconds", "did you mean router.health_check.interval_seconds?"),
        ("weight", "did you mean router.replicas[].weight?"),
        ("max_sessions", "did you mean router.replicas[].max_sessions or router.limits.max_sessions?"),
        ("path", "did you mean router.health_check.path or router.streams[].path?"),
        ("prot", "did you mean 'port'?"),
        ("backends", "did you mean 'replicas'?"),
        ("timeout", "did you mean 'timeouts'?"),
    ],
)
def test_a_key_in_the_wrong_block_is_found_in_the_right_one(key: str, hint: str) -> None:
    assert problem(f"router: {{{key}: 1, replicas: [http://a]}}") == f"router.{key}: unknown key; {hint}"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (
            "router: {replicas: [{url: http://a, balance: first}]}",
            "router.replicas[0].balance: unknown key; did you mean router.balance or router.streams[].balance?",
        ),
        (
            "router: {replicas: [http://a], health_check: {port: 1}}",
            "router.health_check.port: unknown key; did you mean router.port?",
        ),
        (
            "router: {replicas: [http://a], shutdown: {close_seconds: 1}}",
            "router.shutdown.close_seconds: unknown key; did you mean router.timeouts.close_seconds?",
        ),
        ("router: {replicas: [http://a]}\nreplicas: []", "replicas: unknown key; did you mean router.replicas?"),
        ("router: {replicas: [http://a]}\nroter: []", "roter: unknown key; did you mean 'router'?"),
        (
            "router: {replicas: [http://a]}\nqqq: []",
            "qqq: unknown key; known here: router, and keys that begin with x-, which are ignored",
        ),
    ],
)
def test_so_is_one_in_any_other_place(text: str, hint: str) -> None:
    assert problem(text) == hint


def test_top_level_keys_that_begin_with_x_are_ignored() -> None:
    text = "x-gpu: &gpu {weight: 2}\nx-: 1\nrouter:\n  replicas:\n  - {<<: *gpu, url: http://a}\n"
    assert parse_config(text).replicas == (ReplicaEndpoint("http://a", weight=2),)
    assert problem("router: {x-gpu: 1, replicas: [http://a]}").startswith("router.x-gpu: unknown key")


def test_a_replica_may_be_its_url_alone() -> None:
    config = parse_config("router: {replicas: ['http://a:8000', {url: 'http://b'}]}")
    assert config.replicas == (ReplicaEndpoint("http://a:8000"), ReplicaEndpoint("http://b"))
