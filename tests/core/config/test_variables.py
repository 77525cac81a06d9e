"""Variables in a file: `${NAME}`, `${NAME:-default}`, `$$`."""

from __future__ import annotations

import pytest

from trio_router.core.config import ConfigFile, parse_config, read_config
from trio_router.core.errors import ConfigError

GOOD = "replicas: [http://a]"


def read(lines: str, **environ: str) -> ConfigFile:
    return read_config(f"router:\n  {GOOD}\n  {lines}\n", environ=environ)


def problems(text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_config(text, environ=environ)
    return [problem.line() for problem in caught.value.found]


def test_a_variable_has_the_type_that_yaml_gives_to_its_value() -> None:
    config = read("port: ${PORT}\n  status_on_stream_port: ${SHOW}\n  host: ${HOST}", PORT="9100", SHOW="no", HOST="h")
    assert (config.config.port, config.config.status_on_stream_port, config.config.host) == (9100, False, "h")


def test_in_quotes_it_stays_a_text() -> None:
    secret = "1234567890123456"
    assert read("affinity: {secret: '${KEY}', cookie: c}", KEY=secret).config.affinity.secret == secret
    (found,) = problems(f"router:\n  {GOOD}\n  affinity: {{secret: '${{KEY}}'}}", KEY="12")
    assert "at least 16 characters" in found


def test_a_default_counts_where_the_variable_is_unset_or_empty() -> None:
    text = "host: ${HOST:-h}"
    assert read(text).config.host == "h"
    assert read(text, HOST="").config.host == "h"
    assert read(text, HOST="x").config.host == "x"
    assert read("status_host: ${NONE:-}\n  status_port: 1").config.status_host is None


def test_it_may_be_a_part_of_a_value_and_several_may_stand_in_one() -> None:
    config = parse_config("router: {replicas: ['http://${H}:${P:-8000}', {url: 'http://${H}'}]}", environ={"H": "gpu"})
    assert [replica.url for replica in config.replicas] == ["http://gpu:8000", "http://gpu"]


def test_two_dollars_are_one_and_a_lone_one_stays() -> None:
    assert read("health_check: {path: /a$$b}").config.health_check_path == "/a$b"
    assert read("health_check: {path: '/$${a}'}").config.health_check_path == "/${a}"
    assert read("health_check: {path: /a$}").config.health_check_path == "/a$"
    assert read("health_check: {path: /a$1}").config.health_check_path == "/a$1"


def test_an_unset_one_is_one_mistake_with_its_line() -> None:
    assert problems(f"router:\n  {GOOD}\n  port: ${{PORT}}\n  timeouts: {{close_seconds: '${{CLOSE}}'}}\n") == [
        "line 3, column 9: router.port: the variable PORT is not set; set it, or write ${PORT:-default}",
        "line 4, column 29: router.timeouts.close_seconds: the variable CLOSE is not set; set it, or write ${CLOSE:-default}",
    ]


@pytest.mark.parametrize("text", ["${}", "${1A}", "${A", "${A-b}", "${a b}"])
def test_what_is_no_variable_is_a_mistake(text: str) -> None:
    (found,) = problems(f"router:\n  {GOOD}\n  host: 'x{text}'\n", A="1")
    assert (
        found
        == f"line 3, column 9: router.host: {text} is no variable: write ${{NAME}}, ${{NAME:-default}}, or $$ for a dollar"
    )


def test_a_variable_without_braces_is_doubtful() -> None:
    (warning,) = read("host: $HOST", HOST="h").warnings
    assert warning.line() == (
        "line 3, column 9: router.host: $HOST is not replaced; write ${HOST} for the variable, or $$HOST"
    )


def test_doubts_are_told_beside_mistakes() -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(f"router:\n  {GOOD}\n  host: $HOST\n  prot: 1\n")
    assert [problem.text.partition(":")[0] for problem in caught.value.warnings] == ["router.host"]
    assert caught.value.count == "1 problem"


def test_what_is_there_for_its_anchors_counts_only_where_it_is_used() -> None:
    text = (
        "x-a: &a {weight: '${W}'}\nx-b: {c: '${UNUSED} $UNUSED'}\nrouter:\n  replicas:\n  - {<<: *a, url: 'http://a'}\n"
    )
    assert problems(text) == [
        "line 1, column 18: router.replicas[0].weight: the variable W is not set; set it, or write ${W:-default}"
    ]
    assert read_config(text, environ={"W": "2"}).config.replicas[0].weight == 2
    assert read_config(text, environ={"W": "2"}).warnings == ()


def test_an_alias_is_replaced_once() -> None:
    text = "router:\n  replicas:\n  - &a {url: 'http://a', presets: &p ['${A}']}\n  - {url: 'http://b', presets: *p}\n"
    assert parse_config(text, environ={"A": "$${A}"}).replicas[1].presets == ("$${A}",)


def test_keys_are_left_alone() -> None:
    (found,) = problems(f"router:\n  {GOOD}\n  ${{A}}: 1\n", A="port")
    assert found.startswith("line 3, column 3: router.${A}: unknown key")
