"""Values with a unit, in every key that ends in `_seconds` or `_bytes`."""

from __future__ import annotations

from typing import Any

import pytest

from trio_router.core.config import RouterConfig, parse_config
from trio_router.core.config.shape import BLOCKS, HEALTH_CHECK, model_in
from trio_router.core.errors import ConfigError

REPLICA = "replicas: [http://a]"


def timeout(text: str) -> float:
    return parse_config(f"router: {{{REPLICA}, timeouts: {{close_seconds: {text}}}}}").timeouts.close_seconds


def size(text: str) -> int:
    return parse_config(f"router: {{{REPLICA}, limits: {{hold_bytes: {text}}}}}").limits.hold_bytes


def problem(block: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(f"router: {{{REPLICA}, {block}}}")
    (found,) = caught.value.problems
    return found


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5", 5),
        ("5.5", 5.5),
        ("'5'", 5),
        ("5s", 5),
        ("200ms", 0.2),
        ("2m", 120),
        ("2min", 120),
        ("1h", 3600),
        ("1.5 h", 5400),
        ("' 3s '", 3),
    ],
)
def test_time_has_a_unit_or_is_in_seconds(text: str, seconds: float) -> None:
    assert timeout(text) == seconds


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("4096", 4096),
        ("4096B", 4096),
        ("64KiB", 65536),
        ("16MiB", 16 * 2**20),
        ("1 GiB", 2**30),
        ("2kB", 2000),
        ("2KB", 2000),
        ("1MB", 10**6),
        ("1GB", 10**9),
        ("1.5KiB", 1536),
    ],
)
def test_size_has_a_unit_or_is_in_bytes(text: str, count: int) -> None:
    assert size(text) == count


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (
            "timeouts: {close_seconds: 5 parsecs}",
            "router.timeouts.close_seconds: '5 parsecs' has no unit of time: write a number of seconds, or one with "
            "ms, s, m or h",
        ),
        ("timeouts: {close_seconds: 5MiB}", "router.timeouts.close_seconds: '5MiB' has no unit of time"),
        ("health_check: {interval_seconds: 5S}", "router.health_check.interval_seconds: '5S' has no unit of time"),
        ("timeouts: {close_seconds: -5s}", "router.timeouts.close_seconds: input should be greater than 0"),
        ("timeouts: {close_seconds: soon}", "router.timeouts.close_seconds: input should be a valid number"),
        ("timeouts: {close_seconds: on}", "router.timeouts.close_seconds: must be a number, not a truth value"),
        ("limits: {hold_bytes: 16M}", "router.limits.hold_bytes: '16M' has no unit of size: did you mean 16MiB?"),
        ("limits: {hold_bytes: 16mib}", "router.limits.hold_bytes: '16mib' has no unit of size: did you mean 16MiB?"),
        ("limits: {hold_bytes: 5s}", "router.limits.hold_bytes: '5s' has no unit of size: write a number of bytes"),
        ("limits: {hold_bytes: 5000.3B}", "router.limits.hold_bytes: '5000.3B' is no whole number of bytes"),
        ("limits: {hold_bytes: 1KiBi}", "router.limits.hold_bytes: '1KiBi' has no unit of size: did you mean 1KiB?"),
        ("limits: {hold_bytes: many}", "router.limits.hold_bytes: input should be a valid integer"),
        ("limits: {attempts: 3s}", "router.limits.attempts: input should be a valid integer"),
    ],
)
def test_a_wrong_unit_is_named_with_what_would_be_right(block: str, words: str) -> None:
    assert problem(block).startswith(words)


def test_every_key_of_time_or_size_takes_a_unit() -> None:
    block: dict[str, Any] = {"replicas": ["http://a"], "health_check": {}}
    wanted: dict[tuple[str, str], str] = {}
    for name in sorted(BLOCKS):
        model = model_in(RouterConfig.model_fields[name].annotation)
        assert model is not None
        for key in model.model_fields:
            if key.endswith(("_seconds", "_bytes")):
                wanted[name, key] = "7s" if key.endswith("_seconds") else "7KiB"
    wanted["timeouts", "dead_peer_seconds"] = "8s"
    for key in HEALTH_CHECK:
        if key.endswith("_seconds"):
            wanted["health_check", key] = "7s"
    for (name, key), value in wanted.items():
        block.setdefault(name, {})[key] = value
    config = parse_config(str({"router": {**block, "slow_start_seconds": "7s"}}))
    found = {getattr(getattr(config, name), key) for name, key in wanted if name in BLOCKS}
    assert found == {7.0, 8.0, 7 * 1024}
    assert (config.slow_start_seconds, config.health_check_timeout_seconds) == (7.0, 7.0)


def test_units_are_taken_from_python_too() -> None:
    assert (
        RouterConfig.model_validate(
            {"replicas": [{"url": "http://a"}], "timeouts": {"close_seconds": "2m"}}
        ).timeouts.close_seconds
        == 120
    )
