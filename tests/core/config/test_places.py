"""Every mistake has its line and column, from the nodes of the YAML."""

from __future__ import annotations

import textwrap

import pytest

from trio_router.core.config import read_config
from trio_router.core.errors import ConfigError, Place, Problem

GOOD = "replicas: [{url: 'http://a'}]"


def places(text: str, **overrides: str) -> dict[str, tuple[int, int] | None]:
    """path -> (line, column)"""
    with pytest.raises(ConfigError) as caught:
        read_config(textwrap.dedent(text).lstrip("\n"), overrides=overrides)
    return {problem.text.partition(": ")[0]: problem.place for problem in caught.value.found}


def test_a_wrong_value_is_pointed_at_and_an_unknown_key_too() -> None:
    assert places(
        """
        router:
          port: many
          prot: 9000
          replicas:
            - url: ftp://a
              wieght: 2
            - http://b/path
            - name: nameless
          health_check: {timeout_seconds: 0, intervall: 5}
          timeouts:
            close_seconds: 5 parsecs
          failure_threshold: 3
        """
    ) == {
        "router.port": (2, 9),
        "router.prot": (3, 3),
        "router.replicas[0].url": (5, 12),
        "router.replicas[0].wieght": (6, 7),
        "router.replicas[1].url": (7, 7),
        "router.replicas[2].url": (8, 7),
        "router.health_check.timeout_seconds": (9, 35),
        "router.health_check.intervall": (9, 38),
        "router.timeouts.close_seconds": (11, 20),
        "router.failure_threshold": (12, 3),
    }


@pytest.mark.parametrize(
    ("block", "path", "place"),
    [
        ("timeouts:\n    close_seconds: 1\n    ping_interval_seconds: 60", "router.timeouts", (5, 28)),
        ("port: 9001\n  status_port: 9001", "router", (4, 16)),
        ("replicas: [{url: http://b, presets: [wan]}]\n  streams:\n  - presets: [ltx]", "router", (5, 5)),
        ("streams: [{path: /a}, {path: /a}]", "router.streams", (3, 32)),
        ("tls: {key: k.pem}", "router.tls", (3, 3)),
        ("limits: 5", "router.limits", (3, 11)),
        ("health_check: [1]", "router.health_check", (3, 3)),
        ("streams: []", "router.streams", (3, 3)),
        ("affinity: {keys: [a]}", "router.affinity.keys", (3, 14)),
    ],
)
def test_mistakes_of_a_whole_block_point_into_it(block: str, path: str, place: tuple[int, int]) -> None:
    good = "#" if block.startswith("replicas") else GOOD
    assert places(f"router:\n  {good}\n  {block}\n") == {path: place}


def test_of_two_replicas_that_are_the_same_the_second_is_pointed_at() -> None:
    text = "router:\n  replicas:\n  - {url: 'http://a', name: x}\n  - {url: 'http://b', name: x}\n"
    assert places(text) == {"router.replicas": (4, 29)}
    text = "router:\n  replicas:\n  - http://a\n  - http://A/\n"
    assert places(text) == {"router.replicas": (4, 5)}


def test_what_was_merged_in_is_pointed_at_where_it_was_written() -> None:
    text = """
        x-gpu: &gpu
          weight: 0
        router:
          replicas:
            - {<<: *gpu, url: 'http://a'}
            - {<<: *gpu, url: 'http://b', weight: -1}
        """
    assert places(text) == {"router.replicas[0].weight": (2, 11), "router.replicas[1].weight": (6, 43)}


def test_mistakes_come_in_the_order_of_the_file() -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("rooter: 1\nrouter:\n  prt: 1\n  replicas: [x]\n  port: x\n", source="r.yaml")
    assert [problem.line("r.yaml").split(" ")[0] for problem in caught.value.found] == [
        "r.yaml:1:1:",
        "r.yaml:3:3:",
        "r.yaml:4:14:",
        "r.yaml:5:9:",
    ]


def test_a_value_from_elsewhere_has_no_place_in_the_file() -> None:
    assert places(f"router:\n  port: 1\n  {GOOD}\n", port="x") == {"router.port": None}


def test_keys_that_are_no_texts_have_a_place_too() -> None:
    assert places(f"router:\n  on: 1\n  {GOOD}\n") == {"router.True": (2, 3)}


def test_a_line_reads_as_compilers_write_it() -> None:
    assert Problem("router.port: no", Place(2, 9)).line("a.yaml") == "a.yaml:2:9: router.port: no"
    assert Problem("router.port: no", Place(2, 9)).line() == "line 2, column 9: router.port: no"
    assert Problem("cannot be read").line("a.yaml") == "a.yaml: cannot be read"
    assert Problem("cannot be read").line() == "cannot be read"


def test_values_that_are_none_have_a_place() -> None:
    assert places(f"router:\n  {GOOD}\n  port: !!int x\n") == {"not YAML": (3, 9)}


def test_a_block_in_itself_is_named() -> None:
    assert places(f"router:\n  {GOOD}\n  limits: &l\n    attempts: *l\n") == {"router.limits.attempts": (4, 5)}
    assert places(f"router: &r\n  {GOOD}\n  limits: {{<<: *r}}\n") == {"router.limits": (3, 3)}
