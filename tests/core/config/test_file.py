"""The configuration from a file: the YAML of FastVideo's router unchanged, and every mistake at once, each with its path."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from trio_router.core.config import RouterConfig, parse_config
from trio_router.core.errors import ConfigError, RouterError

SEED = """
router:
  host: 127.0.0.1
  port: 9100
  replicas:
    - url: http://streamer-a:8000
      name: a
      primary: true
      weight: 2
    - url: http://streamer-b:8000/
  health_check:
    path: /healthz
    interval_seconds: 1
    timeout_seconds: 0.5
    failure_threshold: 5
    recovery_threshold: 4
"""
REPLICA = "replicas: [{url: 'http://a'}]"


def problems(text: str, **rest: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(textwrap.dedent(text), **rest)
    return caught.value.problems


def router(*lines: str) -> list[str]:
    """The problems of a router block with a good replica and these lines."""
    return problems("router:\n" + "".join(f"  {line}\n" for line in (REPLICA, *lines)))


def test_the_file_of_fastvideos_router_is_taken_as_it_is() -> None:
    config = parse_config(SEED)
    assert (config.host, config.port, config.health_check_path) == ("127.0.0.1", 9100, "/healthz")
    assert (config.health_check_interval_seconds, config.health_check_timeout_seconds) == (1.0, 0.5)
    assert (config.failure_threshold, config.recovery_threshold) == (5, 4)
    first, second = config.replicas
    assert (first.url, first.name, first.primary, first.weight) == ("http://streamer-a:8000", "a", True, 2.0)
    assert (second.url, second.label, second.primary, second.weight) == (
        "http://streamer-b:8000/",
        "streamer-b:8000",
        False,
        1.0,
    )


def test_the_smallest_file_means_the_defaults() -> None:
    config = parse_config(f"router: {{{REPLICA}}}")
    assert config == RouterConfig(replicas=config.replicas)
    assert parse_config(f"router:\n  health_check:\n  {REPLICA}") == config


def test_overrides_replace_keys_and_are_checked_too() -> None:
    assert parse_config(SEED, overrides={"port": 1, "host": "h"}).port == 1
    assert problems(SEED, overrides={"port": "x"})[0].startswith("router.port: input should be a valid integer")


def test_every_mistake_is_reported_with_its_path() -> None:
    found = problems(
        """
        routr: {}
        router:
          prot: 9000
          port: many
          host: ''
          failure_threshold: 3
          replicas:
            - url: ftp://a
              wieght: 2
            - name: nameless
            - url: http://b/path
              weight: 0
            - url: http://c?x
              max_sessions: 0
          health_check:
            path: health
            interval_seconds: 0
            recovery_treshold: 1
          timeouts:
            close_second: 3
        """
    )
    assert sorted(found) == sorted(
        [
            "routr: unknown key; did you mean 'router'?",
            "router.failure_threshold: write it as router.health_check.failure_threshold",
            "router.health_check.recovery_treshold: unknown key; did you mean 'recovery_threshold'?",
            "router.host: String should have at least 1 character (got '')",
            "router.port: input should be a valid integer, unable to parse string as an integer (got 'many')",
            "router.replicas[0].url: 'ftp://a' must start with http:// or https://",
            "router.replicas[0].wieght: unknown key; did you mean 'weight'?",
            "router.replicas[1].url: field required",
            "router.replicas[2].url: 'http://b/path' must be a base URL without a path",
            "router.replicas[2].weight: input should be greater than 0 (got 0)",
            "router.replicas[3].url: 'http://c?x' must not carry a query/fragment",
            "router.replicas[3].max_sessions: must be 1 or more, or auto (take a replica out of the list to disable it)",
            "router.health_check.path: String should match pattern '^/[^?#\\s]*$' (got 'health')",
            "router.health_check.interval_seconds: input should be greater than 0 (got 0)",
            "router.timeouts.close_second: unknown key; did you mean 'close_seconds'?",
            "router.prot: unknown key; did you mean 'port'?",
        ]
    )


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["health_check: 5"], "router.health_check: must be a block of keys"),
        (
            ["health_check: {timeout_seconds: -1}"],
            "router.health_check.timeout_seconds: input should be greater than 0",
        ),
        (["health_check: {failure_threshold: 0}"], "router.health_check.failure_threshold: input should be greater"),
        (["health_check: {recovery_threshold: 0}"], "router.health_check.recovery_threshold: input should be greater"),
        (["healthcheck: {}"], "router.healthcheck: unknown key; did you mean 'health_check'?"),
        (["xyzzy: 1"], "router.xyzzy: unknown key; known here: host, port, replicas, "),
        (["streams: [{path: /a}, {pathh: /b}]"], "router.streams[1].pathh: unknown key; did you mean 'path'?"),
        (["streams: [{path: /status}]"], "router: streams: '/status' is a page of the router's own"),
        (["timeouts: 5"], "router.timeouts: input should be a valid dictionary"),
        (["tls: {certificate: c.pem}"], "router.tls: certificate and key go together"),
        (["limits: {attempts: x}"], "router.limits.attempts: input should be a valid integer"),
        (["affinity: {keys: [client]}"], "router.affinity.keys: 'client' is not client_id"),
        (["streams: [{path: /a, dialect: x}]"], "router.streams[0].dialect: no dialect is called 'x'; known are"),
        (["dialect: grpc"], "router.dialect: no dialect is called 'grpc'; known are fastvideo, dreamverse, opaque"),
    ],
)
def test_mistakes_elsewhere_have_a_path_too(lines: list[str], problem: str) -> None:
    found = router(*lines)
    assert len(found) == 1
    assert found[0].startswith(problem)


def test_a_secret_is_not_repeated() -> None:
    assert router("affinity: {secret: hunter2}") == [
        "router.affinity.secret: String should have at least 16 characters"
    ]
    assert "hunter2" not in str(problems("router: {replicas: [{url: 'http://me:hunter2@a'}]}"))


def test_a_value_of_two_possible_kinds_has_a_path_without_the_kinds() -> None:
    assert problems("router: {replicas: [{url: 'http://a', max_sessions: full}]}") == [
        "router.replicas[0].max_sessions: input should be a valid integer, unable to parse string as an integer"
        " (got 'full')",
        "router.replicas[0].max_sessions: input should be 'auto' (got 'full')",
    ]


@pytest.mark.parametrize("second", ["http://a", "http://a/", "HTTP://A"])
def test_duplicate_urls_are_found(second: str) -> None:
    assert problems(f"router: {{replicas: [{{url: 'http://a'}}, {{url: '{second}'}}]}}") == [
        f"router.replicas: Duplicate url {second!r}"
    ]


def test_duplicate_urls_are_found_beside_other_mistakes_but_only_real_ones() -> None:
    assert problems(
        """
        router:
          replicas:
            - {url: 'http://a/', weight: 0}
            - {url: 'http://a'}
            - {url: 'b:8000'}
            - {url: 'c:8000'}
            - {url: 'http://[d'}
            - {url: 'http://[e'}
            - {url: ''}
            - {url: 5}
            - plain
            - 9
        """
    ) == [
        "router.replicas[0].weight: input should be greater than 0 (got 0)",
        "router.replicas[1].url: Duplicate of router.replicas[0].url",
        "router.replicas[2].url: 'b:8000' must start with http:// or https://",
        "router.replicas[3].url: 'c:8000' must start with http:// or https://",
        "router.replicas[4].url: Invalid IPv6 URL",
        "router.replicas[5].url: Invalid IPv6 URL",
        "router.replicas[6].url: '' must start with http:// or https://",
        "router.replicas[7].url: input should be a valid string (got 5)",
        "router.replicas[8].url: 'plain' must start with http:// or https://",
        "router.replicas[9]: input should be a valid dictionary or instance of ReplicaEndpoint (got 9)",
    ]
    assert router("port: -1") == ["router.port: input should be greater than or equal to 0 (got -1)"]


@pytest.mark.parametrize("text", ["router: {}", "router: {replicas: []}", "router:\n  port: 1"])
def test_no_replicas_is_a_mistake(text: str) -> None:
    assert problems(text) == ["router.replicas: no replicas: list at least one, each with its url"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "router: missing"),
        ("- a list", "router: missing"),
        ("host: x", "router: missing"),
        ("router:", "line 1, column 8: router: must be a block of keys"),
        ("router: 5", "line 1, column 9: router: must be a block of keys"),
        ("router: []", "line 1, column 1: router: must be a block of keys"),
        ("router:\n  port: 'x", "line 2, column 11: not YAML: found unexpected end of stream"),
        ("router:\n\tport: 1", "line 2, column 1: not YAML: found character '\\t'"),
        ("router:\n  port: 1\n  host: h\n  port: 2", "line 4, column 3: not YAML: key 'port' is given twice"),
        ("router: {}\nrouter: {}", "line 2, column 1: not YAML: key 'router' is given twice"),
        ("router: {? [a] : 1}", "line 1, column 12: not YAML: found unhashable key"),
        ("router: *nowhere", "line 1, column 9: not YAML: found undefined alias"),
        ("router: !!python/object:os.system {}", "line 1, column 9: not YAML: could not determine a constructor"),
        ("router: {port: 2024-99-99}", "line 1, column 16: not YAML: month must be in 1..12"),
        ("router: \x00", "not YAML: unacceptable character"),
        ("[" * 1000, "not YAML: maximum recursion depth exceeded"),
    ],
)
def test_what_is_no_configuration_at_all(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    (found,) = caught.value.found
    assert found.line().startswith(problem)


def test_merged_keys_are_no_duplicates() -> None:
    text = """
        router:
          replicas:
            - &a {url: 'http://a', weight: 2, primary: true}
            - &b {<<: *a, url: 'http://b', weight: 3}
            - {<<: *b, url: 'http://c'}
        """
    config = parse_config(textwrap.dedent(text))
    assert [(r.url, r.weight, r.primary) for r in config.replicas] == [
        ("http://a", 2, True),
        ("http://b", 3, True),
        ("http://c", 3, True),
    ]


def test_an_error_says_where_how_many_and_what() -> None:
    with pytest.raises(RouterError) as caught:
        parse_config("router: {port: -1, x: 1}", source="/etc/router.yaml")
    assert isinstance(caught.value, ValueError)
    assert str(caught.value).startswith(
        "/etc/router.yaml: 3 problems\n"
        "  /etc/router.yaml:1:1: router.replicas: no replicas: list at least one, each with its url\n"
        "  /etc/router.yaml:1:16: router.port: "
    )
    assert str(ConfigError(["only"])) == "1 problem\n  only"


def test_the_queue_is_patient_and_its_old_name_is_hinted_at() -> None:
    config = parse_config(f"router: {{{REPLICA}, queue: {{per_client: 2}}}}")
    assert (config.queue.length, config.queue.timeout_seconds, config.queue.per_client) == (100, 300, 2)
    assert router("line: {length: 1}") == ["router.line: unknown key; did you mean 'queue'?"]
